/* One page frame: page header, and the page compressed as an LZ4 block or an LZ4 frame. */
#ifndef LTX_PAGE_H
#define LTX_PAGE_H

#include <stddef.h>
#include <stdint.h>

/* Page header and block size: what precedes the compressed bytes of a sized page. */
enum { LTX_SIZED_HEADER_SIZE = 10 };

/* What a frame may be longer than its page, and so the room that any frame fits. */
enum { LTX_FRAME_EXCESS = 1024, LTX_FRAME_SIZE_MAX = 65536 + LTX_FRAME_EXCESS };

/* The longest page frame; a longer one is refused. */
static inline uint32_t ltx_frame_size_max(uint32_t page_size)
{
    return page_size + LTX_FRAME_EXCESS;
}

/* LZ4's state, kept from page to page. Zero it to begin. One thread at a time. */
typedef struct {
    void *block_encoder, *frame_decoder;
} ltx_page_codec;

/* Free what the codec holds; it may be used again. */
void ltx_page_codec_free(ltx_page_codec *codec);

/* Encode one page into `out`, which has LTX_FRAME_SIZE_MAX bytes.
 * Sets *size to the frame's size. Returns 0, ENOMEM, or LTX_E_COMPRESSION (it cannot happen). */
int ltx_page_encode(ltx_page_codec *codec, int encoding, uint32_t pgno, const uint8_t *page,
                    uint32_t page_size, uint8_t *out, size_t *size);

/* Find where the page frame at `in` ends. Sets *extent to its size, or to 0 when more than the
 * `size` bytes are needed to tell. The page header must not be the all-zero end of pages.
 * Returns 0, LTX_E_PAGE_FLAGS, or LTX_E_COMPRESSION if the frame is malformed or too long. */
int ltx_page_extent(const uint8_t *in, size_t size, uint32_t page_size, size_t *extent);

/* Decode the whole frame of `size` bytes at `in` into the page_size bytes at `page`.
 * Returns 0, LTX_E_PAGE_FLAGS, LTX_E_COMPRESSION, LTX_E_PAGE_LENGTH or ENOMEM. */
int ltx_page_decode(ltx_page_codec *codec, const uint8_t *in, size_t size, uint32_t page_size,
                    uint8_t *page);

/* Continue the file checksum over a frame and its page: the first as far as it is not
 * compressed, the second whole. */
uint64_t ltx_page_crc(uint64_t crc, const uint8_t *frame, const uint8_t *page,
                      uint32_t page_size);

/* How many bytes ltx_page_crc takes in. */
uint64_t ltx_page_crc_size(const uint8_t *frame, uint32_t page_size);

#endif
