#include "mark.h"

#include <string.h>

#include "bytes.h"

static const uint8_t MAGIC[4] = {'L', 'V', 'F', 1};

void ltx_mark_write(ltx_header *header, const ltx_position *at)
{
    header->wal_offset = 32;
    header->wal_size = 0;
    /* Without a WAL any salts do that no WAL will have: Litestream needs them non-zero. */
    header->salt1 = at->end ? at->salt1 : 0x4c545856u;
    header->salt2 = at->end ? at->salt2 : 0x4653u;
    memcpy(header->reserved, MAGIC, 4);
    ltx_put_u64(header->reserved + 4, at->end);
    ltx_put_u32(header->reserved + 12, at->checksum1);
    ltx_put_u32(header->reserved + 16, at->checksum2);
}

int ltx_mark_read(const ltx_header *header, ltx_position *out)
{
    if (memcmp(header->reserved, MAGIC, 4) != 0)
        return 0;
    *out = (ltx_position){.commit = header->commit, .page_size = header->page_size};
    out->end = ltx_get_u64(header->reserved + 4);
    if (!out->end)
        return 1;
    out->salt1 = header->salt1;
    out->salt2 = header->salt2;
    out->checksum1 = ltx_get_u32(header->reserved + 12);
    out->checksum2 = ltx_get_u32(header->reserved + 16);
    return 1;
}
