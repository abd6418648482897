#include "cut.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "io.h"
#include "state.h"

#define LOOKS 4                       /* the WAL is restarted once at most, a foreigner may need all */
#define IN_MEMORY (64u * 1024 * 1024) /* bytes of pages; more go to a file without a name */
#define WORTH_IT 256                  /* pages; fewer are not read ahead */
#define BACKFILL_ATTEMPTED 32         /* u32 index in the WAL index (SQLite: walformat, 2.1) */

/* The generation of the WAL: its salts; zeros without a WAL. */
static int generation(ltx_db *db, uint64_t *out)
{
    ltx_wal_header wal;
    int present = 0;
    int rc = ltx_scan_header(db->wal_fd, &wal, &present);
    *out = present ? (uint64_t)wal.salt1 << 32 | wal.salt2 : 0;
    return rc;
}

/* Whether nothing behind `at` has reached the database file since it was `before`. A checkpoint says
   how far it will go before it writes, in the WAL index. Once the WAL was restarted behind one of
   ours, the file is as that left it. */
static int held_still(ltx_db *db, const ltx_position *at, const ltx_fingerprint *before)
{
    uint64_t now;
    ltx_fingerprint print;
    if (generation(db, &now) || ltx_state_observe(db, &print))
        return 0;
    if (memcmp(&print, before, sizeof print) == 0)
        return 1;
    if (now != ((uint64_t)at->salt1 << 32 | at->salt2))
        return ltx_state_untouched(db);
    return db->wal_index[0] && db->wal_index[0][BACKFILL_ATTEMPTED] <= ltx_position_frames(at);
}

/* Room for `size` bytes of pages; in memory while they are few. */
static int map_room(ltx_db *db, size_t size, ltx_room *out)
{
    char path[PATH_MAX];
    int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS, rc = 0;
    if (!size)
        return 0;
    if (size > IN_MEMORY) {
        int n = snprintf(path, sizeof path, "%s/cut", db->folder);
        if (n < 0 || (size_t)n >= sizeof path)
            return ENAMETOOLONG;
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
            return errno;
        unlink(path);
        flags = MAP_SHARED;
        /* A full disk must be an error here, not a signal at the first touch of a page. */
        rc = posix_fallocate(fd, 0, (off_t)size);
    }
    void *map = rc ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (!rc && map == MAP_FAILED)
        rc = errno;
    if (fd >= 0)
        close(fd);
    if (rc)
        return rc;
#ifdef MADV_HUGEPAGE
    madvise(map, size, MADV_HUGEPAGE); /* or the kernel clears and maps 4 KiB at a time */
#endif
    *out = (ltx_room){map, size};
    return 0;
}

/* `count` pages of the database file; behind its end they are zeros. */
static int read_file(ltx_db *db, uint32_t page_size, uint32_t pgno, size_t count, uint8_t *out)
{
    size_t got = 0, want = count * page_size;
    int rc = ltx_pread_some(db->fd, out, want, (uint64_t)(pgno - 1) * page_size, &got);
    if (!rc)
        memset(out + got, 0, want - got);
    return rc;
}

static int is_to_read(const ltx_cut *cut, size_t i)
{
    return cut->pages[i] >= cut->read.data && cut->pages[i] < cut->read.data + cut->read.size;
}

/* How many pages to read from pgnos[i] on stand one after the other in the database file. */
static size_t run_in_file(const ltx_cut *cut, const ltx_pagemap *frames, size_t i)
{
    size_t n = 0;
    while (i + n < cut->count && cut->pgnos[i + n] == cut->pgnos[i] + n && is_to_read(cut, i + n) &&
           !ltx_pagemap_get(frames, cut->pgnos[i + n]))
        n++;
    return n;
}

static int read_from_file(ltx_db *db, const ltx_cut *cut, const ltx_pagemap *frames)
{
    for (size_t i = 0, n; i < cut->count; i += n ? n : 1) {
        n = run_in_file(cut, frames, i);
        int rc = n ? read_file(db, cut->at.page_size, cut->pgnos[i], n, cut->pages[i]) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static int read_from_wal(ltx_db *db, const ltx_cut *cut, const ltx_pagemap *frames)
{
    for (size_t i = 0; i < cut->count; i++) {
        const ltx_pagemap_entry *frame = ltx_pagemap_get(frames, cut->pgnos[i]);
        if (!frame || !is_to_read(cut, i))
            continue;
        int rc = ltx_pread(db->wal_fd, cut->pages[i], cut->at.page_size,
                           frame->offset + LTX_WAL_FRAME_HEADER_SIZE);
        if (rc)
            return rc;
    }
    return 0;
}

/* Read the pages; *still: they all are of one commit. The WAL comes first, since it may be restarted
   at any time: its header is new before a frame is overwritten. */
static int read_pages(ltx_db *db, const ltx_cut *cut, int *still)
{
    ltx_pagemap frames = {0};
    ltx_fingerprint before;
    uint64_t generation_before, generation_after;
    *still = 0;
    int rc = generation(db, &generation_before);
    if (!rc)
        rc = ltx_state_observe(db, &before);
    if (!rc)
        rc = ltx_capture_frames(db, &cut->at, &frames);
    if (!rc)
        rc = read_from_wal(db, cut, &frames);
    int shrunk = rc == ENODATA;
    if (!rc || shrunk)
        rc = generation(db, &generation_after);
    if (!rc && !shrunk && generation_before == generation_after) {
        rc = read_from_file(db, cut, &frames);
        *still = held_still(db, &cut->at, &before);
    }
    ltx_pagemap_free(&frames);
    return rc;
}

/* A cut of what is in the spool now, as yet without pages. */
static int name_pages(ltx_db *db, ltx_cut *out)
{
    ltx_fingerprint print = {0};
    *out = (ltx_cut){.txid = db->spool.header.txid, .nonce = db->spool.header.nonce};
    out->spool_size = db->spool.size;
    out->ms = db->spool.ms;
    out->at = db->spool.position;
    int rc = ltx_state_observe(db, &print);
    if (!rc)
        rc = ltx_spool_pgnos(&db->spool, sizeof(ltx_spool_header), &out->pgnos, &out->count);
    if (!rc && out->count && !(out->pages = calloc(out->count, sizeof *out->pages)))
        rc = ENOMEM;
    out->inode = print.inode;
    return rc;
}

/* Room for the pages that have none. */
static int make_room(ltx_db *db, ltx_cut *cut)
{
    size_t missing = 0, size = cut->at.page_size;
    for (size_t i = 0; i < cut->count; i++)
        missing += !cut->pages[i];
    int rc = map_room(db, missing * size, &cut->read);
    uint8_t *next = cut->read.data;
    for (size_t i = 0; !rc && i < cut->count; i++) {
        if (cut->pages[i])
            continue;
        cut->pages[i] = next;
        next += size;
    }
    return rc;
}

/* Pages read ahead that no batch since has named again: they still are what they were. */
static int use_ahead(ltx_db *db, const ltx_cut *ahead, ltx_cut *cut)
{
    uint32_t *again;
    size_t again_count, a = 0, k = 0;
    if (!ahead->count || ahead->inode != cut->inode || !ltx_cut_is_current(db, ahead))
        return 0;
    int rc = ltx_spool_pgnos(&db->spool, ahead->spool_size, &again, &again_count);
    for (size_t i = 0; !rc && i < cut->count; i++) {
        while (a < again_count && again[a] < cut->pgnos[i])
            a++;
        while (k < ahead->count && ahead->pgnos[k] < cut->pgnos[i])
            k++;
        int changed = a < again_count && again[a] == cut->pgnos[i];
        if (!changed && k < ahead->count && ahead->pgnos[k] == cut->pgnos[i])
            cut->pages[i] = ahead->pages[k];
    }
    free(again);
    return rc;
}

/* Leave out the pages that the WAL has. */
static void keep_calm(ltx_cut *cut, const ltx_pagemap *frames)
{
    size_t kept = 0;
    for (size_t i = 0; i < cut->count; i++)
        if (!ltx_pagemap_get(frames, cut->pgnos[i]))
            cut->pgnos[kept++] = cut->pgnos[i];
    cut->count = kept;
}

int ltx_cut_plan(ltx_db *db, ltx_cut *out)
{
    ltx_pagemap frames = {0};
    *out = (ltx_cut){0};
    int rc = ltx_capture_locked(db);
    if (rc || !db->has_chain || db->spool.pages < WORTH_IT)
        return rc;
    rc = name_pages(db, out);
    if (!rc)
        rc = ltx_capture_frames(db, &out->at, &frames);
    keep_calm(out, &frames);
    ltx_pagemap_free(&frames);
    if (!rc && out->count >= WORTH_IT)
        rc = make_room(db, out);
    if (rc || out->count < WORTH_IT)
        ltx_cut_free(out);
    return rc;
}

int ltx_cut_read_ahead(ltx_db *db, ltx_cut *ahead)
{
    const ltx_pagemap none = {0};
    return read_from_file(db, ahead, &none);
}

int ltx_cut_take(ltx_db *db, ltx_cut *ahead, ltx_cut *out)
{
    *out = (ltx_cut){0};
    for (int look = 0; look < LOOKS; look++) {
        int rc = ltx_capture_locked(db), still = 0;
        if (rc || !db->has_chain || !db->spool.pages)
            return rc;
        rc = name_pages(db, out);
        if (!rc)
            rc = use_ahead(db, ahead, out);
        if (!rc)
            rc = make_room(db, out);
        if (!rc)
            rc = read_pages(db, out, &still);
        if (!rc && still) {
            out->ahead = ahead->read;
            ahead->read = (ltx_room){0};
            return 0;
        }
        ltx_cut_free(out);
        if (rc)
            return rc;
    }
    return EAGAIN;
}

int ltx_cut_is_current(const ltx_db *db, const ltx_cut *cut)
{
    return db->loaded && db->has_chain && db->spool.header.txid == cut->txid &&
           db->spool.header.nonce == cut->nonce && db->spool.size >= cut->spool_size;
}

static void give_back(ltx_room room)
{
    if (room.size)
        munmap(room.data, room.size);
}

void ltx_cut_free(ltx_cut *cut)
{
    free(cut->pgnos);
    free(cut->pages);
    give_back(cut->read);
    give_back(cut->ahead);
    *cut = (ltx_cut){0};
}
