#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "io.h"
#include "ltx_reader.h"
#include "wal.h"

#define PIECE (64 * 1024)

/* Whether the reader comes to page `pgno`, and it is `page`. ENODATA: it wants more bytes. */
static int compare(ltx_reader *reader, uint32_t pgno, const uint8_t *page, int *same)
{
    for (int step = LTX_AT_HEADER; step != LTX_MORE;) {
        if (ltx_reader_next(reader, &step) || step == LTX_AT_END)
            return 0;
        if (step != LTX_AT_PAGE || reader->pgno != pgno)
            continue;
        *same = memcmp(reader->page, page, reader->header.page_size) == 0;
        return 0;
    }
    return ENODATA;
}

/* Whether the file holds exactly this version of the page. A damaged file does not. */
static int holds(int fd, uint32_t pgno, const uint8_t *page, int *same)
{
    uint8_t *piece = malloc(PIECE);
    ltx_reader *reader = ltx_reader_open();
    int rc = piece && reader ? ENODATA : ENOMEM;
    *same = 0;
    while (rc == ENODATA) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = n < 0 ? errno : 0;
        for (ssize_t at = 0; rc == ENODATA && at < n;) {
            at += (ssize_t)ltx_reader_feed(reader, piece + at, (size_t)(n - at));
            rc = compare(reader, pgno, page, same);
        }
    }
    ltx_reader_close(reader);
    free(piece);
    return rc;
}

static int read_last_frame(int wal_fd, const ltx_position *at, uint8_t **out)
{
    size_t size = LTX_WAL_FRAME_HEADER_SIZE + (size_t)at->page_size;
    *out = NULL;
    if (wal_fd < 0 || at->end < LTX_WAL_HEADER_SIZE + size)
        return 0;
    uint8_t *frame = malloc(size);
    if (!frame)
        return ENOMEM;
    int rc = ltx_pread(wal_fd, frame, size, at->end - size);
    int mine = !rc && ltx_get_u32(frame + 8) == at->salt1 && ltx_get_u32(frame + 12) == at->salt2;
    if (mine)
        *out = frame;
    else
        free(frame);
    return rc == ENODATA ? 0 : rc;
}

int ltx_takeover_position(const char *ltx_path, const ltx_header *header, int wal_fd,
                          ltx_position *out)
{
    *out = (ltx_position){.end = (uint64_t)(header->wal_offset + header->wal_size)};
    out->salt1 = header->salt1;
    out->salt2 = header->salt2;
    out->commit = header->commit;
    out->page_size = header->page_size;
    uint8_t *frame;
    int same = 0, rc = read_last_frame(wal_fd, out, &frame);
    if (rc || !frame)
        return rc;
    int fd = open(ltx_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        rc = errno;
    else
        rc = holds(fd, ltx_get_u32(frame), frame + LTX_WAL_FRAME_HEADER_SIZE, &same);
    if (fd >= 0)
        close(fd);
    if (!rc && same) {
        out->checksum1 = ltx_get_u32(frame + 16);
        out->checksum2 = ltx_get_u32(frame + 20);
    }
    free(frame);
    return rc;
}
