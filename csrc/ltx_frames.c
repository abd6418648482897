/* Decodes a stretch of whole page frames. */
#include "ltx_frames.h"

#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "crc64.h"
#include "page.h"
#include "page_sink.h"

/* Where decoded pages go: a file, memory, or a scratch page when only verified. */
typedef struct {
    ltx_page_sink sink; /* in use if sink.pages is not NULL */
    uint8_t *memory, *scratch;
} target;

/* Whether the frame at `in` is what the index says it is. */
static int check_frame(const ltx_frames *frames, uint64_t i, const uint8_t *in, uint64_t left)
{
    size_t extent;
    if (frames->sizes[i] > left || frames->sizes[i] < LTX_SIZED_HEADER_SIZE)
        return LTX_E_INDEX;
    if (ltx_get_u32(in) != frames->pgnos[i])
        return LTX_E_INDEX;
    int error = ltx_page_extent(in, frames->sizes[i], frames->page_size, &extent);
    return error ? error : extent == frames->sizes[i] ? 0 : LTX_E_INDEX;
}

static int choose_place(const ltx_frames *frames, uint64_t i, const uint8_t *wanted,
                        target *target, uint8_t **place)
{
    if (target->sink.pages && (!wanted || wanted[i]))
        return ltx_page_sink_place(&target->sink, frames->pgnos[i], place);
    *place = target->memory ? target->memory + i * frames->page_size : target->scratch;
    return 0;
}

static int decode_all(const ltx_frames *frames, const uint8_t *wanted, ltx_page_codec *codec,
                      target *target, ltx_sum *sum, ltx_fault *fault)
{
    uint64_t at = 0;
    int error = 0;
    for (uint64_t i = 0; i < frames->count; i++) {
        const uint8_t *in = frames->data + at;
        uint8_t *page = NULL;
        *fault = (ltx_fault){.pgno = frames->pgnos[i], .offset = frames->offset + at};
        error = frames->pgnos[i] ? check_frame(frames, i, in, frames->size - at) : LTX_E_PGNO;
        if (!error)
            error = choose_place(frames, i, wanted, target, &page);
        if (!error)
            error = ltx_page_decode(codec, in, frames->sizes[i], frames->page_size, page);
        if (error)
            return error;
        sum->crc = ltx_page_crc(sum->crc, in, page, frames->page_size);
        sum->size += ltx_page_crc_size(in, frames->page_size);
        at += frames->sizes[i];
    }
    fault->offset = frames->offset + at;
    return at == frames->size ? 0 : LTX_E_INDEX;
}

static int decode(const ltx_frames *frames, const uint8_t *wanted, target *target, ltx_sum *sum,
                  ltx_fault *fault)
{
    ltx_page_codec codec = {0};
    *sum = (ltx_sum){0};
    *fault = (ltx_fault){0};
    int error = decode_all(frames, wanted, &codec, target, sum, fault);
    ltx_page_codec_free(&codec);
    fault->code = error;
    return error;
}

static int page_size_valid(uint32_t size)
{
    return size >= LTX_PAGE_SIZE_MIN && size <= LTX_PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

int ltx_frames_decode(const ltx_frames *frames, const uint8_t *wanted, int fd, ltx_sum *sum,
                      ltx_fault *fault)
{
    target target = {0};
    if (!page_size_valid(frames->page_size))
        return LTX_E_MISUSE;
    target.scratch = malloc(frames->page_size);
    int error = target.scratch ? 0 : ENOMEM;
    if (!error && fd >= 0)
        error = ltx_page_sink_open(&target.sink, fd, frames->page_size);
    if (!error)
        error = decode(frames, wanted, &target, sum, fault);
    if (!error && target.sink.pages)
        error = ltx_page_sink_flush(&target.sink);
    ltx_page_sink_close(&target.sink);
    free(target.scratch);
    return error;
}

int ltx_frames_decode_into(const ltx_frames *frames, uint8_t *pages, ltx_sum *sum,
                           ltx_fault *fault)
{
    target target = {.memory = pages};
    return page_size_valid(frames->page_size) ? decode(frames, NULL, &target, sum, fault)
                                              : LTX_E_MISUSE;
}

ltx_sum ltx_sum_combine(ltx_sum first, ltx_sum second)
{
    return (ltx_sum){.crc = ltx_crc64_combine(first.crc, second.crc, second.size),
                     .size = first.size + second.size};
}
