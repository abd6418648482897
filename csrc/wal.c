/* WAL header and checksum. The checksum stands in the committer's path: it is written so that
 * only two additions per eight bytes depend on the ones before. */
#include "wal.h"

#include <string.h>

#include "bytes.h"
#include "ltx.h"

enum { WAL_MAGIC = 0x377f0682, WAL_VERSION = 3007000 };

/* One step over two words. What does not need the last sum is added first; the empty asm keeps
 * the compiler from regrouping the additions into a longer chain. */
#define STEP(x0, x1)                        \
    do {                                    \
        uint32_t a = s0 + (x0);             \
        uint32_t b = s1 + (x1);             \
        __asm__("" : "+r"(a), "+r"(b));     \
        s0 = a + s1;                        \
        s1 = b + s0;                        \
    } while (0)

static void checksum_little(const uint8_t *data, size_t size, uint32_t sum[2])
{
    uint32_t s0 = sum[0], s1 = sum[1];
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t word[2];
        memcpy(word, data, sizeof word);
        STEP(word[0], word[1]);
    }
    sum[0] = s0;
    sum[1] = s1;
}

static void checksum_big(const uint8_t *data, size_t size, uint32_t sum[2])
{
    uint32_t s0 = sum[0], s1 = sum[1];
    for (; size >= 8; data += 8, size -= 8)
        STEP(ltx_get_u32(data), ltx_get_u32(data + 4));
    sum[0] = s0;
    sum[1] = s1;
}

void ltx_wal_checksum(int big_endian, const uint8_t *data, size_t size, uint32_t sum[2])
{
    if (big_endian)
        checksum_big(data, size, sum);
    else
        checksum_little(data, size, sum);
}

int ltx_wal_header_parse(const uint8_t in[LTX_WAL_HEADER_SIZE], ltx_wal_header *header)
{
    uint32_t magic = ltx_get_u32(in);
    if ((magic & ~1u) != WAL_MAGIC || ltx_get_u32(in + 4) != WAL_VERSION)
        return LTX_E_WAL_MAGIC;
    header->big_endian = (int)(magic & 1);
    header->page_size = ltx_get_u32(in + 8);
    header->sequence = ltx_get_u32(in + 12);
    header->salt1 = ltx_get_u32(in + 16);
    header->salt2 = ltx_get_u32(in + 20);
    header->checksum1 = ltx_get_u32(in + 24);
    header->checksum2 = ltx_get_u32(in + 28);
    if (header->page_size < LTX_PAGE_SIZE_MIN || header->page_size > LTX_PAGE_SIZE_MAX ||
        (header->page_size & (header->page_size - 1)) != 0)
        return LTX_E_PAGE_SIZE;
    uint32_t sum[2] = {0, 0};
    ltx_wal_checksum(header->big_endian, in, 24, sum);
    return sum[0] == header->checksum1 && sum[1] == header->checksum2 ? 0 : LTX_E_WAL_CHECKSUM;
}

/* Whether the frame follows `sum`, which is then continued over it. */
static int frame_valid(const ltx_wal_header *header, const uint8_t *frame, uint32_t sum[2])
{
    uint32_t next[2] = {sum[0], sum[1]};
    if (ltx_get_u32(frame) == 0 || ltx_get_u32(frame + 8) != header->salt1 ||
        ltx_get_u32(frame + 12) != header->salt2)
        return 0;
    ltx_wal_checksum(header->big_endian, frame, 8, next);
    ltx_wal_checksum(header->big_endian, frame + LTX_WAL_FRAME_HEADER_SIZE, header->page_size,
                     next);
    if (next[0] != ltx_get_u32(frame + 16) || next[1] != ltx_get_u32(frame + 20))
        return 0;
    memcpy(sum, next, sizeof next);
    return 1;
}

size_t ltx_wal_scan(const ltx_wal_header *header, const uint8_t *frames, size_t size,
                    uint32_t sum[2], uint32_t *pgnos, uint32_t *commits)
{
    size_t frame_size = (size_t)LTX_WAL_FRAME_HEADER_SIZE + header->page_size, count = 0;
    for (; size >= frame_size && frame_valid(header, frames, sum); size -= frame_size) {
        pgnos[count] = ltx_get_u32(frames);
        commits[count++] = ltx_get_u32(frames + 4);
        frames += frame_size;
    }
    return count;
}
