/* Database pages into a file at their places. */
#include "page_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { GATHER_SIZE = 256 * 1024 };

int ltx_page_sink_open(ltx_page_sink *sink, int fd, uint32_t page_size)
{
    *sink = (ltx_page_sink){.fd = fd, .page_size = page_size, .pages = malloc(GATHER_SIZE)};
    return sink->pages ? 0 : ENOMEM;
}

int ltx_page_sink_flush(ltx_page_sink *sink)
{
    const uint8_t *data = sink->pages;
    size_t size = (size_t)sink->count * sink->page_size;
    off_t at = (off_t)(sink->first - 1) * sink->page_size;
    sink->count = 0;
    while (size > 0) {
        ssize_t done = pwrite(sink->fd, data, size, at);
        if (done < 0 && errno != EINTR)
            return errno;
        if (done > 0) {
            data += done;
            at += done;
            size -= (size_t)done;
        }
    }
    return 0;
}

int ltx_page_sink_place(ltx_page_sink *sink, uint32_t pgno, uint8_t **place)
{
    int full = sink->count == GATHER_SIZE / sink->page_size;
    if (sink->count > 0 && (full || pgno != sink->first + sink->count)) {
        int error = ltx_page_sink_flush(sink);
        if (error)
            return error;
    }
    if (sink->count == 0)
        sink->first = pgno;
    *place = sink->pages + (size_t)sink->count++ * sink->page_size;
    return 0;
}

void ltx_page_sink_close(ltx_page_sink *sink)
{
    free(sink->pages);
    *sink = (ltx_page_sink){0};
}
