/* Any bytes as an LTX file: read in one piece and in many, decoded by ranges, compacted. What one
 * way takes for a good file the others must too. */
#include <stdlib.h>
#include <unistd.h>

#include "bytes.h"
#include "ltx_compact.h"
#include "ltx_frames.h"
#include "ltx_reader.h"
#include "page.h"

/* Read the file in pieces of `piece` bytes; gives the first error. */
static int read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
    ltx_reader *reader = ltx_reader_open();
    if (!reader)
        abort();
    int error = 0;
    for (size_t at = 0; !error && at < size; at += piece)
        error = ltx_reader_drain(reader, data + at, size - at < piece ? size - at : piece, -1);
    if (!error)
        error = ltx_reader_finish(reader);
    ltx_reader_close(reader);
    return error;
}

static int compact(const uint8_t *data, size_t size)
{
    const int fed[1] = {-1};
    ltx_compactor *compactor = ltx_compactor_open(1, fed, -1, LTX_PAGES_BLOCK);
    int done = 0, error;
    if (!compactor)
        abort();
    while (!(error = ltx_compactor_run(compactor, &done)) && !done) {
        size_t taken = ltx_compactor_feed(compactor, data, size);
        data += taken;
        size -= taken;
    }
    ltx_compactor_close(compactor);
    return error;
}

/* The bytes as page frames, cut where an index that trusts them would cut. */
static void decode_ranges(const uint8_t *data, size_t size, uint32_t page_size)
{
    uint32_t pgnos[8], sizes[8];
    uint8_t *pages = malloc(8 * (size_t)page_size);
    ltx_frames frames = {.data = data, .page_size = page_size, .pgnos = pgnos, .sizes = sizes};
    ltx_sum sum;
    ltx_fault fault;
    size_t extent = 1;
    while (frames.count < 8 && size - frames.size >= LTX_PAGE_HEADER_SIZE && extent) {
        const uint8_t *frame = data + frames.size;
        if (ltx_page_extent(frame, size - frames.size, page_size, &extent) || !extent)
            break;
        pgnos[frames.count] = ltx_get_u32(frame);
        sizes[frames.count++] = (uint32_t)extent;
        frames.size += extent;
    }
    if (pages)
        ltx_frames_decode_into(&frames, pages, &sum, &fault);
    free(pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    uint32_t page_size = 512u << (data[1] & 7);
    data += 2;
    size -= 2;
    int whole = read_in_pieces(data, size, size ? size : 1);
    if (whole != read_in_pieces(data, size, piece))
        abort();
    int merged = compact(data, size);
    /* Only an empty database, which the merged file has no way to say, may fail. */
    if (!whole && merged && merged != LTX_E_COMMIT)
        abort();
    decode_ranges(data, size, page_size);
    if (size > LTX_HEADER_SIZE)
        decode_ranges(data + LTX_HEADER_SIZE, size - LTX_HEADER_SIZE, page_size);
    return 0;
}
