/* The chain on disk: spools and sealed LTX files, and where they say capture stands. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chain.h"
#include "io.h"
#include "ltx.h"
#include "mark.h"
#include "state.h"
#include "takeover.h"
#include "wal.h"

static int parse_hex(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return 0;
        value = value << 4 | (uint64_t)v;
    }
    *out = value;
    return 1;
}

static int parse_spool(const char *name, uint64_t *txid)
{
    return strlen(name) == 22 && parse_hex(name, txid) && strcmp(name + 16, ".spool") == 0;
}

static int parse_ltx(const char *name, uint64_t *txid)
{
    uint64_t min;
    return strlen(name) == 37 && parse_hex(name, &min) && name[16] == '-' &&
           parse_hex(name + 17, txid) && strcmp(name + 33, ".ltx") == 0;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int collect(const char *folder, int (*parse)(const char *, uint64_t *), uint64_t **out,
                   size_t *count)
{
    uint64_t *found = NULL;
    size_t n = 0, max = 0;
    int rc = 0;
    *out = NULL;
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? 0 : errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        uint64_t txid;
        if (!parse(entry->d_name, &txid))
            continue;
        if (n == max) {
            max = max ? max * 2 : 64;
            uint64_t *grown = realloc(found, max * sizeof *grown);
            if (!grown) {
                rc = ENOMEM;
                break;
            }
            found = grown;
        }
        found[n++] = txid;
    }
    closedir(dir);
    if (rc) {
        free(found);
        return rc;
    }
    if (n)
        qsort(found, n, sizeof *found, ascending);
    *out = found;
    *count = n;
    return 0;
}

int ltx_chain_spools(ltx_db *db, uint64_t **out, size_t *count)
{
    return collect(db->folder, parse_spool, out, count);
}

int ltx_chain_level0(ltx_db *db, uint64_t **out, size_t *count)
{
    return collect(db->level0, parse_ltx, out, count);
}

int ltx_chain_ltx_path(ltx_db *db, uint64_t txid, const char *suffix, char *out, size_t size)
{
    unsigned long long t = txid;
    int n = snprintf(out, size, "%s/%016llx-%016llx.ltx%s", db->level0, t, t, suffix);
    return n > 0 && (size_t)n < size ? 0 : ENAMETOOLONG;
}

int ltx_chain_remove_spool(ltx_db *db, uint64_t txid)
{
    char path[PATH_MAX];
    int rc = ltx_spool_path(db->folder, txid, path, sizeof path);
    if (rc)
        return rc;
    return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

int ltx_chain_forget_clean(ltx_db *db)
{
    if (!db->shared->clean_txid)
        return 0;
    db->shared->clean_txid = 0;
    return fsync(db->shared_fd) == 0 ? 0 : errno;
}

/* Where capture stood behind the sealed file `txid`. ENODATA: it does not say. */
static int position_of(ltx_db *db, uint64_t txid, ltx_position *out, int64_t *ms)
{
    char path[PATH_MAX];
    uint8_t raw[LTX_HEADER_SIZE];
    ltx_header header;
    int rc = ltx_chain_ltx_path(db, txid, "", path, sizeof path);
    if (rc)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ENODATA : errno; /* not one TXID: no file of level 0 we know */
    rc = ltx_pread(fd, raw, sizeof raw, 0);
    close(fd);
    if (rc)
        return rc;
    if (ltx_header_unpack(raw, &header))
        return ENODATA;
    *ms = header.timestamp_ms;
    if (ltx_mark_read(&header, out))
        return 0;
    return ltx_takeover_position(path, &header, db->wal_fd, out);
}

/* Open the newest spool. *usable: it follows on the newest LTX file, with nothing but an image
   between, or is that file's own (its sealer died), and was written since the machine booted. */
static int open_newest(ltx_db *db, const uint64_t *txids, size_t count, int *usable)
{
    uint64_t last = txids[count - 1];
    *usable = 0;
    int rc = ltx_spool_open(db->folder, last, &db->spool);
    if (rc)
        return rc == EILSEQ || rc == ENOENT ? 0 : rc;
    *usable = last - db->newest <= 1 || (count > 1 && last - db->newest == 2);
    if (memcmp(db->spool.header.boot, db->boot, sizeof db->boot) != 0 ||
        db->spool.header.flags & LTX_SPOOL_SNAPSHOT)
        *usable = 0;
    if (!*usable)
        ltx_spool_close(&db->spool);
    return 0;
}

/* Spools are lost or of no use: go on from the newest sealed file, if it and the WAL allow. */
static int start_from_sealed(ltx_db *db, const uint64_t *txids, size_t count)
{
    int clean = db->shared->clean_txid && db->shared->clean_txid == db->newest;
    for (size_t i = 0; i < count; i++)
        ltx_chain_remove_spool(db, txids[i]);
    if (!clean)
        memset(&db->shared->fingerprint, 0, sizeof db->shared->fingerprint);
    db->shared->generation++;
    db->shared->layout++;
    if (!db->newest)
        return 0; /* the base was never finished: there is no chain */
    ltx_position at;
    int64_t ms = 0;
    int rc = position_of(db, db->newest, &at, &ms);
    if (rc == ENODATA) {
        ltx_state_break(db);
        return 0;
    }
    if (!rc)
        rc = ltx_spool_create(db->folder, db->newest + 1, 0, db->boot, ms, &at, &db->spool);
    db->has_chain = rc == 0;
    return rc;
}

/* Somebody has damaged the open spool: a batch that was written is not there. */
static int is_cut(const ltx_db *db)
{
    uint64_t txid = db->spool.header.txid;
    return txid < db->shared->spool_txid ||
           (txid == db->shared->spool_txid && db->spool.size < db->shared->spool_size);
}

/* The newest LTX file is made of this spool: go on in the next one, with pages too many. */
static int leave_sealed(ltx_db *db)
{
    ltx_spool next;
    uint64_t sealed = db->spool.header.txid;
    int rc = ltx_spool_carry(db->folder, &db->spool, sizeof(ltx_spool_header), &next);
    ltx_spool_close(&db->spool);
    if (rc)
        return rc;
    db->spool = next;
    db->shared->generation++;
    db->shared->layout++;
    return ltx_chain_remove_spool(db, sealed);
}

static int load_spools(ltx_db *db, const uint64_t *txids, size_t count)
{
    int usable = 0, rc = 0;
    size_t done = 0;
    while (done + 1 < count && txids[done] <= db->newest)
        ltx_chain_remove_spool(db, txids[done++]);
    if (count)
        rc = open_newest(db, txids + done, count - done, &usable);
    if (rc || !usable)
        return rc ? rc : start_from_sealed(db, txids, count);
    if (db->spool.header.txid == db->newest)
        rc = leave_sealed(db);
    if (rc)
        return rc;
    db->has_chain = 1;
    db->newest = db->spool.header.txid - 1;
    if (is_cut(db))
        ltx_state_break(db);
    return 0;
}

/* No WAL, so nothing to compare with: the database file itself must be as we left it. */
static void check_untouched(ltx_db *db)
{
    uint8_t raw[LTX_WAL_HEADER_SIZE];
    ltx_wal_header wal;
    if (!db->has_chain || db->shared->broken)
        return;
    int present = db->wal_fd >= 0 && !ltx_pread(db->wal_fd, raw, sizeof raw, 0) &&
                  !ltx_wal_header_parse(raw, &wal);
    if (!present && !ltx_state_untouched(db))
        ltx_state_break(db);
}

int ltx_chain_load(ltx_db *db)
{
    uint64_t *sealed = NULL, *spools = NULL;
    size_t sealed_count = 0, spool_count = 0;
    if (db->has_chain)
        ltx_spool_close(&db->spool);
    db->has_chain = 0;
    int rc = ltx_chain_level0(db, &sealed, &sealed_count);
    if (!rc)
        rc = ltx_chain_spools(db, &spools, &spool_count);
    if (!rc) {
        db->newest = sealed_count ? sealed[sealed_count - 1] : 0;
        if (sealed_count || spool_count)
            rc = load_spools(db, spools, spool_count);
    }
    free(sealed);
    free(spools);
    if (rc)
        return rc;
    check_untouched(db);
    db->loaded = 1;
    return 0;
}
