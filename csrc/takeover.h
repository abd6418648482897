/* Going on where Litestream stopped: its newest level 0 file says how far it had read the WAL. */
#ifndef LTX_TAKEOVER_H
#define LTX_TAKEOVER_H

#include "ltx.h"
#include "spool.h"

/* The position behind a file that Litestream wrote. Its running checksum, which the file does not
 * hold, is taken from the last frame it covers, if that frame is still in the WAL and its page is
 * the file's; otherwise it stays zero, which no frame matches. 0 or an errno. */
int ltx_takeover_position(const char *ltx_path, const ltx_header *header, int wal_fd,
                          ltx_position *out);

#endif
