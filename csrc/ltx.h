/* The LTX file format, as Litestream 0.5 stores it: header, trailer, limits, error codes.
 *
 * A file is: header (100 bytes), page frames, six zero bytes, page index, trailer (16 bytes).
 * All integers are big-endian. Functions return 0, an LTX_E_* code (< 0) when bytes break the
 * format or a call breaks its contract, or an errno (> 0) when the system refused. */
#ifndef LTX_H
#define LTX_H

#include <stddef.h>
#include <stdint.h>

enum {
    LTX_HEADER_SIZE = 100,
    LTX_TRAILER_SIZE = 16,
    LTX_PAGE_HEADER_SIZE = 6, /* pgno u32, flags u16; all zero ends the pages */
    LTX_PAGE_SIZE_MIN = 512,
    LTX_PAGE_SIZE_MAX = 65536,
};

/* Header flag: no checksum of the database is kept. Litestream refuses files without it. */
#define LTX_NO_CHECKSUM 2u
/* Page flag: a u32 with the size of an LZ4 block follows the page header. */
#define LTX_PAGE_SIZED 1u
/* Set in every checksum that is present. */
#define LTX_CHECKSUM_FLAG (UINT64_C(1) << 63)

/* How pages are compressed: LZ4 blocks with a size, or self-contained LZ4 frames with a content
 * checksum, the only form that Litestream before 0.5.16 reads. */
enum { LTX_PAGES_BLOCK = 0, LTX_PAGES_FRAME = 1 };

enum {
    LTX_E_MAGIC = -1,        /* the file does not begin with LTX1 */
    LTX_E_FLAGS = -2,        /* unknown header flags */
    LTX_E_PAGE_SIZE = -3,    /* not a power of two from 512 to 65536 */
    LTX_E_COMMIT = -4,       /* no database size */
    LTX_E_TXID = -5,         /* MinTXID is 0 or above MaxTXID */
    LTX_E_WAL_FIELDS = -6,   /* WAL offset, size and salts contradict each other */
    LTX_E_PRE_APPLY = -7,    /* pre-apply checksum missing or not allowed */
    LTX_E_POST_APPLY = -8,   /* post-apply checksum missing or not allowed */
    LTX_E_TRUNCATED = -9,    /* the file ends too early */
    LTX_E_TRAILING = -10,    /* bytes after the trailer */
    LTX_E_PAGE_FLAGS = -11,  /* unknown page flags */
    LTX_E_PGNO = -12,        /* page number 0 or above commit */
    LTX_E_LOCK_PAGE = -13,   /* the lock page must not be stored */
    LTX_E_ORDER = -14,       /* page numbers do not ascend */
    LTX_E_GAP = -15,         /* a snapshot lacks a page */
    LTX_E_COMPRESSION = -16, /* a page does not decompress, or its own checksum differs */
    LTX_E_PAGE_LENGTH = -17, /* a page decompresses to more or less than a page */
    LTX_E_INDEX = -18,       /* the page index is malformed or differs from the pages */
    LTX_E_CHECKSUM = -19,    /* the file checksum differs */
    LTX_E_MISUSE = -20,      /* a call out of turn, or with impossible arguments */
    LTX_E_MISMATCH = -21,    /* inputs of a compaction: page sizes differ */
    LTX_E_NOT_CONTIGUOUS = -22, /* inputs of a compaction: TXIDs leave a gap */
    LTX_E_WAL_MAGIC = -23,   /* not a WAL file, or of an unknown version */
    LTX_E_WAL_CHECKSUM = -24, /* the WAL header's checksum differs */
};

typedef struct {
    uint32_t flags, page_size, commit; /* commit: pages of the database after apply */
    uint64_t min_txid, max_txid;
    int64_t timestamp_ms; /* Unix time */
    uint64_t pre_apply;
    int64_t wal_offset, wal_size;
    uint32_t salt1, salt2;
    uint64_t node_id;
    uint8_t reserved[20]; /* covered by the file checksum, free for use */
} ltx_header;

typedef struct {
    uint64_t post_apply, file_checksum;
} ltx_trailer;

/* Where and why bytes were refused: byte offset in the file, page number (0: none). */
typedef struct {
    int code;
    uint32_t pgno;
    uint64_t offset;
} ltx_fault;

/* Write the 100 bytes of a header. Does not validate. */
void ltx_header_pack(const ltx_header *header, uint8_t out[LTX_HEADER_SIZE]);

/* Read and validate the 100 bytes of a header. */
int ltx_header_unpack(const uint8_t in[LTX_HEADER_SIZE], ltx_header *header);

/* Check a header against the rules of LTX; returns 0 or the first rule's LTX_E_* code. */
int ltx_header_validate(const ltx_header *header);

/* Where in the header's bytes the field stands that `code` of ltx_header_validate is about. */
uint64_t ltx_header_offset(int code);

/* Write the 16 bytes of a trailer. */
void ltx_trailer_pack(const ltx_trailer *trailer, uint8_t out[LTX_TRAILER_SIZE]);

/* Read the 16 bytes of a trailer and check them against the header's flags and commit. */
int ltx_trailer_unpack(const uint8_t in[LTX_TRAILER_SIZE], const ltx_header *header,
                       ltx_trailer *trailer);

/* The page that holds SQLite's lock bytes and is never stored (SQLite file format, 1.4). */
static inline uint32_t ltx_lock_pgno(uint32_t page_size)
{
    return 0x40000000u / page_size + 1;
}

/* Whether a file with this header is a snapshot, i.e. must hold every page. */
static inline int ltx_is_snapshot(const ltx_header *header)
{
    return header->min_txid == 1;
}

/* The page a snapshot must store after `pgno`: the next one that is not the lock page. */
static inline uint32_t ltx_next_pgno(uint32_t pgno, uint32_t page_size)
{
    return pgno + 1 == ltx_lock_pgno(page_size) ? pgno + 2 : pgno + 1;
}

/* The check of a page number against the header and the page before it (0: none yet):
 * within commit, not the lock page, ascending, and without a gap in a snapshot. */
int ltx_pgno_check(const ltx_header *header, uint32_t previous, uint32_t pgno);

/* Whether the pages may end after `last`: a snapshot must have reached commit. */
int ltx_last_pgno_check(const ltx_header *header, uint32_t last);

#endif
