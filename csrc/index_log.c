/* The page index of a file that is being written. */
#include "index_log.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"

int ltx_index_log_append(ltx_index_log *log, uint32_t pgno, uint64_t size)
{
    if (log->capacity - log->used < 2 * LTX_UVARINT_MAX) {
        size_t capacity = log->capacity ? 2 * log->capacity : 1024;
        uint8_t *bytes = realloc(log->bytes, capacity);
        if (!bytes)
            return ENOMEM;
        log->bytes = bytes;
        log->capacity = capacity;
    }
    log->used += ltx_put_uvarint(log->bytes + log->used, pgno - log->last);
    log->used += ltx_put_uvarint(log->bytes + log->used, size);
    log->last = pgno;
    return 0;
}

void ltx_index_log_begin(ltx_index_cursor *cursor, uint64_t offset)
{
    *cursor = (ltx_index_cursor){.offset = offset};
}

int ltx_index_log_next(const ltx_index_log *log, ltx_index_cursor *cursor)
{
    uint64_t step = 0;
    if (cursor->read == log->used)
        return 0;
    cursor->offset += cursor->size;
    cursor->read += (size_t)ltx_get_uvarint(log->bytes + cursor->read, LTX_UVARINT_MAX, &step);
    cursor->read +=
        (size_t)ltx_get_uvarint(log->bytes + cursor->read, LTX_UVARINT_MAX, &cursor->size);
    cursor->pgno += (uint32_t)step;
    return 1;
}

void ltx_index_log_free(ltx_index_log *log)
{
    free(log->bytes);
    *log = (ltx_index_log){0};
}
