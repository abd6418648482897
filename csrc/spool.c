#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crc64.h"
#include "io.h"

#define MAGIC 0x314c4f4f50535854ull  /* "TXSPOOL1" */
#define BATCH 0x3148435441425854ull  /* "TXBATCH1" */
#define PARTS 256                    /* pages written at a time */
#define SPARE_MAX (80 * 1024 * 1024) /* a larger file is not kept */

static uint64_t header_crc(const ltx_spool_header *h)
{
    return ltx_crc64(0, (const uint8_t *)h, offsetof(ltx_spool_header, crc));
}

static uint64_t batch_crc(const ltx_batch_header *h)
{
    return ltx_crc64(0, (const uint8_t *)h, offsetof(ltx_batch_header, crc));
}

/* Page numbers are padded to 8 bytes. */
static uint64_t table_size(uint32_t pages)
{
    return ((uint64_t)pages * 4 + 7) & ~7ull;
}

static uint64_t batch_size(uint32_t pages, uint32_t page_size)
{
    return sizeof(ltx_batch_header) + table_size(pages) + (uint64_t)pages * page_size;
}

int ltx_spool_path(const char *folder, uint64_t txid, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%016llx.spool", folder, (unsigned long long)txid);
    return n > 0 && (size_t)n < size ? 0 : ENAMETOOLONG;
}

static void start(ltx_spool *spool, int fd, const ltx_spool_header *header)
{
    memset(spool, 0, sizeof *spool);
    spool->fd = fd;
    spool->header = *header;
    spool->size = sizeof *header;
    spool->ms = header->ms;
    spool->position = header->position;
}

/* No two spools of a boot have the same. */
static uint64_t nonce(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int spare_path(const char *folder, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/spare", folder);
    return n > 0 && (size_t)n < size ? 0 : ENAMETOOLONG;
}

/* The file of a spool that is not needed any more, or a new one. */
static int open_new(const char *folder, const char *path, int mode)
{
    char spare[PATH_MAX];
    if (!spare_path(folder, spare, sizeof spare))
        (void)!rename(spare, path);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode);
}

int ltx_spool_recycle(const char *folder, uint64_t txid)
{
    char path[PATH_MAX], spare[PATH_MAX];
    int rc = ltx_spool_path(folder, txid, path, sizeof path);
    if (!rc)
        rc = spare_path(folder, spare, sizeof spare);
    if (rc)
        return rc;
    struct stat st;
    int keep = stat(path, &st) == 0 && st.st_size <= SPARE_MAX;
    rc = keep ? rename(path, spare) : unlink(path);
    return rc == 0 || errno == ENOENT ? 0 : errno;
}

void ltx_spool_drop_spare(const char *folder)
{
    char spare[PATH_MAX];
    if (!spare_path(folder, spare, sizeof spare))
        unlink(spare);
}

int ltx_spool_create(const char *folder, uint64_t txid, uint32_t flags, const uint8_t boot[16],
                     int64_t ms, const ltx_position *position, int mode, ltx_spool *out)
{
    char path[PATH_MAX], temp[PATH_MAX];
    int rc = ltx_spool_path(folder, txid, path, sizeof path);
    if (rc)
        return rc;
    int n = snprintf(temp, sizeof temp, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof temp)
        return ENAMETOOLONG;
    ltx_spool_header header = {.magic = MAGIC, .txid = txid, .flags = flags, .ms = ms};
    header.nonce = nonce();
    header.position = *position;
    memcpy(header.boot, boot, sizeof header.boot);
    header.crc = header_crc(&header);
    int fd = open_new(folder, temp, mode);
    if (fd < 0)
        return errno;
    rc = ltx_pwrite(fd, &header, sizeof header, 0);
    if (!rc && rename(temp, path) != 0)
        rc = errno;
    if (rc) {
        close(fd);
        unlink(temp);
        return rc;
    }
    start(out, fd, &header);
    return 0;
}

int ltx_spool_open(const char *folder, uint64_t txid, int writable, ltx_spool *out)
{
    char path[PATH_MAX];
    ltx_spool_header header;
    int rc = ltx_spool_path(folder, txid, path, sizeof path);
    if (rc)
        return rc;
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
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

int ltx_spool_refresh(ltx_spool *spool)
{
    struct stat st;
    if (fstat(spool->fd, &st) != 0)
        return errno;
    ltx_batch_header h;
    /* Bounded by the file's size: every batch moves spool->size forward. */
    while (spool->size + sizeof h <= (uint64_t)st.st_size) {
        int rc = ltx_pread(spool->fd, &h, sizeof h, spool->size);
        if (rc)
            return rc;
        if (h.magic != BATCH || h.nonce != spool->header.nonce || h.crc != batch_crc(&h))
            break; /* unfinished: its writer was killed */
        uint64_t size = batch_size(h.pages, h.position.page_size);
        if (spool->size + size > (uint64_t)st.st_size)
            break;
        spool->size += size;
        spool->pages += h.pages;
        if (!spool->first_ms)
            spool->first_ms = h.ms;
        spool->ms = h.ms;
        spool->position = h.position;
    }
    return 0;
}

void ltx_spool_close(ltx_spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    free(spool->pgnos);
    free(spool->parts);
    free(spool->buffer);
    memset(spool, 0, sizeof *spool);
    spool->fd = -1;
}

static int allocate(ltx_spool *spool, uint32_t pages)
{
    if (!spool->buffer)
        spool->buffer = malloc(PARTS * (size_t)spool->header.position.page_size);
    if (!spool->parts)
        spool->parts = malloc(PARTS * sizeof *spool->parts);
    if (!spool->buffer || !spool->parts)
        return ENOMEM;
    if (pages <= spool->count_max)
        return 0;
    uint32_t *pgnos = realloc(spool->pgnos, table_size(pages));
    if (!pgnos)
        return ENOMEM;
    spool->pgnos = pgnos;
    spool->count_max = pages;
    return 0;
}

int ltx_spool_begin(ltx_spool *spool, uint32_t pages)
{
    int rc = allocate(spool, pages);
    if (rc)
        return rc;
    memset(spool->pgnos, 0, table_size(pages));
    spool->planned = pages;
    spool->count = 0;
    spool->part_count = 0;
    spool->written = spool->size + sizeof(ltx_batch_header) + table_size(pages);
    return 0;
}

static int flush(ltx_spool *spool)
{
    int rc = ltx_pwritev(spool->fd, spool->parts, (int)spool->part_count, spool->written);
    spool->written += spool->part_count * spool->header.position.page_size;
    spool->part_count = 0;
    return rc;
}

int ltx_spool_room(ltx_spool *spool, uint8_t **out)
{
    int rc = spool->part_count == PARTS ? flush(spool) : 0;
    *out = spool->buffer + spool->part_count * spool->header.position.page_size;
    return rc;
}

int ltx_spool_put(ltx_spool *spool, uint32_t pgno, const uint8_t *page)
{
    if (spool->count >= spool->planned)
        return EOVERFLOW;
    int rc = spool->part_count == PARTS ? flush(spool) : 0;
    if (rc)
        return rc;
    size_t size = spool->header.position.page_size;
    spool->parts[spool->part_count++] = (struct iovec){(void *)page, size};
    spool->pgnos[spool->count++] = pgno;
    return 0;
}

int ltx_spool_commit(ltx_spool *spool, int64_t ms, const ltx_position *position)
{
    if (spool->count != spool->planned)
        return EINVAL;
    uint64_t table = table_size(spool->count);
    int rc = flush(spool);
    if (!rc)
        rc = ltx_pwrite(spool->fd, spool->pgnos, table, spool->size + sizeof(ltx_batch_header));
    if (rc)
        return rc;
    ltx_batch_header h = {.magic = BATCH, .pages = spool->count, .ms = ms, .position = *position};
    h.nonce = spool->header.nonce;
    h.crc = batch_crc(&h);
    /* The header last: a batch without it does not count. */
    rc = ltx_pwrite(spool->fd, &h, sizeof h, spool->size);
    if (rc)
        return rc;
    spool->size += batch_size(h.pages, position->page_size);
    spool->pages += h.pages;
    if (!spool->first_ms)
        spool->first_ms = ms;
    spool->ms = ms;
    spool->position = *position;
    return 0;
}
