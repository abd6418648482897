/* The page index of a file that is being written, kept in memory at about three bytes a page:
 * pages ascend and frames follow each other, so a step and a size say all. */
#ifndef LTX_INDEX_LOG_H
#define LTX_INDEX_LOG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes; /* pairs of varints: pgno minus the one before, size of the frame */
    size_t used, capacity;
    uint32_t last; /* pgno of the newest entry, 0: none */
} ltx_index_log;

typedef struct {
    size_t read; /* bytes of the log read so far */
    uint32_t pgno;
    uint64_t offset, size;
} ltx_index_cursor;

/* Note the frame of `size` bytes that holds `pgno`, above all noted before. 0 or ENOMEM. */
int ltx_index_log_append(ltx_index_log *log, uint32_t pgno, uint64_t size);

/* Begin to read: frames start at byte `offset` of the file. */
void ltx_index_log_begin(ltx_index_cursor *cursor, uint64_t offset);

/* Step to the next entry. Returns 0 at the end. */
int ltx_index_log_next(const ltx_index_log *log, ltx_index_cursor *cursor);

/* Free what the log holds; the struct itself is the caller's. */
void ltx_index_log_free(ltx_index_log *log);

#endif
