/* Any bytes as a write-ahead log: the header alone, and frames whose checksums are made right as
 * often as the input asks, so that scanning goes deep. */
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "wal.h"

enum { FRAMES_MAX = 64 };

/* Give frame `frame` the salts and checksum that let it follow `sum`. */
static void make_valid(const ltx_wal_header *header, uint8_t *frame, uint32_t sum[2])
{
    ltx_put_u32(frame + 8, header->salt1);
    ltx_put_u32(frame + 12, header->salt2);
    ltx_wal_checksum(header->big_endian, frame, 8, sum);
    ltx_wal_checksum(header->big_endian, frame + LTX_WAL_FRAME_HEADER_SIZE, header->page_size,
                     sum);
    ltx_put_u32(frame + 16, sum[0]);
    ltx_put_u32(frame + 20, sum[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ltx_wal_header header;
    uint32_t pgnos[FRAMES_MAX], commits[FRAMES_MAX];
    if (size < LTX_WAL_HEADER_SIZE + 2)
        return 0;
    if (ltx_wal_header_parse(data + 2, &header) != 0)
        header = (ltx_wal_header){.page_size = 512u << (data[0] & 3),
                                  .big_endian = data[0] >> 7,
                                  .salt1 = ltx_get_u32(data + 2),
                                  .salt2 = ltx_get_u32(data + 6)};
    size_t frame_size = (size_t)LTX_WAL_FRAME_HEADER_SIZE + header.page_size;
    size_t room = size - LTX_WAL_HEADER_SIZE - 2, made = data[1] % (FRAMES_MAX + 1), right = 0;
    if (room > FRAMES_MAX * frame_size)
        room = FRAMES_MAX * frame_size;
    uint8_t *frames = malloc(room + 1);
    if (!frames)
        return 0;
    memcpy(frames, data + 2 + LTX_WAL_HEADER_SIZE, room);
    uint32_t sum[2] = {header.checksum1, header.checksum2};
    for (; right < made && (right + 1) * frame_size <= room; right++) {
        if (ltx_get_u32(frames + right * frame_size) == 0)
            break;
        make_valid(&header, frames + right * frame_size, sum);
    }
    uint32_t from[2] = {header.checksum1, header.checksum2};
    size_t found = ltx_wal_scan(&header, frames, room, from, pgnos, commits);
    if (found < right || found > room / frame_size)
        abort();
    free(frames);
    return 0;
}
