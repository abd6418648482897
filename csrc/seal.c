/* Sealing: a closed spool becomes one LTX file of level 0. */
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "chain.h"
#include "io.h"
#include "ltx_writer.h"
#include "mark.h"
#include "state.h"

#define LOCK_TIMEOUT_MS 10000

typedef struct {
    uint32_t pgno;
    uint32_t batch; /* later ones are newer */
    const uint8_t *page;
} version;

typedef struct {
    version *items;
    size_t count;
} versions;

static int by_page_newest_first(const void *a, const void *b)
{
    const version *x = a, *y = b;
    if (x->pgno != y->pgno)
        return x->pgno < y->pgno ? -1 : 1;
    return x->batch > y->batch ? -1 : x->batch < y->batch;
}

int ltx_seal_lock(ltx_db *db)
{
    pthread_mutex_lock(&db->seal);
    int rc = ltx_lock(db->shared_fd, LTX_LOCK_SEAL, LOCK_TIMEOUT_MS);
    if (rc)
        pthread_mutex_unlock(&db->seal);
    return rc;
}

void ltx_seal_unlock(ltx_db *db)
{
    ltx_unlock(db->shared_fd, LTX_LOCK_SEAL);
    pthread_mutex_unlock(&db->seal);
}

int ltx_seal_create(ltx_db *db, uint64_t txid, int *fd)
{
    char temp[PATH_MAX];
    struct stat st;
    int rc = ltx_chain_ltx_path(db, txid, ".tmp", temp, sizeof temp);
    if (rc)
        return rc;
    int mode = stat(db->path, &st) == 0 ? (int)(st.st_mode & 0666) : 0600;
    *fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    return *fd < 0 ? errno : 0;
}

int ltx_seal_publish(ltx_db *db, uint64_t txid, int fd, int rc)
{
    char temp[PATH_MAX], path[PATH_MAX];
    if (!rc && fsync(fd) != 0)
        rc = errno;
    close(fd);
    int named = ltx_chain_ltx_path(db, txid, ".tmp", temp, sizeof temp);
    if (!named)
        named = ltx_chain_ltx_path(db, txid, "", path, sizeof path);
    if (!rc)
        rc = named;
    if (!rc && rename(temp, path) != 0)
        rc = errno;
    if (!rc)
        rc = ltx_sync_folder(db->level0);
    if (rc && !named)
        unlink(temp);
    return rc;
}

/* Pages of all batches in the mapped spool. */
static int read_versions(const ltx_spool *spool, const uint8_t *map, versions *out)
{
    out->items = malloc((spool->pages + 1) * sizeof *out->items);
    if (!out->items)
        return ENOMEM;
    uint64_t at = sizeof(ltx_spool_header);
    uint32_t size = spool->position.page_size;
    /* Bounded by spool->size, which was checked against the file's. */
    for (uint32_t batch = 0; at < spool->size; batch++) {
        const ltx_batch_header *h = (const void *)(map + at);
        uint64_t table = ((uint64_t)h->pages * 4 + 7) & ~7ull;
        const uint32_t *pgnos = (const void *)(map + at + sizeof *h);
        const uint8_t *pages = (const uint8_t *)pgnos + table;
        for (uint32_t i = 0; i < h->pages; i++)
            out->items[out->count++] = (version){pgnos[i], batch, pages + (size_t)i * size};
        at += sizeof *h + table + (uint64_t)h->pages * size;
    }
    qsort(out->items, out->count, sizeof *out->items, by_page_newest_first);
    return 0;
}

static int write_versions(const versions *from, uint32_t commit, ltx_writer *writer)
{
    uint32_t last = 0;
    for (size_t i = 0; i < from->count; i++) {
        const version *v = &from->items[i];
        if (v->pgno == last || v->pgno > commit)
            continue;
        last = v->pgno;
        int rc = ltx_writer_page(writer, v->pgno, v->page);
        if (rc)
            return rc < 0 ? EILSEQ : rc;
    }
    return 0;
}

static int encode(ltx_db *db, const ltx_spool *spool, const versions *from, int fd)
{
    ltx_header header = {.flags = LTX_NO_CHECKSUM, .timestamp_ms = spool->ms};
    header.page_size = spool->position.page_size;
    header.commit = spool->position.commit;
    header.min_txid = header.max_txid = spool->header.txid;
    ltx_mark_write(&header, &spool->position);
    int rc = 0;
    ltx_trailer trailer;
    uint64_t size;
    ltx_writer *writer = ltx_writer_open(fd, &header, db->encoding, &rc);
    if (!writer)
        return rc < 0 ? EILSEQ : rc;
    rc = write_versions(from, header.commit, writer);
    if (!rc)
        rc = ltx_writer_finish(writer, &trailer, &size);
    ltx_writer_close(writer);
    return rc < 0 ? EILSEQ : rc;
}

static int seal_spool(ltx_db *db, ltx_spool *spool)
{
    versions from = {0};
    uint8_t *map = mmap(NULL, spool->size, PROT_READ, MAP_SHARED, spool->fd, 0);
    if (map == MAP_FAILED)
        return errno;
    int fd = -1;
    int rc = read_versions(spool, map, &from);
    if (!rc)
        rc = ltx_seal_create(db, spool->header.txid, &fd);
    if (!rc)
        rc = ltx_seal_publish(db, spool->header.txid, fd, encode(db, spool, &from, fd));
    free(from.items);
    munmap(map, spool->size);
    return rc;
}

static int seal_one(ltx_db *db, uint64_t txid)
{
    char path[PATH_MAX];
    ltx_spool spool;
    int rc = ltx_chain_ltx_path(db, txid, "", path, sizeof path);
    if (rc)
        return rc;
    if (access(path, F_OK) == 0)
        return ltx_chain_remove_spool(db, txid);
    rc = ltx_spool_open(db->folder, txid, 0, &spool);
    if (rc)
        return rc;
    /* The full image of this TXID was never finished, and nobody is at it: the seal lock is ours.
     */
    if (spool.header.flags & LTX_SPOOL_SNAPSHOT)
        rc = LTX_NEED_BASE;
    else
        rc = seal_spool(db, &spool);
    ltx_spool_close(&spool);
    if (!rc)
        rc = ltx_spool_recycle(db->folder, txid);
    return rc;
}

/* An unfinished or unreadable spool breaks the chain; the base that follows holds all it held. */
static int break_chain(ltx_db *db)
{
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    ltx_state_break(db);
    ltx_state_unlock(db);
    return LTX_NEED_BASE;
}

/* Rotate when there is something to seal; *open is the spool that stays open. */
static int rotate(ltx_db *db, uint64_t *open)
{
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    rc = ltx_capture_locked(db);
    if (!rc && db->has_chain && db->spool.pages)
        rc = ltx_rotate_locked(db);
    *open = db->has_chain ? db->spool.header.txid : 0;
    ltx_state_unlock(db);
    return rc;
}

int ltx_seal(ltx_db *db, uint64_t *newest)
{
    uint64_t open = 0, *txids = NULL;
    size_t count = 0;
    uint64_t commits = atomic_load(&db->commits);
    int rc = ltx_seal_lock(db);
    if (rc)
        return rc;
    rc = rotate(db, &open);
    atomic_store(&db->unsealed, 0);
    if (!rc)
        rc = ltx_chain_spools(db, &txids, &count);
    for (size_t i = 0; !rc && i < count && txids[i] < open; i++) {
        rc = seal_one(db, txids[i]);
        if (rc == LTX_NEED_BASE || rc == EILSEQ)
            rc = break_chain(db);
    }
    free(txids);
    ltx_seal_unlock(db);
    if (rc) {
        atomic_store(&db->unsealed, 1);
        return rc;
    }
    atomic_store(&db->captured, commits);
    *newest = open ? open - 1 : 0;
    ltx_wake(&db->shared->sealed, 1);
    return 0;
}

int ltx_seal_mark_clean(ltx_db *db)
{
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    rc = ltx_capture_locked(db);
    if (!rc && db->has_chain && !db->spool.pages && db->newest &&
        atomic_load(&db->connections) == 0 && db->shared->clean_txid != db->newest) {
        db->shared->clean_txid = db->newest;
        ltx_spool_drop_spare(db->folder);
        rc = fsync(db->shared_fd) == 0 ? 0 : errno;
    }
    ltx_state_unlock(db);
    return rc;
}
