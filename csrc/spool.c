#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "crc64.h"
#include "io.h"
#include "ltx.h"
#include "wal.h"

#define MAGIC 0x324c4f4f50535854ull /* "TXSPOOL2" */
#define BATCH 0x3248435441425854ull /* "TXBATCH2" */

uint32_t ltx_position_frames(const ltx_position *at)
{
    if (at->end < LTX_WAL_HEADER_SIZE)
        return 0;
    return (uint32_t)((at->end - LTX_WAL_HEADER_SIZE) /
                      (LTX_WAL_FRAME_HEADER_SIZE + (uint64_t)at->page_size));
}

static uint64_t header_crc(const ltx_spool_header *h)
{
    return ltx_crc64(0, (const uint8_t *)h, offsetof(ltx_spool_header, crc));
}

static uint64_t batch_crc(const ltx_batch_header *h, const uint32_t *pgnos)
{
    uint64_t crc = ltx_crc64(0, (const uint8_t *)h, offsetof(ltx_batch_header, crc));
    return ltx_crc64(crc, (const uint8_t *)pgnos, (size_t)h->count * sizeof *pgnos);
}

int ltx_spool_path(const char *folder, uint64_t txid, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%016llx.spool", folder, (unsigned long long)txid);
    return n > 0 && (size_t)n < size ? 0 : ENAMETOOLONG;
}

static void start(ltx_spool *spool, int fd, const ltx_spool_header *header)
{
    *spool = (ltx_spool){.fd = fd, .header = *header, .size = sizeof *header};
    spool->ms = header->ms;
    spool->position = header->position;
}

static uint64_t nonce(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static ltx_spool_header make_header(uint64_t txid, uint32_t flags, const uint8_t boot[16],
                                    int64_t ms, const ltx_position *position)
{
    ltx_spool_header header = {.magic = MAGIC, .txid = txid, .flags = flags, .ms = ms};
    header.nonce = nonce();
    header.position = *position;
    memcpy(header.boot, boot, sizeof header.boot);
    header.crc = header_crc(&header);
    return header;
}

/* A header and the bytes of whole batches become a spool, all or nothing. */
static int write_new(const char *folder, const ltx_spool_header *header, const void *batches,
                     size_t size, ltx_spool *out)
{
    char path[PATH_MAX], temp[PATH_MAX];
    int rc = ltx_spool_path(folder, header->txid, path, sizeof path);
    if (rc)
        return rc;
    int n = snprintf(temp, sizeof temp, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof temp)
        return ENAMETOOLONG;
    int fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    rc = ltx_pwrite(fd, header, sizeof *header, 0);
    if (!rc)
        rc = ltx_pwrite(fd, batches, size, sizeof *header);
    if (!rc && rename(temp, path) != 0)
        rc = errno;
    if (rc) {
        close(fd);
        unlink(temp);
        return rc;
    }
    start(out, fd, header);
    return 0;
}

int ltx_spool_create(const char *folder, uint64_t txid, uint32_t flags, const uint8_t boot[16],
                     int64_t ms, const ltx_position *position, ltx_spool *out)
{
    ltx_spool_header header = make_header(txid, flags, boot, ms, position);
    return write_new(folder, &header, NULL, 0, out);
}

int ltx_spool_carry(const char *folder, const ltx_spool *from, uint64_t size, ltx_spool *out)
{
    size_t rest = from->size - size;
    const ltx_spool_header *old = &from->header;
    uint8_t *batches = malloc(rest + 1);
    int rc = batches ? ltx_pread(from->fd, batches, rest, size) : ENOMEM;
    if (!rc) {
        ltx_spool_header header =
            make_header(old->txid + 1, 0, old->boot, from->ms, &from->position);
        rc = write_new(folder, &header, batches, rest, out);
    }
    free(batches);
    if (rc)
        return rc;
    rc = ltx_spool_refresh(out);
    if (rc)
        ltx_spool_close(out);
    return rc;
}

int ltx_spool_open(const char *folder, uint64_t txid, ltx_spool *out)
{
    char path[PATH_MAX];
    ltx_spool_header header;
    int rc = ltx_spool_path(folder, txid, path, sizeof path);
    if (rc)
        return rc;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    rc = ltx_pread(fd, &header, sizeof header, 0);
    if (!rc && (header.magic != MAGIC || header.txid != txid || header.crc != header_crc(&header)))
        rc = EILSEQ;
    if (rc) {
        close(fd);
        return rc == ENODATA ? EILSEQ : rc;
    }
    start(out, fd, &header);
    rc = ltx_spool_refresh(out);
    if (rc)
        ltx_spool_close(out);
    return rc;
}

/* The batch at byte `at`, its page numbers in *pgnos (free() them). 0, an errno, or ENODATA: it is
   unfinished, its writer was killed. `end` bounds it: the file's size. */
static int read_batch(const ltx_spool *spool, uint64_t at, uint64_t end, ltx_batch_header *h,
                      uint32_t **pgnos)
{
    *pgnos = NULL;
    if (at + sizeof *h > end)
        return ENODATA;
    int rc = ltx_pread(spool->fd, h, sizeof *h, at);
    if (rc)
        return rc;
    size_t size = (size_t)h->count * sizeof **pgnos;
    if (h->magic != BATCH || size > end - at - sizeof *h)
        return ENODATA;
    *pgnos = malloc(size + 1);
    if (!*pgnos)
        return ENOMEM;
    rc = ltx_pread(spool->fd, *pgnos, size, at + sizeof *h);
    if (!rc && h->crc != batch_crc(h, *pgnos))
        rc = ENODATA;
    if (rc) {
        free(*pgnos);
        *pgnos = NULL;
    }
    return rc;
}

static uint64_t batch_size(const ltx_batch_header *h)
{
    return sizeof *h + (uint64_t)h->count * sizeof(uint32_t);
}

static void move_behind(ltx_spool *spool, const ltx_batch_header *h)
{
    spool->size += batch_size(h);
    spool->pages += h->count;
    if (!spool->first_ms)
        spool->first_ms = h->ms;
    spool->ms = h->ms;
    spool->position = h->position;
}

int ltx_spool_refresh(ltx_spool *spool)
{
    struct stat st;
    if (fstat(spool->fd, &st) != 0)
        return errno;
    /* Bounded by the file's size: every batch moves spool->size forward. */
    for (;;) {
        ltx_batch_header h;
        uint32_t *pgnos;
        int rc = read_batch(spool, spool->size, (uint64_t)st.st_size, &h, &pgnos);
        if (rc)
            return rc == ENODATA ? 0 : rc;
        free(pgnos);
        move_behind(spool, &h);
    }
}

int ltx_spool_append(ltx_spool *spool, const uint32_t *pgnos, uint32_t count, int64_t ms,
                     const ltx_position *position)
{
    ltx_batch_header h = {.magic = BATCH, .count = count, .ms = ms, .position = *position};
    h.crc = batch_crc(&h, pgnos);
    struct iovec parts[] = {{&h, sizeof h}, {(void *)pgnos, (size_t)count * sizeof *pgnos}};
    int rc = ltx_pwritev(spool->fd, parts, 2, spool->size);
    if (!rc)
        move_behind(spool, &h);
    return rc;
}

/* A bit for each page that is in a batch from byte `at` on. */
static int mark_pages(const ltx_spool *spool, uint64_t at, uint64_t *bits)
{
    uint32_t commit = spool->position.commit;
    ltx_batch_header h;
    for (; at < spool->size; at += batch_size(&h)) {
        uint32_t *pgnos;
        int rc = read_batch(spool, at, spool->size, &h, &pgnos);
        if (rc)
            return rc == ENODATA ? EIO : rc;
        for (uint32_t i = 0; i < h.count; i++)
            if (pgnos[i] && pgnos[i] <= commit)
                bits[pgnos[i] / 64] |= 1ull << pgnos[i] % 64;
        free(pgnos);
    }
    uint32_t lock = ltx_lock_pgno(spool->position.page_size);
    if (lock <= commit)
        bits[lock / 64] &= ~(1ull << lock % 64);
    return 0;
}

static int list_pages(const uint64_t *bits, size_t words, uint32_t **out, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < words; i++)
        n += (size_t)__builtin_popcountll(bits[i]);
    if (!n)
        return 0;
    uint32_t *pgnos = malloc(n * sizeof *pgnos);
    if (!pgnos)
        return ENOMEM;
    *out = pgnos;
    *count = n;
    for (size_t i = 0; i < words; i++)
        for (uint64_t rest = bits[i]; rest; rest &= rest - 1)
            *pgnos++ = (uint32_t)(i * 64 + (size_t)__builtin_ctzll(rest));
    return 0;
}

int ltx_spool_pgnos(const ltx_spool *spool, uint64_t at, uint32_t **out, size_t *count)
{
    size_t words = spool->position.commit / 64 + 1;
    uint64_t *bits = calloc(words, sizeof *bits);
    *out = NULL;
    *count = 0;
    if (!bits)
        return ENOMEM;
    int rc = mark_pages(spool, at, bits);
    if (!rc)
        rc = list_pages(bits, words, out, count);
    free(bits);
    return rc;
}

void ltx_spool_close(ltx_spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    *spool = (ltx_spool){.fd = -1};
}
