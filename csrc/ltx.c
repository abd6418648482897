/* LTX headers and trailers: bytes to structs and back, and the rules they obey. */
#include "ltx.h"

#include <string.h>

#include "bytes.h"

static const uint8_t MAGIC[4] = {'L', 'T', 'X', '1'};

void ltx_header_pack(const ltx_header *header, uint8_t out[LTX_HEADER_SIZE])
{
    memcpy(out, MAGIC, 4);
    ltx_put_u32(out + 4, header->flags);
    ltx_put_u32(out + 8, header->page_size);
    ltx_put_u32(out + 12, header->commit);
    ltx_put_u64(out + 16, header->min_txid);
    ltx_put_u64(out + 24, header->max_txid);
    ltx_put_u64(out + 32, (uint64_t)header->timestamp_ms);
    ltx_put_u64(out + 40, header->pre_apply);
    ltx_put_u64(out + 48, (uint64_t)header->wal_offset);
    ltx_put_u64(out + 56, (uint64_t)header->wal_size);
    ltx_put_u32(out + 64, header->salt1);
    ltx_put_u32(out + 68, header->salt2);
    ltx_put_u64(out + 72, header->node_id);
    memcpy(out + 80, header->reserved, sizeof header->reserved);
}

int ltx_header_unpack(const uint8_t in[LTX_HEADER_SIZE], ltx_header *header)
{
    if (memcmp(in, MAGIC, 4) != 0)
        return LTX_E_MAGIC;
    header->flags = ltx_get_u32(in + 4);
    header->page_size = ltx_get_u32(in + 8);
    header->commit = ltx_get_u32(in + 12);
    header->min_txid = ltx_get_u64(in + 16);
    header->max_txid = ltx_get_u64(in + 24);
    header->timestamp_ms = (int64_t)ltx_get_u64(in + 32);
    header->pre_apply = ltx_get_u64(in + 40);
    header->wal_offset = (int64_t)ltx_get_u64(in + 48);
    header->wal_size = (int64_t)ltx_get_u64(in + 56);
    header->salt1 = ltx_get_u32(in + 64);
    header->salt2 = ltx_get_u32(in + 68);
    header->node_id = ltx_get_u64(in + 72);
    memcpy(header->reserved, in + 80, sizeof header->reserved);
    return ltx_header_validate(header);
}

/* Salts and a size speak about a place in the WAL, so they need its offset. */
static int wal_fields_valid(const ltx_header *header)
{
    int spoken_of = header->salt1 || header->salt2 || header->wal_size;
    return header->wal_offset >= 0 && header->wal_size >= 0 && (!spoken_of || header->wal_offset);
}

static int pre_apply_valid(const ltx_header *header)
{
    if (ltx_is_snapshot(header) || header->flags & LTX_NO_CHECKSUM)
        return header->pre_apply == 0;
    return (header->pre_apply & LTX_CHECKSUM_FLAG) != 0;
}

int ltx_header_validate(const ltx_header *header)
{
    uint32_t page_size = header->page_size;
    if (header->flags & ~LTX_NO_CHECKSUM)
        return LTX_E_FLAGS;
    if (page_size < LTX_PAGE_SIZE_MIN || page_size > LTX_PAGE_SIZE_MAX ||
        (page_size & (page_size - 1)) != 0)
        return LTX_E_PAGE_SIZE;
    if (header->commit == 0 && header->flags & LTX_NO_CHECKSUM)
        return LTX_E_COMMIT; /* LTX asks for a post-apply checksum of an empty database */
    if (header->min_txid == 0 || header->min_txid > header->max_txid)
        return LTX_E_TXID;
    if (!wal_fields_valid(header))
        return LTX_E_WAL_FIELDS;
    return pre_apply_valid(header) ? 0 : LTX_E_PRE_APPLY;
}

uint64_t ltx_header_offset(int code)
{
    switch (code) {
    case LTX_E_FLAGS: return 4;
    case LTX_E_PAGE_SIZE: return 8;
    case LTX_E_COMMIT: return 12;
    case LTX_E_TXID: return 16;
    case LTX_E_PRE_APPLY: return 40;
    case LTX_E_WAL_FIELDS: return 48;
    default: return 0;
    }
}

void ltx_trailer_pack(const ltx_trailer *trailer, uint8_t out[LTX_TRAILER_SIZE])
{
    ltx_put_u64(out, trailer->post_apply);
    ltx_put_u64(out + 8, trailer->file_checksum);
}

int ltx_trailer_unpack(const uint8_t in[LTX_TRAILER_SIZE], const ltx_header *header,
                       ltx_trailer *trailer)
{
    trailer->post_apply = ltx_get_u64(in);
    trailer->file_checksum = ltx_get_u64(in + 8);
    if (header->flags & LTX_NO_CHECKSUM) {
        if (trailer->post_apply != 0)
            return LTX_E_POST_APPLY;
    } else if (!(trailer->post_apply & LTX_CHECKSUM_FLAG) ||
               (header->commit == 0 && trailer->post_apply != LTX_CHECKSUM_FLAG)) {
        return LTX_E_POST_APPLY;
    }
    return trailer->file_checksum & LTX_CHECKSUM_FLAG ? 0 : LTX_E_CHECKSUM;
}

int ltx_pgno_check(const ltx_header *header, uint32_t previous, uint32_t pgno)
{
    if (pgno == 0 || pgno > header->commit)
        return LTX_E_PGNO;
    if (pgno == ltx_lock_pgno(header->page_size))
        return LTX_E_LOCK_PAGE;
    if (pgno <= previous)
        return LTX_E_ORDER;
    if (ltx_is_snapshot(header) && pgno != ltx_next_pgno(previous, header->page_size))
        return LTX_E_GAP;
    return 0;
}

int ltx_last_pgno_check(const ltx_header *header, uint32_t last)
{
    /* In 64 bits: the page after the last possible one does not fit 32. */
    uint64_t next = (uint64_t)last + 1;
    if (next == ltx_lock_pgno(header->page_size))
        next++;
    return ltx_is_snapshot(header) && next <= header->commit ? LTX_E_GAP : 0;
}
