/* The spool: which pages were committed since the last LTX file, and up to where in the WAL.
 *
 * One file a TXID, `<folder>/<txid>.spool`: a header, then batches of page numbers. What the pages
 * hold stays where SQLite has it until the LTX file is made (cut.h). A page too many in a spool
 * costs its bytes in that file, a page missing would be a loss.
 * The file is written without fsync: it outlives a killed process, not a lost machine, which the
 * boot id in the header tells apart. Byte order is the machine's own: it never leaves it. */
#ifndef LTX_SPOOL_H
#define LTX_SPOOL_H

#include <stddef.h>
#include <stdint.h>

/* Where capture stands: behind the last frame it has read. `end` 0: no WAL seen yet. */
typedef struct {
    uint64_t end;                  /* byte offset in the WAL */
    uint32_t salt1, salt2;         /* the WAL's generation */
    uint32_t checksum1, checksum2; /* running checksum up to `end` (SQLite file format, 4.2) */
    uint32_t commit;               /* database size in pages */
    uint32_t page_size;
} ltx_position;

/* How many frames of the WAL stand in front of it. */
uint32_t ltx_position_frames(const ltx_position *at);

enum { LTX_SPOOL_SNAPSHOT = 1 }; /* this TXID is being written as a full image, not from batches */

typedef struct {
    uint64_t magic;
    uint64_t txid;
    uint64_t nonce; /* no two spools of a boot have the same */
    uint32_t flags;
    uint32_t unused;
    uint8_t boot[16];
    int64_t ms; /* time of the newest transaction before this spool */
    ltx_position position;
    uint64_t crc;
} ltx_spool_header;

/* In front of that many u32, the page numbers. */
typedef struct {
    uint64_t magic;
    uint32_t count;
    uint32_t unused;
    int64_t ms; /* when the transactions were captured: at or after their commit */
    ltx_position position;
    uint64_t crc; /* of this header up to here, then of the page numbers */
} ltx_batch_header;

typedef struct {
    int fd; /* -1: closed */
    ltx_spool_header header;
    uint64_t size;         /* bytes that are valid */
    uint64_t pages;        /* in all batches; a page may be in several */
    int64_t first_ms;      /* of the first batch; 0 when there is none */
    int64_t ms;            /* of the newest batch, or the header's */
    ltx_position position; /* of the newest batch, or the header's */
} ltx_spool;

/* Create the spool of `txid` (whole or not at all) and open it. 0 or an errno. */
int ltx_spool_create(const char *folder, uint64_t txid, uint32_t flags, const uint8_t boot[16],
                     int64_t ms, const ltx_position *position, ltx_spool *out);
/* Create the spool that follows on `from`, with the batches that `from` has behind byte `size`, the
   end of its header or of a batch. 0 or an errno. */
int ltx_spool_carry(const char *folder, const ltx_spool *from, uint64_t size, ltx_spool *out);
/* Open an existing one and read its batches up to the first incomplete one.
   0, an errno (ENOENT: none; EILSEQ: not a spool). */
int ltx_spool_open(const char *folder, uint64_t txid, ltx_spool *out);
/* Read batches that other processes have appended since. 0 or an errno. */
int ltx_spool_refresh(ltx_spool *spool);
/* Append a batch; on failure nothing of it counts. 0 or an errno. */
int ltx_spool_append(ltx_spool *spool, const uint32_t *pgnos, uint32_t count, int64_t ms,
                     const ltx_position *position);
/* Page numbers of the batches from byte `at` on (the end of the header or of a batch) that are not
   above the position's commit: ascending, each once, without the lock page, in *out (free() it; NULL
   when there are none). 0 or an errno. */
int ltx_spool_pgnos(const ltx_spool *spool, uint64_t at, uint32_t **out, size_t *count);
void ltx_spool_close(ltx_spool *spool);

/* Path of the spool of `txid` into out[size]; ENAMETOOLONG when it does not fit. */
int ltx_spool_path(const char *folder, uint64_t txid, char *out, size_t size);

#endif
