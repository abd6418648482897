/* Our mark in the reserved bytes 80-99 of an LTX header: where capture stood behind that file.
 *
 * Litestream covers these bytes with the file checksum and never reads them. Its own fields (WAL
 * offset, size, salts) get what makes it either read the whole WAL again or write a full image when
 * it takes over; both are right whatever was checkpointed in between. */
#ifndef LTX_MARK_H
#define LTX_MARK_H

#include "ltx.h"
#include "spool.h"

/* Fill WAL fields and mark of a level 0 header. */
void ltx_mark_write(ltx_header *header, const ltx_position *at);
/* 1 and *out when the header carries our mark. */
int ltx_mark_read(const ltx_header *header, ltx_position *out);

#endif
