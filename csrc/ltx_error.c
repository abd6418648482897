/* What each LTX_E_* code means, in words. */
#include "ltx_error.h"

#include "ltx.h"

static const char *const TEXTS[] = {
    [-LTX_E_MAGIC] = "not an LTX file: it does not begin with LTX1",
    [-LTX_E_FLAGS] = "unknown header flags",
    [-LTX_E_PAGE_SIZE] = "the page size is not a power of two from 512 to 65536",
    [-LTX_E_COMMIT] = "the header gives no database size",
    [-LTX_E_TXID] = "the first transaction id is 0 or above the last",
    [-LTX_E_WAL_FIELDS] = "WAL offset, size and salts contradict each other",
    [-LTX_E_PRE_APPLY] = "the pre-apply checksum is missing or must be zero",
    [-LTX_E_POST_APPLY] = "the post-apply checksum is missing or must be zero",
    [-LTX_E_TRUNCATED] = "the file ends too early",
    [-LTX_E_TRAILING] = "bytes follow the trailer",
    [-LTX_E_PAGE_FLAGS] = "unknown page flags",
    [-LTX_E_PGNO] = "page number out of range",
    [-LTX_E_LOCK_PAGE] = "the lock page is stored",
    [-LTX_E_ORDER] = "page numbers do not ascend",
    [-LTX_E_GAP] = "the snapshot lacks a page",
    [-LTX_E_COMPRESSION] = "the page does not decompress",
    [-LTX_E_PAGE_LENGTH] = "the page decompresses to another size",
    [-LTX_E_INDEX] = "the page index differs from the pages",
    [-LTX_E_CHECKSUM] = "the file checksum differs",
    [-LTX_E_MISUSE] = "a call out of turn or with impossible arguments",
    [-LTX_E_MISMATCH] = "page sizes of the files differ",
    [-LTX_E_NOT_CONTIGUOUS] = "the files leave a gap between transactions",
    [-LTX_E_WAL_MAGIC] = "not a write-ahead log of a known version",
    [-LTX_E_WAL_CHECKSUM] = "the checksum of the WAL header differs",
};

const char *ltx_error_text(int code)
{
    int known = code < 0 && code > -(int)(sizeof TEXTS / sizeof *TEXTS);
    return known && TEXTS[-code] ? TEXTS[-code] : "unknown error";
}
