/* Writes one LTX file to a file descriptor, page after page. */
#ifndef LTX_WRITER_H
#define LTX_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "ltx.h"

/* One thread at a time. Errors stick: after one, every call returns it again. */
typedef struct ltx_writer ltx_writer;

/* Begin a file with a valid header. Writes are appended to `fd` as the buffer fills; the
 * descriptor stays the caller's. With fd -1 the bytes stay in memory for ltx_writer_bytes.
 * Returns NULL and sets *err: LTX_E_*, or ENOMEM. */
ltx_writer *ltx_writer_open(int fd, const ltx_header *header, int encoding, int *err);

/* Append a page of page_size bytes. Page numbers ascend; the lock page, pages above commit, and
 * a gap in a snapshot are refused (see ltx_pgno_check). */
int ltx_writer_page(ltx_writer *writer, uint32_t pgno, const uint8_t *page);

/* Append `count` pages that stand one after another in `pages`; *done says how many went in. */
int ltx_writer_pages(ltx_writer *writer, size_t count, const uint32_t *pgnos,
                     const uint8_t *pages, size_t *done);

/* Append a page frame as it stands in another file, whose decoded page is `page`. The frame must
 * have been verified; its encoding may be either. */
int ltx_writer_frame(ltx_writer *writer, uint32_t pgno, const uint8_t *frame, size_t size,
                     const uint8_t *page);

/* Without a descriptor: the bytes written and not yet taken; good until the next call. */
const uint8_t *ltx_writer_bytes(const ltx_writer *writer, size_t *size);

/* Forget those bytes: the caller has them. */
void ltx_writer_taken(ltx_writer *writer);

/* Set the post-apply checksum, which a file without LTX_NO_CHECKSUM needs. */
int ltx_writer_post_apply(ltx_writer *writer, uint64_t checksum);

/* Write page index and trailer and flush the buffer; no fsync. Fills `out` and `size` (the whole
 * file) where not NULL. Nothing but ltx_writer_close may follow. */
int ltx_writer_finish(ltx_writer *writer, ltx_trailer *out, uint64_t *size);

/* Free the writer, finished or not; NULL is fine. */
void ltx_writer_close(ltx_writer *writer);

#endif
