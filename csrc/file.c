/* The methods of a main database file. All go to the default VFS's file; five do a little besides.
 */
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base.h"
#include "capture.h"
#include "door.h"
#include "loop.h"
#include "state.h"

#define WRITE_LOCK 0 /* lock byte of the WAL index that committers take */
#define BASE_WAIT_MS 5000
#define HEADER_VERSIONS 18 /* read and write version in the database header: 1 journal, 2 WAL */

static ltx_file *ours(sqlite3_file *f)
{
    return (ltx_file *)f;
}
static sqlite3_file *real(sqlite3_file *f)
{
    return ours(f)->real;
}

static int x_close(sqlite3_file *f)
{
    ltx_file *file = ours(f);
    int rc = file->real->pMethods->xClose(file->real);
    ltx_db_disconnect(file->db);
    return rc;
}

static int x_read(sqlite3_file *f, void *buffer, int size, sqlite3_int64 offset)
{
    int rc = real(f)->pMethods->xRead(real(f), buffer, size, offset);
    /* The 16 bytes from which SQLite sees that somebody has changed the file: let it see that. */
    if (ours(f)->reread && offset == 24 && size == 16) {
        *(uint8_t *)buffer ^= 0xff;
        ours(f)->reread = 0;
    }
    return rc;
}

/* A database is in WAL mode from its first page on: SQLite writes that page with a rollback
   journal, in which nothing could be captured, then finds a WAL database and goes on like that. */
static int write_as_wal(ltx_file *file, const void *data, int size)
{
    uint8_t *page = malloc((size_t)size);
    if (!page)
        return SQLITE_NOMEM;
    memcpy(page, data, (size_t)size);
    page[HEADER_VERSIONS] = page[HEADER_VERSIONS + 1] = 2;
    int rc = file->real->pMethods->xWrite(file->real, page, size, 0);
    free(page);
    file->reread = 1;
    return rc;
}

static int x_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    const uint8_t *bytes = data;
    if (ours(f)->blocked)
        return ours(f)->blocked;
    if (!ours(f)->checkpointing)
        ours(f)->journaled = 1;
    if (offset == 0 && size >= 512 && bytes[HEADER_VERSIONS] == 1)
        return write_as_wal(ours(f), data, size);
    return real(f)->pMethods->xWrite(real(f), data, size, offset);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (ours(f)->blocked)
        return ours(f)->blocked;
    int rc = real(f)->pMethods->xTruncate(real(f), size);
    if (!ours(f)->db->dead && !ours(f)->journaled)
        ltx_state_fingerprint(ours(f)->db);
    return rc;
}

static int x_sync(sqlite3_file *f, int flags)
{
    return real(f)->pMethods->xSync(real(f), flags);
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real(f)->pMethods->xFileSize(real(f), size);
}

static int x_lock(sqlite3_file *f, int level)
{
    ltx_file *file = ours(f);
    int rc = real(f)->pMethods->xLock(real(f), level);
    if (level != SQLITE_LOCK_EXCLUSIVE)
        return rc;
    /* Who wants the database for himself from the start (exclusive locking mode) waits for the
       image that we read. Others only ask whether they are the last to close. */
    int64_t deadline = ltx_monotonic_ms() + BASE_WAIT_MS;
    while (rc == SQLITE_BUSY && !file->maps_index && atomic_load(&file->db->shared->base_active) &&
           ltx_monotonic_ms() < deadline) {
        nanosleep(&(struct timespec){0, 200000}, NULL);
        rc = real(f)->pMethods->xLock(real(f), level);
    }
    if (rc == SQLITE_OK)
        file->alone = 1;
    return rc;
}

static int x_unlock(sqlite3_file *f, int level)
{
    ours(f)->alone = 0;
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int x_check_reserved_lock(sqlite3_file *f, int *out)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

/* In exclusive locking mode, however it came to that (it may be set for all attached databases at
   once), the locks stay, and the background thread cannot make its image. */
int ltx_file_serve(ltx_file *file)
{
    int locked = file->alone || file->writing;
    return locked && file->db && !file->db->dead ? ltx_base_in_hook(file->db) : 0;
}

/* Everything committed must be captured before a checkpoint copies the first frame back. SQLite
   does not heed what we answer here, so a failure makes the checkpoint's first write fail: the WAL
   stays, commits go on, and the next checkpoint tries again. */
static void checkpoint_starts(ltx_file *file)
{
    file->checkpointing = 1;
    ltx_file_serve(file);
    int rc = ltx_capture(file->db);
    file->blocked = rc <= 0 ? SQLITE_OK : rc == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    if (file->blocked)
        file->library->api->log(file->blocked,
                                "ltxvfs: capture of %s failed (errno %d); checkpoint held",
                                file->db->path, rc);
}

/* A transaction was written with a rollback journal: all but a database's first one are lost to
   capture, so a new full image has to follow. */
static void committed_past_wal(ltx_file *file)
{
    ltx_db *db = file->db;
    file->journaled = 0;
    if (ltx_state_lock(db))
        return;
    if (db->loaded && db->has_chain)
        ltx_state_break(db);
    ltx_state_unlock(db);
}

static void committed(ltx_file *file)
{
    if (file->journaled)
        committed_past_wal(file);
    ltx_loop_committed(file->db);
    /* The second commit under one lock: that is exclusive locking mode. */
    if (file->alone || (file->writing && file->commits_held++ > 0))
        ltx_file_serve(file);
}

static void checkpoint_ends(ltx_file *file)
{
    file->checkpointing = 0;
    if (!file->blocked)
        ltx_state_fingerprint(file->db);
}

static char *copy(ltx_library *library, const char *text)
{
    return library->api->mprintf("%s", text);
}

/* journal_mode is WAL, whatever is asked. SQLITE_NOTFOUND: SQLite itself is to act and answer. */
static int journal_mode(ltx_file *file, char **args)
{
    const sqlite3_api_routines *api = file->library->api;
    if (args[2] && api->stricmp(args[2], "wal") == 0)
        return SQLITE_NOTFOUND;
    if (args[2])
        api->log(SQLITE_WARNING, "ltxvfs: %s stays in WAL mode (asked for %s)", file->db->path,
                 args[2]);
    args[0] = copy(file->library, "wal");
    return SQLITE_OK;
}

static void locking_mode(ltx_file *file, const char *value)
{
    if (!value)
        return;
    int exclusive = file->library->api->stricmp(value, "exclusive") == 0;
    sqlite3_int64 size = 1;
    file->real->pMethods->xFileSize(file->real, &size);
    /* An exclusive connection never reads page 1 again, so it would not find the WAL. */
    if (exclusive && size == 0)
        ltx_library_make_wal(file->library, file->db->path);
}

static int answer(ltx_file *file, char **args)
{
    ltx_answer result = {0};
    ltx_file_serve(file);
    int rc = ltx_py_pragma(file->db, file, args[1], args[2], &result);
    if (result.text)
        args[0] = copy(file->library, result.text);
    free(result.text);
    return rc;
}

static int pragma(ltx_file *file, char **args)
{
    const sqlite3_api_routines *api = file->library->api;
    if (api->stricmp(args[1], "journal_mode") == 0)
        return journal_mode(file, args);
    if (api->stricmp(args[1], "locking_mode") == 0)
        locking_mode(file, args[2]);
    if (api->strnicmp(args[1], "litestream_", 11) != 0 || ltx_door_is_shut())
        return SQLITE_NOTFOUND;
    return answer(file, args);
}

static int x_file_control(sqlite3_file *f, int op, void *arg)
{
    ltx_file *file = ours(f);
    if (!file->db->dead) {
        if (op == SQLITE_FCNTL_COMMIT_PHASETWO)
            committed(file);
        else if (op == SQLITE_FCNTL_CKPT_START)
            checkpoint_starts(file);
        else if (op == SQLITE_FCNTL_CKPT_DONE)
            checkpoint_ends(file);
        else if (op == SQLITE_FCNTL_PRAGMA) {
            int rc = pragma(file, arg);
            if (rc != SQLITE_NOTFOUND)
                return rc;
        }
    }
    return file->real->pMethods->xFileControl(file->real, op, arg);
}

static int x_sector_size(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int x_device_characteristics(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int x_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
    int rc = real(f)->pMethods->xShmMap(real(f), region, size, extend, out);
    ltx_file *file = ours(f);
    if (rc == SQLITE_OK && *out)
        ltx_state_map(file->db, region, *out, &file->maps_index);
    return rc;
}

/* The real lock, and whether the write lock is among what is held. */
static int shm_lock(ltx_file *file, int offset, int count, int flags)
{
    int rc = file->real->pMethods->xShmLock(file->real, offset, count, flags);
    if (rc == SQLITE_OK && offset == WRITE_LOCK && flags & SQLITE_SHM_EXCLUSIVE) {
        file->writing = (flags & SQLITE_SHM_LOCK) != 0;
        file->commits_held = 0;
    }
    return rc;
}

static int x_shm_lock(sqlite3_file *f, int offset, int count, int flags)
{
    ltx_file *file = ours(f);
    int wanted = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
    int64_t deadline = 0;
    for (;;) {
        int rc = shm_lock(file, offset, count, flags);
        if (rc != SQLITE_BUSY || offset != WRITE_LOCK || flags != wanted)
            return rc;
        /* Held for a moment by a base of our own: nothing the application should ever notice. */
        if (atomic_load(&file->db->shared->base_active) != LTX_BASE_BEGINS) {
            return deadline ? shm_lock(file, offset, count, flags) : rc;
        }
        int64_t now = ltx_monotonic_ms();
        if (!deadline)
            deadline = now + BASE_WAIT_MS;
        if (now >= deadline)
            return rc;
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
}

static void x_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
    ltx_state_unmap(ours(f)->db, &ours(f)->maps_index);
    return real(f)->pMethods->xShmUnmap(real(f), delete);
}

static int x_fetch(sqlite3_file *f, sqlite3_int64 offset, int size, void **out)
{
    return real(f)->pMethods->xFetch(real(f), offset, size, out);
}

static int x_unfetch(sqlite3_file *f, sqlite3_int64 offset, void *page)
{
    return real(f)->pMethods->xUnfetch(real(f), offset, page);
}

static const sqlite3_io_methods METHODS = {3,
                                           x_close,
                                           x_read,
                                           x_write,
                                           x_truncate,
                                           x_sync,
                                           x_file_size,
                                           x_lock,
                                           x_unlock,
                                           x_check_reserved_lock,
                                           x_file_control,
                                           x_sector_size,
                                           x_device_characteristics,
                                           x_shm_map,
                                           x_shm_lock,
                                           x_shm_barrier,
                                           x_shm_unmap,
                                           x_fetch,
                                           x_unfetch};

void ltx_file_attach(ltx_file *file)
{
    file->base.pMethods = &METHODS;
}

int ltx_file_is_ours(sqlite3_file *file)
{
    return file && (file->pMethods == &METHODS || file->pMethods == &LTX_REFUSED_METHODS);
}
