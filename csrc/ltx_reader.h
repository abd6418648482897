/* Reads and verifies one whole LTX file from pieces of any size, in constant memory but for a
 * page index of about three bytes a page.
 *
 * Bytes go in with ltx_reader_feed, steps come out of ltx_reader_next: the header, each page,
 * the end; LTX_MORE asks for bytes. Once LTX_AT_END is reached everything has been checked:
 * order, limits, flags, every page, the index against the frames, the file checksum.
 * Parallel reading by ranges is in ltx_frames.h. */
#ifndef LTX_READER_H
#define LTX_READER_H

#include <stddef.h>
#include <stdint.h>

#include "ltx.h"

/* What ltx_reader_next came to. */
enum { LTX_MORE = 0, LTX_AT_HEADER = 1, LTX_AT_PAGE = 2, LTX_AT_END = 3 };

/* One thread at a time. The fields below may be read; errors stick. */
typedef struct {
    ltx_header header;    /* from LTX_AT_HEADER on */
    ltx_trailer trailer;  /* at LTX_AT_END */
    uint32_t pgno;        /* at LTX_AT_PAGE: the page ... */
    const uint8_t *page;  /* ... its bytes, and the frame it came from; both stay good until */
    const uint8_t *frame; /* the next call */
    size_t frame_size;
    uint64_t frame_offset;
    uint64_t pages; /* so far */
    ltx_fault fault;
    struct ltx_reading *reading; /* the reader's own */
} ltx_reader;

/* A reader without bytes, or NULL: no memory. */
ltx_reader *ltx_reader_open(void);

/* Take at most `size` bytes, which follow those taken before. Returns how many; at least one
 * after LTX_MORE. */
size_t ltx_reader_feed(ltx_reader *reader, const uint8_t *data, size_t size);

/* The same without a copy: *size bytes of room to read into, then how many came. There is room
 * after LTX_MORE. */
uint8_t *ltx_reader_room(ltx_reader *reader, size_t *size);
void ltx_reader_filled(ltx_reader *reader, size_t size);

/* Go one step on. Returns 0 and sets *step; or LTX_E_* with reader->fault filled; or ENOMEM.
 * After LTX_AT_END comes LTX_MORE, and LTX_E_TRAILING if there is any. */
int ltx_reader_next(ltx_reader *reader, int *step);

/* Say that the file ends here. Returns 0, or LTX_E_TRUNCATED with reader->fault filled if more
 * was to come, or the error before. */
int ltx_reader_finish(ltx_reader *reader);

/* Take all `size` bytes and all steps they complete, in one go. Pages are written to `fd` at
 * (pgno - 1) * page_size unless fd is -1. Returns 0, LTX_E_* or an errno. */
int ltx_reader_drain(ltx_reader *reader, const uint8_t *data, size_t size, int fd);

/* The same for the pages alone that ltx_index_claim would set wanted for, and add to `seen`.
 * *taken is their number, also after an error. */
int ltx_reader_drain_unseen(ltx_reader *reader, const uint8_t *data, size_t size, int fd,
                            uint8_t *seen, uint32_t commit, uint64_t *taken);

/* Free the reader; NULL is fine. */
void ltx_reader_close(ltx_reader *reader);

#endif
