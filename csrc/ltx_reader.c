/* Reads and verifies one whole LTX file: a state machine over a small buffer. */
#include "ltx_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crc64.h"
#include "index_log.h"
#include "ltx_index.h"
#include "page.h"
#include "page_sink.h"

/* Unread bytes kept: little, so that many readers can be open, but two frames at least. */
enum { UNREAD_MIN = 32 * 1024, UNREAD_MAX = 2 * LTX_FRAME_SIZE_MAX };
enum { INDEX_LENGTH_SIZE = 8 };

typedef enum { IN_HEADER, IN_PAGES, IN_INDEX, IN_TRAILER, AFTER_END } place;

struct ltx_reading {
    place place;
    size_t capacity, begin, filled; /* unread bytes: buffer[begin .. filled) */
    uint64_t offset;                /* of buffer[begin] in the file */
    uint64_t index_start, crc;
    uint32_t last;
    ltx_index_log index;
    ltx_index_cursor cursor;
    ltx_page_codec codec;
    /* Last, never cleared: memory that is not used is not touched. */
    uint8_t buffer[UNREAD_MAX], page[LTX_PAGE_SIZE_MAX];
};

static const uint8_t *unread(const struct ltx_reading *reading)
{
    return reading->buffer + reading->begin;
}

static size_t available(const struct ltx_reading *reading)
{
    return reading->filled - reading->begin;
}

static void skip(struct ltx_reading *reading, size_t size)
{
    reading->begin += size;
    reading->offset += size;
}

/* Skip bytes that the file checksum covers as they stand. */
static void take(struct ltx_reading *reading, size_t size)
{
    reading->crc = ltx_crc64(reading->crc, unread(reading), size);
    skip(reading, size);
}

/* Note the error with its place: byte `offset` of the file, page `pgno` (0: none). */
static int fail(ltx_reader *reader, int code, uint64_t offset, uint32_t pgno)
{
    reader->fault = (ltx_fault){.code = code, .offset = offset, .pgno = pgno};
    return code;
}

ltx_reader *ltx_reader_open(void)
{
    ltx_reader *reader = calloc(1, sizeof *reader);
    struct ltx_reading *reading = malloc(sizeof *reading);
    if (!reader || !reading) {
        free(reader);
        free(reading);
        return NULL;
    }
    memset(reading, 0, offsetof(struct ltx_reading, buffer));
    reading->capacity = UNREAD_MIN;
    reader->reading = reading;
    return reader;
}

void ltx_reader_close(ltx_reader *reader)
{
    if (!reader)
        return;
    ltx_page_codec_free(&reader->reading->codec);
    ltx_index_log_free(&reader->reading->index);
    free(reader->reading);
    free(reader);
}

uint8_t *ltx_reader_room(ltx_reader *reader, size_t *size)
{
    struct ltx_reading *reading = reader->reading;
    size_t left = available(reading);
    if (reading->begin > 0 && left > 0)
        memmove(reading->buffer, unread(reading), left);
    reading->begin = 0;
    reading->filled = left;
    *size = reading->capacity - left;
    return reading->buffer + left;
}

void ltx_reader_filled(ltx_reader *reader, size_t size)
{
    reader->reading->filled += size;
}

size_t ltx_reader_feed(ltx_reader *reader, const uint8_t *data, size_t size)
{
    size_t room;
    uint8_t *to = ltx_reader_room(reader, &room);
    size_t taken = size < room ? size : room;
    if (taken > 0)
        memcpy(to, data, taken);
    ltx_reader_filled(reader, taken);
    return taken;
}

static int next_header(ltx_reader *reader, int *step)
{
    struct ltx_reading *reading = reader->reading;
    if (available(reading) < LTX_HEADER_SIZE)
        return 0;
    int error = ltx_header_unpack(unread(reading), &reader->header);
    if (error)
        return fail(reader, error, ltx_header_offset(error), 0);
    size_t frames = 2 * (size_t)ltx_frame_size_max(reader->header.page_size);
    reading->capacity = frames > UNREAD_MIN ? frames : UNREAD_MIN;
    take(reading, LTX_HEADER_SIZE);
    reading->place = IN_PAGES;
    *step = LTX_AT_HEADER;
    return 0;
}

static int end_pages(ltx_reader *reader)
{
    struct ltx_reading *reading = reader->reading;
    int error = ltx_last_pgno_check(&reader->header, reading->last);
    if (error)
        return fail(reader, error, reading->offset, reading->last + 1);
    take(reading, LTX_PAGE_HEADER_SIZE);
    reading->index_start = reading->offset;
    ltx_index_log_begin(&reading->cursor, LTX_HEADER_SIZE);
    reading->place = IN_INDEX;
    return 0;
}

/* Decode the frame of `size` bytes that begins the unread bytes. */
static int take_page(ltx_reader *reader, uint32_t pgno, size_t size)
{
    struct ltx_reading *reading = reader->reading;
    uint32_t page_size = reader->header.page_size;
    const uint8_t *frame = unread(reading);
    int error = ltx_page_decode(&reading->codec, frame, size, page_size, reading->page);
    if (!error)
        error = ltx_index_log_append(&reading->index, pgno, size);
    if (error)
        return fail(reader, error, reading->offset, pgno);
    reading->crc = ltx_page_crc(reading->crc, frame, reading->page, page_size);
    reading->last = reader->pgno = pgno;
    reader->page = reading->page;
    reader->frame = frame;
    reader->frame_size = size;
    reader->frame_offset = reading->offset;
    reader->pages++;
    skip(reading, size);
    return 0;
}

static int next_page(ltx_reader *reader, int *step)
{
    static const uint8_t end_of_pages[LTX_PAGE_HEADER_SIZE];
    struct ltx_reading *reading = reader->reading;
    size_t extent;
    if (available(reading) < LTX_PAGE_HEADER_SIZE)
        return 0;
    if (memcmp(unread(reading), end_of_pages, sizeof end_of_pages) == 0)
        return end_pages(reader);
    uint32_t pgno = ltx_get_u32(unread(reading));
    int error = ltx_pgno_check(&reader->header, reading->last, pgno);
    if (!error)
        error = ltx_page_extent(unread(reading), available(reading), reader->header.page_size,
                                &extent);
    if (error)
        return fail(reader, error, reading->offset, pgno);
    if (extent == 0)
        return 0;
    error = take_page(reader, pgno, extent);
    if (!error)
        *step = LTX_AT_PAGE;
    return error;
}

/* Compare the index with the frames, as far as its bytes are here. */
static int next_index(ltx_reader *reader)
{
    struct ltx_reading *reading = reader->reading;
    for (;;) {
        uint64_t pgno, offset, size;
        int length = ltx_index_entry(unread(reading), available(reading), &pgno, &offset, &size);
        if (length == 0)
            return 0;
        ltx_index_cursor *cursor = &reading->cursor;
        int more = ltx_index_log_next(&reading->index, cursor);
        int ends = length > 0 && pgno == 0;
        if (length < 0 || more == ends ||
            (more && (pgno != cursor->pgno || offset != cursor->offset || size != cursor->size)))
            return fail(reader, LTX_E_INDEX, reading->offset, more ? cursor->pgno : 0);
        take(reading, (size_t)length);
        if (ends) {
            reading->place = IN_TRAILER;
            return 0;
        }
    }
}

static int next_trailer(ltx_reader *reader, int *step)
{
    struct ltx_reading *reading = reader->reading;
    if (available(reading) < INDEX_LENGTH_SIZE + LTX_TRAILER_SIZE)
        return 0;
    if (ltx_get_u64(unread(reading)) != reading->offset - reading->index_start)
        return fail(reader, LTX_E_INDEX, reading->offset, 0);
    take(reading, INDEX_LENGTH_SIZE);
    int error = ltx_trailer_unpack(unread(reading), &reader->header, &reader->trailer);
    if (error)
        return fail(reader, error, reading->offset + (error == LTX_E_CHECKSUM ? 8 : 0), 0);
    take(reading, LTX_TRAILER_SIZE - 8);
    if (reader->trailer.file_checksum != (LTX_CHECKSUM_FLAG | reading->crc))
        return fail(reader, LTX_E_CHECKSUM, reading->offset, 0);
    skip(reading, 8);
    reading->place = AFTER_END;
    *step = LTX_AT_END;
    return 0;
}

static int after_end(ltx_reader *reader)
{
    struct ltx_reading *reading = reader->reading;
    return available(reading) ? fail(reader, LTX_E_TRAILING, reading->offset, 0) : 0;
}

static int next_in_place(ltx_reader *reader, int *step)
{
    switch (reader->reading->place) {
    case IN_HEADER: return next_header(reader, step);
    case IN_PAGES: return next_page(reader, step);
    case IN_INDEX: return next_index(reader);
    case IN_TRAILER: return next_trailer(reader, step);
    case AFTER_END: return after_end(reader);
    }
    return LTX_E_MISUSE;
}

int ltx_reader_next(ltx_reader *reader, int *step)
{
    int error = reader->fault.code;
    place before;
    *step = LTX_MORE;
    do {
        before = reader->reading->place;
        if (!error)
            error = next_in_place(reader, step);
    } while (!error && *step == LTX_MORE && reader->reading->place != before);
    return error;
}

int ltx_reader_finish(ltx_reader *reader)
{
    const struct ltx_reading *reading = reader->reading;
    if (reader->fault.code || reading->place == AFTER_END)
        return reader->fault.code;
    return fail(reader, LTX_E_TRUNCATED, reading->offset + available(reading), 0);
}

/* Where drained pages go: all of them, or only those not yet in the set `seen`. */
typedef struct {
    ltx_page_sink sink; /* one with fd -1 takes none */
    uint8_t *seen;
    uint32_t commit;
    uint64_t taken;
} drain_target;

/* Put the page just read among those to write, if it is wanted. */
static int keep_page(const ltx_reader *reader, drain_target *target)
{
    ltx_page_sink *sink = &target->sink;
    uint8_t wanted = 1, *place;
    int error = 0;
    if (target->seen)
        ltx_index_claim(target->seen, target->commit, &reader->pgno, 1, &wanted);
    target->taken += wanted;
    if (!wanted || sink->fd < 0)
        return 0;
    if (!sink->pages)
        error = ltx_page_sink_open(sink, sink->fd, reader->header.page_size);
    if (!error)
        error = ltx_page_sink_place(sink, reader->pgno, &place);
    if (!error)
        memcpy(place, reader->page, reader->header.page_size);
    return error;
}

/* Take every step that the bytes fed so far allow. */
static int drain_steps(ltx_reader *reader, drain_target *target)
{
    int step, error;
    do {
        error = ltx_reader_next(reader, &step);
        if (!error && step == LTX_AT_PAGE)
            error = keep_page(reader, target);
    } while (!error && step != LTX_MORE);
    return error;
}

static int drain(ltx_reader *reader, const uint8_t *data, size_t size, drain_target *target)
{
    int error = 0;
    while (!error && size > 0) {
        size_t taken = ltx_reader_feed(reader, data, size);
        data += taken;
        size -= taken;
        error = drain_steps(reader, target);
    }
    if (!error && target->sink.pages)
        error = ltx_page_sink_flush(&target->sink);
    ltx_page_sink_close(&target->sink);
    return error;
}

int ltx_reader_drain(ltx_reader *reader, const uint8_t *data, size_t size, int fd)
{
    drain_target target = {.sink = {.fd = fd}};
    return drain(reader, data, size, &target);
}

int ltx_reader_drain_unseen(ltx_reader *reader, const uint8_t *data, size_t size, int fd,
                            uint8_t *seen, uint32_t commit, uint64_t *taken)
{
    drain_target target = {.sink = {.fd = fd}, .seen = seen, .commit = commit};
    int error = drain(reader, data, size, &target);
    *taken = target.taken;
    return error;
}
