/* Decodes a stretch of whole page frames, cut out of an LTX file by its page index. Stretches of
 * one file can be decoded in parallel, in any order: their sums are combined afterwards. */
#ifndef LTX_FRAMES_H
#define LTX_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "ltx.h"

/* `count` frames, one after another in the `size` bytes at `data`, which stand at byte `offset`
 * of the file; frame i holds page pgnos[i] in sizes[i] bytes, as the page index says. */
typedef struct {
    const uint8_t *data;
    uint64_t size, offset;
    uint32_t page_size;
    uint64_t count;
    const uint32_t *pgnos, *sizes;
} ltx_frames;

/* CRC-64 over the `size` bytes that the file checksum covers of a stretch. */
typedef struct {
    uint64_t crc, size;
} ltx_sum;

/* Decode every frame, check it against the index and sum it up. Pages with wanted[i] != 0 (all
 * if `wanted` is NULL) are written to `fd` at (pgno - 1) * page_size; fd -1 only verifies.
 * Returns 0, LTX_E_* with *fault filled, or an errno. Safe to call from many threads. */
int ltx_frames_decode(const ltx_frames *frames, const uint8_t *wanted, int fd, ltx_sum *sum,
                      ltx_fault *fault);

/* The same into memory: page i goes to pages + i * page_size. */
int ltx_frames_decode_into(const ltx_frames *frames, uint8_t *pages, ltx_sum *sum,
                           ltx_fault *fault);

/* The sum of two stretches after each other. */
ltx_sum ltx_sum_combine(ltx_sum first, ltx_sum second);

#endif
