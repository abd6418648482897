/* Page frames: LZ4 in both of LTX's encodings. */
#include "page.h"

#include <errno.h>
#include <lz4.h>
#include <lz4frame.h>
#include <stdlib.h>

#include "bytes.h"
#include "crc64.h"
#include "ltx.h"

_Static_assert(LZ4_COMPRESSBOUND(LTX_PAGE_SIZE_MAX) + LTX_SIZED_HEADER_SIZE <= LTX_FRAME_SIZE_MAX,
               "a page frame must fit its room");

/* The LZ4 frame format, as far as it takes to find a frame's end. */
enum {
    LZ4F_MAGIC = 0x184D2204,
    LZ4F_DESCRIPTOR = 4, /* offset of the flags behind the magic */
    LZ4F_BLOCK_CHECKSUM = 0x10,
    LZ4F_CONTENT_SIZE = 0x08,
    LZ4F_CONTENT_CHECKSUM = 0x04,
    LZ4F_DICTIONARY_ID = 0x01,
};
#define LZ4F_STORED 0x80000000u

void ltx_page_codec_free(ltx_page_codec *codec)
{
    free(codec->block_encoder);
    LZ4F_freeDecompressionContext(codec->frame_decoder);
    *codec = (ltx_page_codec){0};
}

static int encode_block(ltx_page_codec *codec, const uint8_t *page, uint32_t page_size,
                        uint8_t *out, size_t *size)
{
    if (!codec->block_encoder && !(codec->block_encoder = malloc((size_t)LZ4_sizeofState())))
        return ENOMEM;
    int room = LTX_FRAME_SIZE_MAX - LTX_SIZED_HEADER_SIZE;
    int done = LZ4_compress_fast_extState(codec->block_encoder, (const char *)page,
                                          (char *)out + LTX_SIZED_HEADER_SIZE, (int)page_size,
                                          room, 1);
    if (done <= 0)
        return LTX_E_COMPRESSION;
    ltx_put_u32(out + LTX_PAGE_HEADER_SIZE, (uint32_t)done);
    *size = LTX_SIZED_HEADER_SIZE + (size_t)done;
    return 0;
}

static int encode_frame(const uint8_t *page, uint32_t page_size, uint8_t *out, size_t *size)
{
    const LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB,
                      .blockMode = LZ4F_blockIndependent,
                      .contentChecksumFlag = LZ4F_contentChecksumEnabled},
    };
    size_t done = LZ4F_compressFrame(out + LTX_PAGE_HEADER_SIZE,
                                     LTX_FRAME_SIZE_MAX - LTX_PAGE_HEADER_SIZE, page, page_size,
                                     &preferences);
    if (LZ4F_isError(done))
        return LTX_E_COMPRESSION;
    *size = LTX_PAGE_HEADER_SIZE + done;
    return 0;
}

int ltx_page_encode(ltx_page_codec *codec, int encoding, uint32_t pgno, const uint8_t *page,
                    uint32_t page_size, uint8_t *out, size_t *size)
{
    int sized = encoding == LTX_PAGES_BLOCK;
    ltx_put_u32(out, pgno);
    ltx_put_u16(out + 4, sized ? LTX_PAGE_SIZED : 0);
    return sized ? encode_block(codec, page, page_size, out, size)
                 : encode_frame(page, page_size, out, size);
}

static int sized_extent(const uint8_t *in, size_t size, uint32_t page_size, size_t *extent)
{
    if (size < LTX_SIZED_HEADER_SIZE)
        return 0;
    uint32_t body = ltx_get_u32(in + LTX_PAGE_HEADER_SIZE);
    if (body == 0 || body > (uint32_t)LZ4_COMPRESSBOUND(page_size))
        return LTX_E_COMPRESSION;
    if (body <= size - LTX_SIZED_HEADER_SIZE)
        *extent = LTX_SIZED_HEADER_SIZE + body;
    return 0;
}

/* An LZ4 frame: magic, descriptor, blocks up to one of size zero, perhaps a checksum. */
static int frame_extent(const uint8_t *in, size_t size, uint32_t size_max, size_t *extent)
{
    size_t at = LTX_PAGE_HEADER_SIZE + LZ4F_DESCRIPTOR;
    if (size < at + 1)
        return 0;
    const uint8_t flags = in[at];
    if (ltx_get_u32_little(in + LTX_PAGE_HEADER_SIZE) != LZ4F_MAGIC)
        return LTX_E_COMPRESSION;
    at += 3 + (flags & LZ4F_CONTENT_SIZE ? 8 : 0) + (flags & LZ4F_DICTIONARY_ID ? 4 : 0);
    for (;;) {
        if (at + 4 > size_max)
            return LTX_E_COMPRESSION;
        if (at + 4 > size)
            return 0;
        uint32_t block = ltx_get_u32_little(in + at) & ~LZ4F_STORED;
        at += 4;
        if (block == 0)
            break;
        if (block > size_max)
            return LTX_E_COMPRESSION;
        at += block + (flags & LZ4F_BLOCK_CHECKSUM ? 4 : 0);
    }
    at += flags & LZ4F_CONTENT_CHECKSUM ? 4 : 0;
    *extent = at <= size ? at : 0;
    return at <= size_max ? 0 : LTX_E_COMPRESSION;
}

int ltx_page_extent(const uint8_t *in, size_t size, uint32_t page_size, size_t *extent)
{
    *extent = 0;
    if (size < LTX_PAGE_HEADER_SIZE)
        return 0;
    switch (ltx_get_u16(in + 4)) {
    case LTX_PAGE_SIZED: return sized_extent(in, size, page_size, extent);
    case 0: return frame_extent(in, size, ltx_frame_size_max(page_size), extent);
    default: return LTX_E_PAGE_FLAGS;
    }
}

static int decode_block(const uint8_t *in, size_t size, uint32_t page_size, uint8_t *page)
{
    if (size <= LTX_SIZED_HEADER_SIZE || size > LTX_FRAME_SIZE_MAX ||
        ltx_get_u32(in + LTX_PAGE_HEADER_SIZE) != size - LTX_SIZED_HEADER_SIZE)
        return LTX_E_COMPRESSION;
    int done = LZ4_decompress_safe((const char *)in + LTX_SIZED_HEADER_SIZE, (char *)page,
                                   (int)(size - LTX_SIZED_HEADER_SIZE), (int)page_size);
    if (done < 0)
        return LTX_E_COMPRESSION;
    return (uint32_t)done == page_size ? 0 : LTX_E_PAGE_LENGTH;
}

/* Bounded by page_size: what would not fit stays undecoded, and the frame does not end. */
static int decode_frame(ltx_page_codec *codec, const uint8_t *in, size_t size,
                        uint32_t page_size, uint8_t *page)
{
    LZ4F_dctx *context = codec->frame_decoder;
    if (!context) {
        if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
            return ENOMEM;
        codec->frame_decoder = context;
    }
    LZ4F_resetDecompressionContext(context);
    size_t room = page_size, left = size - LTX_PAGE_HEADER_SIZE, hint = 1;
    const uint8_t *from = in + LTX_PAGE_HEADER_SIZE;
    while (left > 0 && hint > 0) {
        size_t got = room, taken = left;
        hint = LZ4F_decompress(context, page + (page_size - room), &got, from, &taken, NULL);
        if (LZ4F_isError(hint))
            return LTX_E_COMPRESSION;
        if (got == 0 && taken == 0)
            return LTX_E_PAGE_LENGTH;
        room -= got;
        from += taken;
        left -= taken;
    }
    if (hint > 0 || left > 0)
        return LTX_E_COMPRESSION;
    return room == 0 ? 0 : LTX_E_PAGE_LENGTH;
}

int ltx_page_decode(ltx_page_codec *codec, const uint8_t *in, size_t size, uint32_t page_size,
                    uint8_t *page)
{
    if (size < LTX_PAGE_HEADER_SIZE)
        return LTX_E_COMPRESSION;
    switch (ltx_get_u16(in + 4)) {
    case LTX_PAGE_SIZED: return decode_block(in, size, page_size, page);
    case 0: return decode_frame(codec, in, size, page_size, page);
    default: return LTX_E_PAGE_FLAGS;
    }
}

static size_t plain_size(const uint8_t *frame)
{
    return ltx_get_u16(frame + 4) & LTX_PAGE_SIZED ? LTX_SIZED_HEADER_SIZE : LTX_PAGE_HEADER_SIZE;
}

uint64_t ltx_page_crc(uint64_t crc, const uint8_t *frame, const uint8_t *page, uint32_t page_size)
{
    return ltx_crc64(ltx_crc64(crc, frame, plain_size(frame)), page, page_size);
}

uint64_t ltx_page_crc_size(const uint8_t *frame, uint32_t page_size)
{
    return plain_size(frame) + page_size;
}
