/* Writes one LTX file. The file checksum covers the pages uncompressed, everything else as it
 * stands in the file. */
#include "ltx_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "crc64.h"
#include "index_log.h"
#include "page.h"

enum { BUFFER_SIZE = 256 * 1024 };

struct ltx_writer {
    int fd, encoding, error, finished;
    ltx_header header;
    uint64_t post_apply, crc, flushed;
    uint32_t last; /* newest page, 0: none */
    ltx_index_log index;
    ltx_page_codec codec;
    uint8_t *buffer;
    size_t used, capacity;
};

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno != EINTR)
            return errno;
        if (done > 0) {
            data += done;
            size -= (size_t)done;
        }
    }
    return 0;
}

/* Without a descriptor the bytes stay, for ltx_writer_taken. */
static int flush(ltx_writer *writer)
{
    if (writer->fd < 0)
        return 0;
    int error = write_all(writer->fd, writer->buffer, writer->used);
    ltx_writer_taken(writer);
    return error;
}

/* Make sure that `size` more bytes, at most LTX_FRAME_SIZE_MAX, fit the buffer. */
static int reserve(ltx_writer *writer, size_t size)
{
    int error = 0;
    if (writer->capacity - writer->used < size)
        error = flush(writer);
    if (error || writer->capacity - writer->used >= size)
        return error;
    uint8_t *buffer = realloc(writer->buffer, 2 * writer->capacity);
    if (!buffer)
        return ENOMEM;
    writer->buffer = buffer;
    writer->capacity *= 2;
    return 0;
}

const uint8_t *ltx_writer_bytes(const ltx_writer *writer, size_t *size)
{
    *size = writer->used;
    return writer->buffer;
}

void ltx_writer_taken(ltx_writer *writer)
{
    writer->flushed += writer->used;
    writer->used = 0;
}

/* Append bytes that the file checksum covers as they stand. */
static int append(ltx_writer *writer, const uint8_t *data, size_t size)
{
    int error = reserve(writer, size);
    if (error)
        return error;
    writer->crc = ltx_crc64(writer->crc, data, size);
    memcpy(writer->buffer + writer->used, data, size);
    writer->used += size;
    return 0;
}

/* Take a page frame that stands at the buffer's end into the file. */
static int accept_frame(ltx_writer *writer, uint32_t pgno, size_t size, const uint8_t *page)
{
    const uint8_t *frame = writer->buffer + writer->used;
    int error = ltx_index_log_append(&writer->index, pgno, size);
    if (error)
        return error;
    writer->crc = ltx_page_crc(writer->crc, frame, page, writer->header.page_size);
    writer->used += size;
    writer->last = pgno;
    return 0;
}

static int begin_page(ltx_writer *writer, uint32_t pgno)
{
    if (writer->finished)
        return LTX_E_MISUSE;
    if (!writer->error)
        writer->error = ltx_pgno_check(&writer->header, writer->last, pgno);
    if (!writer->error)
        writer->error = reserve(writer, LTX_FRAME_SIZE_MAX);
    return writer->error;
}

ltx_writer *ltx_writer_open(int fd, const ltx_header *header, int encoding, int *err)
{
    *err = ltx_header_validate(header);
    if (!*err && encoding != LTX_PAGES_BLOCK && encoding != LTX_PAGES_FRAME)
        *err = LTX_E_MISUSE;
    if (*err)
        return NULL;
    ltx_writer *writer = calloc(1, sizeof *writer);
    *err = ENOMEM;
    if (!writer)
        return NULL;
    writer->fd = fd;
    writer->encoding = encoding;
    writer->header = *header;
    writer->capacity = BUFFER_SIZE;
    writer->buffer = malloc(writer->capacity);
    if (!writer->buffer) {
        ltx_writer_close(writer);
        return NULL;
    }
    uint8_t packed[LTX_HEADER_SIZE];
    ltx_header_pack(header, packed);
    *err = append(writer, packed, sizeof packed);
    return writer;
}

int ltx_writer_page(ltx_writer *writer, uint32_t pgno, const uint8_t *page)
{
    int error = begin_page(writer, pgno);
    if (error)
        return error;
    size_t size;
    writer->error = ltx_page_encode(&writer->codec, writer->encoding, pgno, page,
                                    writer->header.page_size, writer->buffer + writer->used, &size);
    if (!writer->error)
        writer->error = accept_frame(writer, pgno, size, page);
    return writer->error;
}

int ltx_writer_pages(ltx_writer *writer, size_t count, const uint32_t *pgnos,
                     const uint8_t *pages, size_t *done)
{
    for (*done = 0; *done < count; (*done)++) {
        int error = ltx_writer_page(writer, pgnos[*done], pages);
        if (error)
            return error;
        pages += writer->header.page_size;
    }
    return 0;
}

int ltx_writer_frame(ltx_writer *writer, uint32_t pgno, const uint8_t *frame, size_t size,
                     const uint8_t *page)
{
    int error = begin_page(writer, pgno);
    if (error)
        return error;
    if (size < LTX_SIZED_HEADER_SIZE || size > LTX_FRAME_SIZE_MAX || ltx_get_u32(frame) != pgno)
        return writer->error = LTX_E_MISUSE;
    memcpy(writer->buffer + writer->used, frame, size);
    return writer->error = accept_frame(writer, pgno, size, page);
}

int ltx_writer_post_apply(ltx_writer *writer, uint64_t checksum)
{
    if (writer->finished || writer->header.flags & LTX_NO_CHECKSUM ||
        !(checksum & LTX_CHECKSUM_FLAG))
        return LTX_E_MISUSE;
    writer->post_apply = checksum;
    return 0;
}

/* The end of the pages, then the index and its length. */
static int append_index(ltx_writer *writer)
{
    static const uint8_t end_of_pages[LTX_PAGE_HEADER_SIZE], end_of_index[1];
    uint8_t entry[3 * LTX_UVARINT_MAX];
    uint64_t length = sizeof end_of_index;
    ltx_index_cursor cursor;
    ltx_index_log_begin(&cursor, LTX_HEADER_SIZE);
    int error = append(writer, end_of_pages, sizeof end_of_pages);
    while (!error && ltx_index_log_next(&writer->index, &cursor)) {
        size_t size = ltx_put_uvarint(entry, cursor.pgno);
        size += ltx_put_uvarint(entry + size, cursor.offset);
        size += ltx_put_uvarint(entry + size, cursor.size);
        length += size;
        error = append(writer, entry, size);
    }
    if (!error)
        error = append(writer, end_of_index, sizeof end_of_index);
    ltx_put_u64(entry, length);
    return error ? error : append(writer, entry, 8);
}

static int append_trailer(ltx_writer *writer, ltx_trailer *trailer)
{
    uint8_t packed[LTX_TRAILER_SIZE];
    trailer->post_apply = writer->post_apply;
    ltx_put_u64(packed, trailer->post_apply);
    trailer->file_checksum = LTX_CHECKSUM_FLAG | ltx_crc64(writer->crc, packed, 8);
    ltx_trailer_pack(trailer, packed);
    return append(writer, packed, sizeof packed);
}

int ltx_writer_finish(ltx_writer *writer, ltx_trailer *out, uint64_t *size)
{
    ltx_trailer trailer;
    if (writer->finished)
        return LTX_E_MISUSE;
    if (!writer->error)
        writer->error = ltx_last_pgno_check(&writer->header, writer->last);
    if (!writer->error && !(writer->header.flags & LTX_NO_CHECKSUM) && !writer->post_apply)
        writer->error = LTX_E_POST_APPLY;
    if (!writer->error)
        writer->error = append_index(writer);
    if (!writer->error)
        writer->error = append_trailer(writer, &trailer);
    if (!writer->error)
        writer->error = flush(writer);
    if (writer->error)
        return writer->error;
    writer->finished = 1;
    if (out)
        *out = trailer;
    if (size)
        *size = writer->flushed + writer->used;
    return 0;
}

void ltx_writer_close(ltx_writer *writer)
{
    if (!writer)
        return;
    ltx_index_log_free(&writer->index);
    ltx_page_codec_free(&writer->codec);
    free(writer->buffer);
    free(writer);
}
