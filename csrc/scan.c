#include "scan.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "io.h"

#define CHUNK (512 * 1024)
#define FIRST_REGION_START 34    /* words before the page numbers of the first region */
#define FIRST_REGION_FRAMES 4062 /* page numbers in it */
#define REGION_FRAMES 4096       /* and in each other one */
#define UNUSABLE -1              /* the WAL index does not say: read the WAL */

/* The header of the WAL index (SQLite: walformat, section 2.1), in the machine's byte order. */
typedef struct {
    uint32_t version, unused, change;
    uint8_t valid, big_endian;
    uint16_t page_size;
    uint32_t frames, commit;
    uint32_t checksum[2]; /* of the last frame */
    uint8_t salts[8];     /* as in the WAL, big-endian */
    uint32_t own_checksum[2];
} index_header;

_Static_assert(sizeof(index_header) == 48, "the header of the WAL index has 48 bytes");

/* SQLite writes the second copy first: equal copies with a right checksum are a whole header. */
static int read_index(const volatile void *index, index_header *out)
{
    index_header again;
    uint32_t sum[2] = {0, 0};
    memcpy(out, (const void *)index, sizeof *out);
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(&again, (const uint8_t *)index + sizeof *out, sizeof again);
    ltx_wal_checksum(0, (const uint8_t *)out, sizeof *out - sizeof out->own_checksum, sum);
    return memcmp(out, &again, sizeof again) == 0 && out->valid && sum[0] == out->own_checksum[0] &&
           sum[1] == out->own_checksum[1];
}

static uint64_t frame_size(const ltx_scan *s)
{
    return LTX_WAL_FRAME_HEADER_SIZE + (uint64_t)s->wal.page_size;
}

/* The page number of frame `n` (from 1) in the WAL index, or 0 (SQLite: walformat, section 2.2). */
static uint32_t indexed_pgno(const ltx_wal_index index, uint64_t n)
{
    if (n <= FIRST_REGION_FRAMES)
        return index[0][FIRST_REGION_START + n - 1];
    uint64_t rest = n - FIRST_REGION_FRAMES - 1, region = 1 + rest / REGION_FRAMES;
    if (region >= LTX_INDEX_REGIONS || !index[region])
        return 0;
    return index[region][rest % REGION_FRAMES];
}

static int read_pgno(const ltx_scan *s, int wal_fd, uint64_t at, uint32_t *out)
{
    uint8_t head[LTX_WAL_FRAME_HEADER_SIZE];
    int rc = ltx_pread(wal_fd, head, sizeof head, at);
    if (rc)
        return rc == ENODATA ? UNUSABLE : rc;
    *out = ltx_get_u32(head);
    int ours = ltx_get_u32(head + 8) == s->wal.salt1 && ltx_get_u32(head + 12) == s->wal.salt2;
    return ours ? 0 : UNUSABLE;
}

/* Page numbers of the frames from s->at to `end`, which are all committed. */
static int map_frames(ltx_scan *s, int wal_fd, const ltx_wal_index index, uint64_t end)
{
    uint64_t n = (s->at.end - LTX_WAL_HEADER_SIZE) / frame_size(s) + 1;
    for (uint64_t at = s->at.end; at < end; at += frame_size(s), n++) {
        uint32_t pgno = indexed_pgno(index, n);
        int rc = pgno ? 0 : read_pgno(s, wal_fd, at, &pgno);
        if (!rc)
            rc = ltx_pagemap_set(s->pages, pgno, at);
        if (rc)
            return rc;
    }
    return 0;
}

static int run_with_index(ltx_scan *s, int wal_fd, const ltx_wal_index index)
{
    index_header h;
    if (!index[0] || !read_index(index[0], &h))
        return UNUSABLE;
    uint64_t end = LTX_WAL_HEADER_SIZE + h.frames * frame_size(s);
    if (h.frames == 0 || ltx_get_u32(h.salts) != s->wal.salt1 ||
        ltx_get_u32(h.salts + 4) != s->wal.salt2 || end < s->at.end || end < s->limit)
        return UNUSABLE;
    if (s->limit)
        end = s->limit;
    if (end == s->at.end)
        return 0;
    int rc = map_frames(s, wal_fd, index, end);
    if (rc)
        return rc;
    s->at.end = end;
    s->at.commit = h.commit;
    s->at.checksum1 = h.checksum[0];
    s->at.checksum2 = h.checksum[1];
    return 0;
}

/* Frames of a transaction whose commit frame was not seen yet. */
typedef struct {
    ltx_pagemap_entry *frames;
    size_t count, max;
} transaction;

static int keep_frame(transaction *open, uint32_t pgno, uint64_t offset)
{
    if (open->count == open->max) {
        size_t max = open->max ? open->max * 2 : 256;
        ltx_pagemap_entry *grown = realloc(open->frames, max * sizeof *grown);
        if (!grown)
            return ENOMEM;
        open->frames = grown;
        open->max = max;
    }
    open->frames[open->count++] = (ltx_pagemap_entry){pgno, offset};
    return 0;
}

static int keep_transaction(ltx_scan *s, transaction *open)
{
    for (size_t i = 0; i < open->count; i++) {
        int rc = ltx_pagemap_set(s->pages, open->frames[i].pgno, open->frames[i].offset);
        if (rc)
            return rc;
    }
    open->count = 0;
    return 0;
}

/* One read from the WAL and the room for what is found in it. */
typedef struct {
    uint8_t *data;
    uint32_t *pgnos, *commits;
    size_t size; /* of data: whole frames */
} chunk;

/* Valid frames of data[0..size), which stands at `offset`. *count: how many they are. */
static int scan_chunk(ltx_scan *s, transaction *open, chunk *c, size_t size, uint64_t offset,
                      uint32_t sum[2], size_t *count)
{
    size_t frame = frame_size(s);
    *count = ltx_wal_scan(&s->wal, c->data, size / frame * frame, sum, c->pgnos, c->commits);
    for (size_t i = 0; i < *count; i++) {
        const uint8_t *head = c->data + i * frame;
        int rc = keep_frame(open, c->pgnos[i], offset + i * frame);
        if (!rc && c->commits[i])
            rc = keep_transaction(s, open);
        if (rc)
            return rc;
        if (!c->commits[i])
            continue;
        s->at.end = offset + (i + 1) * frame;
        s->at.commit = c->commits[i];
        s->at.checksum1 = ltx_get_u32(head + 16);
        s->at.checksum2 = ltx_get_u32(head + 20);
    }
    return 0;
}

static int run_with_checksums(ltx_scan *s, int wal_fd, chunk *c, transaction *open)
{
    uint32_t sum[2] = {s->at.checksum1, s->at.checksum2};
    uint64_t offset = s->at.end;
    for (;;) {
        size_t want = c->size, got, count;
        if (s->limit && s->limit - offset < want)
            want = s->limit - offset;
        int rc = ltx_pread_some(wal_fd, c->data, want, offset, &got);
        if (!rc)
            rc = scan_chunk(s, open, c, got, offset, sum, &count);
        /* Bounded by the file: each round goes a chunk forward, or is the last. */
        if (rc || count * frame_size(s) < c->size)
            return rc;
        offset += c->size;
    }
}

int ltx_scan_run(ltx_scan *s, int wal_fd, const ltx_wal_index index)
{
    int rc = run_with_index(s, wal_fd, index);
    if (rc != UNUSABLE)
        return rc;
    size_t frame = frame_size(s), frames = frame > CHUNK ? 1 : CHUNK / frame;
    transaction open = {0};
    chunk c = {.data = malloc(frames * frame), .size = frames * frame};
    c.pgnos = malloc(frames * sizeof *c.pgnos);
    c.commits = malloc(frames * sizeof *c.commits);
    rc = c.data && c.pgnos && c.commits ? run_with_checksums(s, wal_fd, &c, &open) : ENOMEM;
    free(open.frames);
    free(c.data);
    free(c.pgnos);
    free(c.commits);
    return rc;
}

void ltx_scan_start(const ltx_wal_header *wal, uint32_t commit, ltx_position *out)
{
    *out = (ltx_position){.end = LTX_WAL_HEADER_SIZE, .salt1 = wal->salt1, .salt2 = wal->salt2};
    out->checksum1 = wal->checksum1;
    out->checksum2 = wal->checksum2;
    out->commit = commit;
    out->page_size = wal->page_size;
}

int ltx_scan_header(int wal_fd, ltx_wal_header *out, int *present)
{
    uint8_t raw[LTX_WAL_HEADER_SIZE];
    *present = 0;
    if (wal_fd < 0)
        return 0;
    int rc = ltx_pread(wal_fd, raw, sizeof raw, 0);
    if (rc)
        return rc == ENODATA ? 0 : rc;
    *present = ltx_wal_header_parse(raw, out) == 0;
    return 0;
}
