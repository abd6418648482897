/* What the capture lock guards, and how the processes of one database agree on it. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptor.h"

#define LOCK_TIMEOUT_MS 10000

int ltx_state_lock(ltx_db *db)
{
    pthread_mutex_lock(&db->capture);
    int rc = ltx_lock(db->shared_fd, LTX_LOCK_CAPTURE, LOCK_TIMEOUT_MS);
    if (rc) {
        pthread_mutex_unlock(&db->capture);
        return rc;
    }
    /* A holder that died inside, or other spools than before: look at the disk again. */
    if (atomic_exchange(&db->stale, 0) || db->shared->busy || db->shared->layout != db->layout)
        db->loaded = 0;
    if (db->loaded && db->has_chain && db->shared->generation != db->generation)
        rc = ltx_spool_refresh(&db->spool);
    db->shared->busy = 1;
    if (rc)
        ltx_state_unlock(db);
    return rc;
}

void ltx_state_unlock(ltx_db *db)
{
    db->generation = db->shared->generation;
    db->layout = db->shared->layout;
    if (db->has_chain && db->loaded) {
        db->shared->spool_txid = db->spool.header.txid;
        db->shared->spool_size = db->spool.size;
    }
    db->shared->busy = 0;
    ltx_unlock(db->shared_fd, LTX_LOCK_CAPTURE);
    pthread_mutex_unlock(&db->capture);
}

int ltx_state_observe(ltx_db *db, ltx_fingerprint *out)
{
    struct stat st;
    if (db->fd < 0 || fstat(db->fd, &st) != 0)
        return EBADF;
    out->inode = (uint64_t)st.st_ino;
    out->size = (int64_t)st.st_size;
#ifdef __APPLE__
    out->mtime_ns = (int64_t)st.st_mtimespec.tv_sec * 1000000000 + st.st_mtimespec.tv_nsec;
#else
    out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
#endif
    return 0;
}

void ltx_state_fingerprint(ltx_db *db)
{
    ltx_fingerprint print;
    if (ltx_state_observe(db, &print) == 0)
        db->shared->fingerprint = print;
}

int ltx_state_untouched(ltx_db *db)
{
    ltx_fingerprint now;
    if (ltx_state_observe(db, &now))
        return 0;
    return memcmp(&now, &db->shared->fingerprint, sizeof now) == 0;
}

static int open_existing(const char *path, int *fd)
{
    if (*fd < 0)
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 && errno != ENOENT ? errno : 0;
}

int ltx_state_files(ltx_db *db)
{
    if (db->wal_fd >= 0 && !ltx_descriptor_is(db->wal_fd, db->wal_path)) {
        close(db->wal_fd); /* deleted by a last close; the WAL file carries no locks */
        db->wal_fd = -1;
    }
    if (db->fd >= 0 && !ltx_descriptor_is(db->fd, db->path)) {
        ltx_descriptor_close(db->fd); /* deleted, or replaced by another database */
        db->fd = -1;
        db->loaded = 0;
    }
    int rc = open_existing(db->wal_path, &db->wal_fd);
    if (!rc && db->fd < 0)
        rc = ltx_descriptor_open(db->path, &db->fd);
    return rc == ENOENT ? 0 : rc;
}

void ltx_state_break(ltx_db *db)
{
    if (!db->shared->broken)
        db->shared->resets++;
    db->shared->broken = 1;
    db->shared->generation++;
}

void ltx_state_map(ltx_db *db, int region, const volatile uint32_t *words, int *known)
{
    if (db->dead || region >= LTX_INDEX_REGIONS)
        return;
    pthread_mutex_lock(&db->capture);
    db->wal_index[region] = words;
    db->wal_index_users += !*known;
    *known = 1;
    pthread_mutex_unlock(&db->capture);
}

void ltx_state_unmap(ltx_db *db, int *known)
{
    if (db->dead || !*known)
        return;
    /* The mutex waits for a capture that reads the index just now. */
    pthread_mutex_lock(&db->capture);
    if (--db->wal_index_users == 0)
        memset(db->wal_index, 0, sizeof db->wal_index);
    *known = 0;
    pthread_mutex_unlock(&db->capture);
}
