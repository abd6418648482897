/* Sealing: what was committed since the last LTX file becomes the next one of level 0. */
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "chain.h"
#include "cut.h"
#include "io.h"
#include "ltx_writer.h"
#include "mark.h"
#include "state.h"

#define LOCK_TIMEOUT_MS 10000

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

static int encode(ltx_db *db, const ltx_cut *cut, int fd)
{
    ltx_header header = {.flags = LTX_NO_CHECKSUM, .timestamp_ms = cut->ms};
    header.page_size = cut->at.page_size;
    header.commit = cut->at.commit;
    header.min_txid = header.max_txid = cut->txid;
    ltx_mark_write(&header, &cut->at);
    int rc = 0;
    ltx_trailer trailer;
    uint64_t size;
    ltx_writer *writer = ltx_writer_open(fd, &header, db->encoding, &rc);
    if (!writer)
        return rc < 0 ? EILSEQ : rc;
    for (size_t i = 0; !rc && i < cut->count; i++)
        rc = ltx_writer_page(writer, cut->pgnos[i], cut->pages[i]);
    if (!rc)
        rc = ltx_writer_finish(writer, &trailer, &size);
    ltx_writer_close(writer);
    return rc < 0 ? EILSEQ : rc;
}

/* A spool in front of the open one is that of a full image. Nobody is at it: the seal lock is ours.
   LTX_NEED_BASE: it was never finished. */
static int check_image(ltx_db *db, uint64_t open)
{
    uint64_t *txids = NULL, *sealed = NULL;
    size_t count = 0, sealed_count = 0;
    int rc = ltx_chain_spools(db, &txids, &count);
    if (!rc && count && txids[0] < open)
        rc = ltx_chain_level0(db, &sealed, &sealed_count);
    if (!rc && count && txids[0] < open)
        rc = sealed_count && sealed[sealed_count - 1] >= txids[0]
                 ? ltx_chain_remove_spool(db, txids[0])
                 : LTX_NEED_BASE;
    free(txids);
    free(sealed);
    return rc;
}

/* Under the capture lock: what was cut as the last connection closed, if it still is the next file's
   content. */
static int use_kept(ltx_db *db, ltx_cut *out)
{
    *out = db->kept;
    db->kept = (ltx_cut){0};
    if (out->count && ltx_cut_is_current(db, out))
        return 1;
    ltx_cut_free(out);
    return 0;
}

/* The open spool's file is there already: its sealer died before the next spool was begun, and what
   others have added to the old one since is not in that file. Reading the chain from disk takes it
   over into the next spool. */
static void notice_dead_sealer(ltx_db *db)
{
    char path[PATH_MAX];
    if (db->loaded && db->has_chain &&
        ltx_chain_ltx_path(db, db->spool.header.txid, "", path, sizeof path) == 0 &&
        access(path, F_OK) == 0)
        db->loaded = 0;
}

static int plan(ltx_db *db, ltx_cut *ahead, ltx_cut *out)
{
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    notice_dead_sealer(db);
    if (!use_kept(db, out))
        rc = ltx_cut_plan(db, ahead);
    ltx_state_unlock(db);
    return rc ? rc : ltx_cut_read_ahead(db, ahead);
}

static int cut_out(ltx_db *db, ltx_cut *ahead, ltx_cut *out)
{
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    if (!out->count)
        rc = ltx_cut_take(db, ahead, out);
    if (!rc && db->has_chain)
        rc = check_image(db, db->spool.header.txid);
    /* The base that follows holds all that the chain held. */
    if (rc == LTX_NEED_BASE)
        ltx_state_break(db);
    ltx_state_unlock(db);
    return rc;
}

/* What the next file holds. */
static int take(ltx_db *db, ltx_cut *out)
{
    ltx_cut ahead = {0};
    int rc = plan(db, &ahead, out);
    if (!rc)
        rc = cut_out(db, &ahead, out);
    ltx_cut_free(&ahead);
    return rc;
}

/* The spool of the next TXID takes over what was committed since the cut. Should that fail, the
   chain is read from disk again, where it is made up for. */
static int go_on_behind(ltx_db *db, const ltx_cut *cut)
{
    ltx_spool next = {.fd = -1}; /* closed: there may be no room to make it */
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    if (!db->loaded) {
        /* Another process died with the lock: what it left is looked at, and taken over, there. */
        rc = ltx_state_files(db);
        if (!rc)
            rc = ltx_chain_load(db);
    } else if (ltx_cut_is_current(db, cut)) {
        rc = ltx_spool_carry(db->folder, &db->spool, cut->spool_size, &next);
        if (!rc)
            rc = ltx_chain_remove_spool(db, cut->txid);
        ltx_spool_close(&db->spool);
        db->spool = next;
        db->newest = cut->txid;
        db->loaded = rc == 0;
        db->shared->generation++;
        db->shared->layout++;
    }
    ltx_state_unlock(db);
    return rc;
}

static int seal(ltx_db *db, const ltx_cut *cut)
{
    int fd = -1;
    int rc = ltx_seal_create(db, cut->txid, &fd);
    if (!rc)
        rc = ltx_seal_publish(db, cut->txid, fd, encode(db, cut, fd));
    return rc ? rc : go_on_behind(db, cut);
}

int ltx_seal(ltx_db *db, uint64_t *newest)
{
    ltx_cut cut = {0};
    uint64_t commits = atomic_load(&db->commits);
    int rc = ltx_seal_lock(db);
    if (rc)
        return rc;
    rc = take(db, &cut);
    if (!rc && cut.count)
        rc = seal(db, &cut);
    ltx_cut_free(&cut);
    *newest = db->newest;
    ltx_seal_unlock(db);
    if (rc)
        return rc;
    atomic_store(&db->captured, commits);
    ltx_wake(&db->shared->sealed, 1);
    return 0;
}

int ltx_seal_keep(ltx_db *db)
{
    ltx_cut none = {0}, cut;
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    rc = ltx_cut_take(db, &none, &cut);
    if (!rc) {
        ltx_cut_free(&db->kept);
        db->kept = cut;
    }
    ltx_state_unlock(db);
    return rc;
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
        rc = fsync(db->shared_fd) == 0 ? 0 : errno;
    }
    ltx_state_unlock(db);
    return rc;
}
