/* Merges LTX files that follow each other into one: of every page the newest, nothing above the
 * last commit. Constant memory: each input holds a page and a few frames.
 *
 * The output is good only once ltx_compactor_run says so: every input has then been verified
 * to its end. Page frames already in the wanted encoding are copied, not compressed again. */
#ifndef LTX_COMPACT_H
#define LTX_COMPACT_H

#include <stddef.h>
#include <stdint.h>

#include "ltx.h"

/* One thread at a time. The fields may be read; errors stick. */
typedef struct {
    ltx_header header;   /* of the output; when done */
    ltx_trailer trailer; /* when done */
    uint64_t size;       /* bytes of the output; when done */
    size_t input;        /* that needs bytes, or that `fault` is about; count: the output */
    ltx_fault fault;
    struct ltx_compaction *compaction; /* the compactor's own */
} ltx_compactor;

/* Merge `count` inputs, oldest first, into `fd`. Input i is read from fds[i], or fed by
 * ltx_compactor_feed if that is -1. All descriptors stay the caller's. NULL: no memory. */
ltx_compactor *ltx_compactor_open(size_t count, const int *fds, int fd, int encoding);

/* Go on until it is done (*done = 1) or input compactor->input needs bytes (*done = 0).
 * Returns 0; LTX_E_* with fault and input filled, also LTX_E_MISMATCH for different page sizes
 * and LTX_E_NOT_CONTIGUOUS for a gap between transactions; or an errno. */
int ltx_compactor_run(ltx_compactor *compactor, int *done);

/* Give bytes to input compactor->input; size 0 ends it. Returns how many were taken. */
size_t ltx_compactor_feed(ltx_compactor *compactor, const uint8_t *data, size_t size);

/* Free the compactor; NULL is fine. */
void ltx_compactor_close(ltx_compactor *compactor);

#endif
