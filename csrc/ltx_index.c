/* Parses a page index into flat arrays. */
#include "ltx_index.h"

#include "bytes.h"
#include "page.h"

void ltx_index_begin(ltx_index *index, const ltx_header *header, uint64_t start)
{
    *index = (ltx_index){.header = *header, .next = LTX_HEADER_SIZE, .start = start};
}

int ltx_index_entry(const uint8_t *in, size_t size, uint64_t *pgno, uint64_t *offset,
                    uint64_t *frame_size)
{
    uint64_t *fields[] = {pgno, offset, frame_size};
    int used = 0;
    for (int i = 0; i < 3; i++) {
        int length = ltx_get_uvarint(in + used, size - (size_t)used, fields[i]);
        if (length <= 0)
            return length;
        used += length;
        if (i == 0 && *pgno == 0)
            break;
    }
    return used;
}

/* The rules an entry must obey that can be told without the pages. */
static int check_entry(const ltx_index *index, uint64_t pgno, uint64_t offset, uint64_t size)
{
    if (pgno > UINT32_MAX)
        return LTX_E_PGNO;
    int error = ltx_pgno_check(&index->header, index->last, (uint32_t)pgno);
    if (error)
        return error;
    int plausible = offset == index->next && size >= LTX_SIZED_HEADER_SIZE &&
                    size <= ltx_frame_size_max(index->header.page_size);
    return plausible ? 0 : LTX_E_INDEX;
}

static int check_end(const ltx_index *index)
{
    if (index->next + LTX_PAGE_HEADER_SIZE != index->start)
        return LTX_E_INDEX;
    return ltx_last_pgno_check(&index->header, index->last);
}

/* Parse one entry into *pgno (0: the end), *offset, *size. Sets *length, 0: not complete. */
static int next_entry(ltx_index *index, const uint8_t *data, size_t left, uint64_t *pgno,
                      uint64_t *offset, uint64_t *size, size_t *length)
{
    int used = ltx_index_entry(data, left, pgno, offset, size);
    if (used < 0)
        return LTX_E_INDEX;
    *length = (size_t)used;
    if (used == 0)
        return 0;
    int error = *pgno ? check_entry(index, *pgno, *offset, *size) : check_end(index);
    if (error)
        return error;
    index->read += (uint64_t)used;
    index->ended = *pgno == 0;
    if (*pgno) {
        index->last = (uint32_t)*pgno;
        index->next += *size;
    }
    return 0;
}

int ltx_index_parse(ltx_index *index, const uint8_t *data, size_t size, size_t capacity,
                    uint32_t *pgnos, uint64_t *offsets, uint32_t *sizes, size_t *count,
                    size_t *used, ltx_fault *fault)
{
    size_t length = 1;
    *count = *used = 0;
    while (!index->ended && *count < capacity && length > 0) {
        uint64_t pgno = 0, offset = 0, frame_size = 0;
        int error = next_entry(index, data + *used, size - *used, &pgno, &offset, &frame_size,
                               &length);
        if (error) {
            *fault = (ltx_fault){.code = error,
                                 .pgno = pgno <= UINT32_MAX ? (uint32_t)pgno : 0,
                                 .offset = index->start + index->read};
            return error;
        }
        *used += length;
        if (length == 0 || index->ended)
            break;
        pgnos[*count] = (uint32_t)pgno;
        offsets[*count] = offset;
        sizes[(*count)++] = (uint32_t)frame_size;
    }
    return 0;
}

void ltx_index_claim(uint8_t *seen, uint32_t commit, const uint32_t *pgnos, size_t count,
                     uint8_t *wanted)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t pgno = pgnos[i];
        wanted[i] = 0;
        if (pgno == 0 || pgno > commit)
            continue;
        uint8_t bit = (uint8_t)(1u << (pgno & 7));
        wanted[i] = !(seen[pgno >> 3] & bit);
        seen[pgno >> 3] |= bit;
    }
}
