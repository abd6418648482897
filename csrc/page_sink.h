/* Database pages into a file at their places; neighbours share one write. */
#ifndef LTX_PAGE_SINK_H
#define LTX_PAGE_SINK_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int fd;
    uint32_t page_size, first, count; /* pages gathered: `count` of them from `first` */
    uint8_t *pages;
} ltx_page_sink;

/* Begin; `fd` stays the caller's and may be shared by sinks of other threads. 0 or ENOMEM. */
int ltx_page_sink_open(ltx_page_sink *sink, int fd, uint32_t page_size);

/* Set *place to where page `pgno` (not 0) has to be put before the next call; writes out what
 * does not neighbour it. Returns 0 or an errno. */
int ltx_page_sink_place(ltx_page_sink *sink, uint32_t pgno, uint8_t **place);

/* Write out what is gathered. Returns 0 or an errno. */
int ltx_page_sink_flush(ltx_page_sink *sink);

/* Free the sink, flushed or not; a zeroed one is fine. */
void ltx_page_sink_close(ltx_page_sink *sink);

#endif
