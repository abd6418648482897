/* Parses a page index into flat arrays, piece by piece, so that memory does not grow with the
 * database. Also: which pages of a file nothing newer has. */
#ifndef LTX_INDEX_H
#define LTX_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "ltx.h"

/* The state between pieces; ltx_index_begin fills it. */
typedef struct {
    ltx_header header;
    uint64_t next;  /* where the next frame must begin */
    uint64_t start; /* where the index begins: six bytes after the last frame */
    uint64_t read;  /* bytes of the index parsed so far */
    uint32_t last;  /* newest page, 0: none */
    int ended;      /* the closing zero was read */
} ltx_index;

/* Begin the index of a file with this header; it stands at byte `start` of the file. */
void ltx_index_begin(ltx_index *index, const ltx_header *header, uint64_t start);

/* Parse up to `capacity` entries from `data`. Sets *count to the entries found and *used to the
 * bytes they took: the caller gives the rest again with more after it, until index->ended.
 * Checks what needs no page: order, limits, gaps of a snapshot, frames one after another.
 * Returns 0, or LTX_E_* with *fault filled. */
int ltx_index_parse(ltx_index *index, const uint8_t *data, size_t size, size_t capacity,
                    uint32_t *pgnos, uint64_t *offsets, uint32_t *sizes, size_t *count,
                    size_t *used, ltx_fault *fault);

/* One entry: pgno 0 alone is the end. Returns its length, 0: not complete, or -1: malformed. */
int ltx_index_entry(const uint8_t *in, size_t size, uint64_t *pgno, uint64_t *offset,
                    uint64_t *frame_size);

/* Going from the newest file to the oldest: set wanted[i] where pgnos[i] is within `commit` and
 * not yet in the set `seen` ((commit + 8) / 8 bytes, one bit a page), and add it there. */
void ltx_index_claim(uint8_t *seen, uint32_t commit, const uint32_t *pgnos, size_t count,
                     uint8_t *wanted);

#endif
