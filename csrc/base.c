/* The base of a chain: the whole database as one LTX file, exact at one TXID, with writers running.
 *
 * A write transaction of our own keeps commits away for the moment in which the end of the WAL is
 * found and a read transaction of our own begins: that one's snapshot is exactly what was found,
 * and keeps checkpoints from overwriting what is still read. A connection in exclusive locking mode
 * lets nobody else in: then the image is made inside a call of that connection, under the capture
 * lock. */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "capture.h"
#include "chain.h"
#include "io.h"
#include "library.h"
#include "ltx_writer.h"
#include "mark.h"
#include "seal.h"
#include "state.h"
#include "wal.h"

#define RUN (1024 * 1024) /* bytes of the database file read at a time */
#define OPENING_MS 10     /* how soon to look again whether the first open is through */

typedef struct {
    ltx_position at;
    ltx_pagemap pages; /* newest frame of each page up to `at` */
    int wal_fd;
    int64_t ms;
} image;

/* A database that is empty, or not in WAL mode (refused, or changed by another program), has no
   image to take; a connection of ours would only be in somebody's way. The seal lock is held. */
static int is_wal_database(ltx_db *db)
{
    uint8_t head[20];
    if (ltx_state_lock(db))
        return 1;
    int is_wal = !ltx_state_files(db) && db->fd >= 0 && !ltx_pread(db->fd, head, sizeof head, 0) &&
                 head[18] == 2;
    ltx_state_unlock(db);
    return is_wal;
}

static int page_size_of(ltx_db *db, uint32_t *out)
{
    uint8_t head[100];
    int rc = db->fd < 0 ? ENODATA : ltx_pread(db->fd, head, sizeof head, 0);
    if (rc)
        return rc;
    uint32_t size = (uint32_t)head[16] << 8 | head[17]; /* SQLite file format, 1.3.2 */
    *out = size == 1 ? 65536 : size;
    return *out >= 512 && !(*out & (*out - 1)) ? 0 : EILSEQ;
}

/* What the image holds. ENODATA: the database is empty, there is nothing to base a chain on. */
static int locate(ltx_db *db, image *out)
{
    struct stat st;
    int rc = ltx_state_files(db);
    if (!rc)
        rc = ltx_capture_seek(db, &out->at, &out->pages);
    if (!rc && !out->at.commit) {
        rc = page_size_of(db, &out->at.page_size);
        if (!rc && fstat(db->fd, &st) != 0)
            rc = errno;
        if (!rc)
            out->at.commit = (uint32_t)(st.st_size / out->at.page_size);
    }
    if (!rc && !out->at.commit)
        rc = ENODATA;
    if (!rc && db->wal_fd >= 0 && (out->wal_fd = dup(db->wal_fd)) < 0)
        rc = errno;
    return rc;
}

static int forget_files(ltx_db *db, uint64_t base_txid)
{
    char path[4096];
    uint64_t *txids = NULL;
    size_t count = 0;
    int rc = ltx_chain_spools(db, &txids, &count);
    for (size_t i = 0; !rc && i < count; i++)
        rc = ltx_chain_remove_spool(db, txids[i]);
    free(txids);
    if (!rc)
        rc = ltx_chain_level0(db, &txids, &count);
    else
        return rc;
    for (size_t i = 0; !rc && i < count; i++) {
        if (txids[i] <= base_txid)
            continue;
        rc = ltx_chain_ltx_path(db, txids[i], "", path, sizeof path);
        if (!rc && unlink(path) != 0 && errno != ENOENT)
            rc = errno;
    }
    free(txids);
    return rc;
}

/* Start the chain anew behind base_txid: what is committed from now on goes to the next spool. The
   capture lock is held. `broken` is cleared last, so that a death on the way is found. */
static int begin_chain(ltx_db *db, uint64_t base_txid, const image *from)
{
    ltx_spool mine = {.fd = -1}, next = {.fd = -1};
    int rc = ltx_chain_forget_clean(db);
    db->shared->broken = 1;
    if (db->has_chain)
        ltx_spool_close(&db->spool);
    db->has_chain = 0;
    db->loaded = 0;
    if (!rc)
        rc = forget_files(db, base_txid);
    if (!rc)
        rc = ltx_spool_create(db->folder, base_txid + 1, LTX_SPOOL_SNAPSHOT, db->boot, from->ms,
                              &from->at, &mine);
    ltx_spool_close(&mine);
    if (!rc)
        rc = ltx_spool_create(db->folder, base_txid + 2, 0, db->boot, from->ms, &from->at, &next);
    db->shared->generation++;
    db->shared->layout++;
    if (rc)
        return rc;
    db->spool = next;
    db->has_chain = db->loaded = 1;
    db->newest = base_txid + 1;
    ltx_state_fingerprint(db);
    db->shared->broken = 0;
    return 0;
}

/* A frame of the WAL, if it is still the one that was located: the header is checked before and
   after, since a writer overwrites it before the page. */
static int read_frame(const image *from, const ltx_pagemap_entry *entry, uint8_t *out)
{
    uint8_t head[LTX_WAL_FRAME_HEADER_SIZE];
    for (int look = 0; look < 2; look++) {
        if (ltx_pread(from->wal_fd, head, sizeof head, entry->offset))
            return 0;
        if (ltx_get_u32(head) != entry->pgno || ltx_get_u32(head + 8) != from->at.salt1 ||
            ltx_get_u32(head + 12) != from->at.salt2)
            return 0;
        if (look == 0 && ltx_pread(from->wal_fd, out, from->at.page_size,
                                   entry->offset + LTX_WAL_FRAME_HEADER_SIZE))
            return 0;
    }
    return 1;
}

/* `count` pages from `first` on: the database file, with the WAL's frames over it. */
static int read_run(ltx_db *db, const image *from, uint32_t first, uint32_t count, uint8_t *out)
{
    uint32_t size = from->at.page_size;
    uint64_t offset = (uint64_t)(first - 1) * size;
    size_t want = (size_t)count * size, got;
    int rc = ltx_pread_some(db->fd, out, want, offset, &got);
    if (rc)
        return rc;
    /* Pages behind the file's end are zeros, or in the WAL. */
    memset(out + got, 0, want - got);
    for (uint32_t i = 0; i < count; i++) {
        const ltx_pagemap_entry *entry = ltx_pagemap_get(&from->pages, first + i);
        uint8_t *page = out + (size_t)i * size;
        uint8_t frame[65536];
        if (entry && read_frame(from, entry, frame))
            memcpy(page, frame, size);
    }
    return 0;
}

static int write_pages(ltx_db *db, const image *from, ltx_writer *writer)
{
    uint32_t size = from->at.page_size, commit = from->at.commit;
    uint32_t lock = ltx_lock_pgno(size), run = RUN / size;
    uint8_t *buffer = malloc(RUN);
    if (!buffer)
        return ENOMEM;
    int rc = 0;
    for (uint64_t first = 1; !rc && first <= commit; first += run) {
        uint32_t count = commit - first + 1 < run ? (uint32_t)(commit - first + 1) : run;
        rc = read_run(db, from, (uint32_t)first, count, buffer);
        for (uint32_t i = 0; !rc && i < count; i++)
            if (first + i != lock)
                rc = ltx_writer_page(writer, (uint32_t)first + i, buffer + (size_t)i * size);
    }
    free(buffer);
    return rc;
}

static int write_image(ltx_db *db, uint64_t txid, const image *from)
{
    ltx_header header = {.flags = LTX_NO_CHECKSUM, .timestamp_ms = from->ms};
    header.page_size = from->at.page_size;
    header.commit = from->at.commit;
    header.min_txid = header.max_txid = txid;
    ltx_mark_write(&header, &from->at);
    int fd = -1, rc = ltx_seal_create(db, txid, &fd);
    if (rc)
        return rc;
    ltx_trailer trailer;
    uint64_t size;
    ltx_writer *writer = ltx_writer_open(fd, &header, db->encoding, &rc);
    if (writer)
        rc = write_pages(db, from, writer);
    if (!rc)
        rc = ltx_writer_finish(writer, &trailer, &size);
    ltx_writer_close(writer);
    rc = ltx_seal_publish(db, txid, fd, rc < 0 ? EILSEQ : rc);
    return rc ? rc : ltx_chain_remove_spool(db, txid);
}

/* Under the capture lock: 0 and *needed 0 when another process has made the base meanwhile. */
static int still_needed(ltx_db *db, int force, int *needed)
{
    int rc = ltx_capture_locked(db);
    *needed = force || rc == LTX_NEED_BASE;
    return rc == LTX_NEED_BASE ? 0 : rc;
}

static int begin_locked(ltx_db *db, uint64_t base_txid, int force, image *out, int *needed)
{
    int rc = still_needed(db, force, needed);
    if (rc || !*needed)
        return rc;
    out->ms = ltx_now_ms();
    rc = locate(db, out);
    return rc ? rc : begin_chain(db, base_txid, out);
}

/* Begin at a moment without commits; *reader holds the snapshot. EBUSY: somebody lets nobody in. */
static int begin_shared(ltx_db *db, uint64_t base_txid, int force, image *out, int *needed,
                        void **reader)
{
    void *writer = NULL;
    int rc = ltx_library_open(db->library, db->path, &writer);
    if (!rc)
        rc = ltx_library_open(db->library, db->path, reader);
    atomic_store(&db->shared->base_active, LTX_BASE_BEGINS);
    if (!rc)
        rc = ltx_library_run(db->library, writer, "BEGIN IMMEDIATE");
    if (!rc && !(rc = ltx_state_lock(db))) {
        /* The snapshot first: should it fail, nothing has happened. No commit can come between. */
        rc = ltx_library_run(db->library, *reader, "BEGIN; SELECT 1 FROM sqlite_master LIMIT 1");
        if (!rc)
            rc = begin_locked(db, base_txid, force, out, needed);
        ltx_state_unlock(db);
    }
    ltx_library_close(db->library, writer);
    atomic_store(&db->shared->base_active, rc || !*needed ? 0 : LTX_BASE_READS);
    return rc;
}

static int finish(ltx_db *db, uint64_t txid, image *from, int needed, int rc)
{
    if (!rc && needed) {
        rc = write_image(db, txid, from);
        if (rc && !ltx_state_lock(db)) {
            ltx_state_break(db);
            ltx_state_unlock(db);
        }
    }
    ltx_pagemap_free(&from->pages);
    if (from->wal_fd >= 0)
        close(from->wal_fd);
    if (!rc && needed)
        ltx_wake(&db->shared->sealed, 1);
    return rc;
}

int ltx_base(ltx_db *db, uint64_t base_txid, int force)
{
    image from = {.wal_fd = -1};
    int needed = 0;
    void *reader = NULL;
    /* Asked for again: an exclusive connection has written it meanwhile. */
    if (force && atomic_exchange(&db->hook_done, 0) == base_txid + 1)
        return 0;
    if (!ltx_db_library(db)) {
        ltx_wait(&db->wake, atomic_load(&db->wake), OPENING_MS, 0);
        return EAGAIN;
    }
    int rc = ltx_seal_lock(db);
    if (rc)
        return rc;
    rc =
        is_wal_database(db) ? begin_shared(db, base_txid, force, &from, &needed, &reader) : ENODATA;
    atomic_store(&db->hook_force, force);
    atomic_store(&db->hook_base, rc == EBUSY ? base_txid + 1 : 0);
    rc = finish(db, base_txid + 1, &from, needed, rc);
    ltx_library_close(db->library, reader);
    atomic_store(&db->shared->base_active, 0);
    ltx_seal_unlock(db);
    return rc;
}

int ltx_base_in_hook(ltx_db *db)
{
    uint64_t wanted = atomic_load(&db->hook_base);
    image from = {.wal_fd = -1};
    int needed = 0;
    if (!wanted || db->dead)
        return 0;
    int rc = ltx_seal_lock(db);
    if (rc)
        return rc;
    rc = ltx_state_lock(db);
    if (!rc) {
        rc = begin_locked(db, wanted - 1, atomic_load(&db->hook_force), &from, &needed);
        /* Still under the lock: no checkpoint begins while the image is read. */
        if (!rc && needed)
            rc = write_image(db, wanted, &from);
        if (rc)
            ltx_state_break(db);
        ltx_state_unlock(db);
    }
    rc = finish(db, wanted, &from, 0, rc);
    if (!rc) {
        atomic_store(&db->hook_done, needed && atomic_load(&db->hook_force) ? wanted : 0);
        atomic_store(&db->hook_base, 0);
    }
    ltx_seal_unlock(db);
    ltx_wake(&db->shared->sealed, 1);
    ltx_wake(&db->wake, 0);
    return rc;
}
