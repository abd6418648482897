/* Any bytes as a page index: parsed at once and in pieces the entries are the same, and obey the
 * rules they were parsed by. */
#include <stdlib.h>
#include <string.h>

#include "ltx_index.h"

enum { ENTRIES_MAX = 256 };

typedef struct {
    uint32_t pgnos[ENTRIES_MAX], sizes[ENTRIES_MAX];
    uint64_t offsets[ENTRIES_MAX];
    size_t count;
    int error, ended;
} parsed;

static void parse(const ltx_header *header, uint64_t start, const uint8_t *data, size_t size,
                  size_t piece, parsed *out)
{
    ltx_index index;
    ltx_fault fault = {0};
    size_t end = 0, at = 0;
    memset(out, 0, sizeof *out);
    ltx_index_begin(&index, header, start);
    while (!out->error && !index.ended && end < size && out->count < ENTRIES_MAX) {
        size_t found, used;
        end = size - end < piece ? size : end + piece;
        out->error = ltx_index_parse(&index, data + at, end - at, ENTRIES_MAX - out->count,
                                     out->pgnos + out->count, out->offsets + out->count,
                                     out->sizes + out->count, &found, &used, &fault);
        out->count += found;
        at += used;
    }
    out->ended = index.ended;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static parsed whole, pieces;
    if (size < 4)
        return 0;
    ltx_header header = {.flags = LTX_NO_CHECKSUM,
                         .page_size = 512u << (data[0] & 7),
                         .commit = 1u << (data[1] & 15),
                         .min_txid = 1u + (data[0] >> 7),
                         .max_txid = 9};
    uint64_t start = 106 + 16u * data[2];
    size_t piece = (size_t)data[3] + 1;
    parse(&header, start, data + 4, size - 4, size, &whole);
    parse(&header, start, data + 4, size - 4, piece, &pieces);
    if (whole.error != pieces.error || whole.count != pieces.count || whole.ended != pieces.ended ||
        memcmp(whole.pgnos, pieces.pgnos, sizeof whole.pgnos) != 0)
        abort();
    uint8_t *seen = calloc(1, ((size_t)header.commit + 8) / 8), wanted[ENTRIES_MAX];
    if (!seen)
        return 0;
    ltx_index_claim(seen, header.commit, whole.pgnos, whole.count, wanted);
    for (size_t i = 0; i < whole.count; i++)
        if (!wanted[i] || (i > 0 && whole.pgnos[i] <= whole.pgnos[i - 1]))
            abort();
    free(seen);
    return 0;
}
