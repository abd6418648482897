/* The spool: pages captured from the WAL that are not sealed as an LTX file yet.
 *
 * One file a TXID, `<folder>/<txid>.spool`: a header, then batches. A batch holds the newest
 * version of each page that the captured transactions wrote, and where in the WAL capture stands
 * behind it. It is written without fsync: it outlives a killed process, not a lost machine, which
 * the boot id in the header tells apart. Byte order is the machine's own: the file never leaves it.
 */
#ifndef LTX_SPOOL_H
#define LTX_SPOOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Where capture stands: behind the last frame it has read. `end` 0: no WAL seen yet. */
typedef struct {
    uint64_t end;                  /* byte offset in the WAL */
    uint32_t salt1, salt2;         /* the WAL's generation */
    uint32_t checksum1, checksum2; /* running checksum up to `end` (SQLite file format, 4.2) */
    uint32_t commit;               /* database size in pages */
    uint32_t page_size;
} ltx_position;

enum { LTX_SPOOL_SNAPSHOT = 1 }; /* this TXID is being written as a full image, not from batches */

typedef struct {
    uint64_t magic;
    uint64_t txid;
    uint64_t nonce; /* ties the batches to this header: the file may have been another spool */
    uint32_t flags;
    uint32_t unused;
    uint8_t boot[16];
    int64_t ms; /* time of the newest transaction before this spool */
    ltx_position position;
    uint64_t crc;
} ltx_spool_header;

typedef struct {
    uint64_t magic;
    uint64_t nonce;
    uint32_t pages;
    uint32_t unused;
    int64_t ms; /* when the transactions were captured: at or after their commit */
    ltx_position position;
    uint64_t crc; /* over this header up to here */
} ltx_batch_header;

typedef struct {
    int fd; /* -1: closed */
    ltx_spool_header header;
    uint64_t size;         /* bytes that are valid */
    uint64_t pages;        /* in all batches; a page may be in several */
    int64_t first_ms;      /* of the first batch; 0 when there is none */
    int64_t ms;            /* of the newest batch, or the header's */
    ltx_position position; /* of the newest batch, or the header's */
    /* the batch being written */
    uint32_t *pgnos;
    uint32_t planned, count, count_max;
    struct iovec *parts; /* pages that wait to be written */
    size_t part_count;
    uint8_t *buffer; /* room for such pages */
    uint64_t written;
} ltx_spool;

/* Create the spool of `txid` (whole or not at all) and open it. 0 or an errno. */
int ltx_spool_create(const char *folder, uint64_t txid, uint32_t flags, const uint8_t boot[16],
                     int64_t ms, const ltx_position *position, int mode, ltx_spool *out);
/* Open an existing one and read its batches up to the first incomplete one.
   0, an errno (ENOENT: none; EILSEQ: not a spool). */
int ltx_spool_open(const char *folder, uint64_t txid, int writable, ltx_spool *out);
/* Read batches that other processes have appended since. */
int ltx_spool_refresh(ltx_spool *spool);
/* Frees what it holds; a closed spool is fine. */
void ltx_spool_close(ltx_spool *spool);

/* Append a batch: begin, put exactly that many pages, commit. On failure nothing of it counts. */
int ltx_spool_begin(ltx_spool *spool, uint32_t pages);
int ltx_spool_put(ltx_spool *spool, uint32_t pgno, const uint8_t *page);
/* Room for one page that is given to ltx_spool_put next. Other pages that are given must stay as
   they are until the batch is committed. */
int ltx_spool_room(ltx_spool *spool, uint8_t **out);
int ltx_spool_commit(ltx_spool *spool, int64_t ms, const ltx_position *position);

/* Give the file of spool `txid` to the next one that is created: overwriting pages that are in
   memory costs a fraction of new ones. 0 or an errno; a file that is gone is fine. */
int ltx_spool_recycle(const char *folder, uint64_t txid);
/* Delete the file that waits for the next spool, if there is one. */
void ltx_spool_drop_spare(const char *folder);

/* Path of the spool of `txid` into out[size]; ENAMETOOLONG when it does not fit. */
int ltx_spool_path(const char *folder, uint64_t txid, char *out, size_t size);

#endif
