/* Merges LTX files that follow each other into one.
 *
 * Inputs that must go on to their next step wait on a stack; all others stand in the heap with
 * their next page. So the merge can stop wherever an input has no bytes, and go on later. */
#include "ltx_compact.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bytes.h"
#include "ltx_reader.h"
#include "ltx_writer.h"
#include "merge_heap.h"

typedef struct {
    ltx_reader *reader;
    int fd, ended; /* ended: no bytes will follow */
} merge_input;

struct ltx_compaction {
    size_t count;
    merge_input *inputs;
    int fd, encoding, done;
    ltx_writer *writer; /* NULL until all headers are read */
    ltx_merge_heap heap;
    size_t *waiting, waiting_count; /* inputs that must go on, the next one last */
};

void ltx_compactor_close(ltx_compactor *compactor)
{
    if (!compactor)
        return;
    struct ltx_compaction *compaction = compactor->compaction;
    if (compaction) {
        for (size_t i = 0; compaction->inputs && i < compaction->count; i++)
            ltx_reader_close(compaction->inputs[i].reader);
        ltx_writer_close(compaction->writer);
        free(compaction->inputs);
        free(compaction->heap.entries);
        free(compaction->waiting);
        free(compaction);
    }
    free(compactor);
}

/* All inputs must go on; the first one first, so that errors come in order. */
static void wait_for_all(struct ltx_compaction *compaction)
{
    for (size_t i = 0; i < compaction->count; i++)
        compaction->waiting[i] = compaction->count - 1 - i;
    compaction->waiting_count = compaction->count;
}

static int fill(struct ltx_compaction *compaction, const int *fds)
{
    compaction->inputs = calloc(compaction->count, sizeof *compaction->inputs);
    compaction->heap.entries = calloc(compaction->count, sizeof *compaction->heap.entries);
    compaction->waiting = calloc(compaction->count, sizeof *compaction->waiting);
    if (!compaction->inputs || !compaction->heap.entries || !compaction->waiting)
        return ENOMEM;
    for (size_t i = 0; i < compaction->count; i++) {
        compaction->inputs[i] = (merge_input){.reader = ltx_reader_open(), .fd = fds[i]};
        if (!compaction->inputs[i].reader)
            return ENOMEM;
    }
    wait_for_all(compaction);
    return 0;
}

ltx_compactor *ltx_compactor_open(size_t count, const int *fds, int fd, int encoding)
{
    ltx_compactor *compactor = calloc(1, sizeof *compactor);
    struct ltx_compaction *compaction = calloc(1, sizeof *compaction);
    if (!compactor || !compaction) {
        free(compaction);
        free(compactor);
        return NULL;
    }
    compaction->count = count;
    compaction->fd = fd;
    compaction->encoding = encoding;
    compactor->compaction = compaction;
    if (count == 0 || fill(compaction, fds) == 0)
        return compactor;
    ltx_compactor_close(compactor);
    return NULL;
}

/* Read from the input's own descriptor what there is room for. */
static int read_more(merge_input *input)
{
    size_t room;
    uint8_t *to = ltx_reader_room(input->reader, &room);
    ssize_t got;
    do
        got = read(input->fd, to, room);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    input->ended = got == 0;
    ltx_reader_filled(input->reader, (size_t)got);
    return 0;
}

/* Bring an input to its next step; *step is LTX_MORE if it must be fed first. */
static int advance(ltx_compactor *compactor, size_t i, int *step)
{
    merge_input *input = &compactor->compaction->inputs[i];
    compactor->input = i;
    int error;
    for (;;) {
        error = ltx_reader_next(input->reader, step);
        if (!error && *step == LTX_MORE && input->ended)
            error = ltx_reader_finish(input->reader);
        if (error || *step != LTX_MORE || input->fd < 0)
            break;
        error = read_more(input);
        if (error)
            return error;
    }
    if (error)
        compactor->fault = input->reader->fault;
    return error;
}

/* Note an error of input `input`, or of the output if that is the count of inputs. */
static int fail(ltx_compactor *compactor, size_t input, ltx_fault fault)
{
    compactor->input = input;
    compactor->fault = fault;
    return fault.code;
}

/* What the inputs' headers say together, once all are read. */
static int merge_headers(ltx_compactor *compactor)
{
    const struct ltx_compaction *compaction = compactor->compaction;
    ltx_header merged = {.flags = LTX_NO_CHECKSUM};
    for (size_t i = 0; i < compaction->count; i++) {
        const ltx_header *header = &compaction->inputs[i].reader->header;
        if (i == 0) {
            merged.page_size = header->page_size;
            merged.min_txid = header->min_txid;
        } else if (header->page_size != merged.page_size) {
            return fail(compactor, i, (ltx_fault){.code = LTX_E_MISMATCH, .offset = 8});
        } else if (header->min_txid > merged.max_txid + 1 ||
                   header->max_txid <= merged.max_txid) {
            return fail(compactor, i, (ltx_fault){.code = LTX_E_NOT_CONTIGUOUS, .offset = 16});
        }
        merged.max_txid = header->max_txid;
        merged.commit = header->commit;
        merged.timestamp_ms = header->timestamp_ms;
    }
    compactor->header = merged;
    return 0;
}

static int begin_output(ltx_compactor *compactor)
{
    struct ltx_compaction *compaction = compactor->compaction;
    int error = merge_headers(compactor);
    if (!error)
        compaction->writer = ltx_writer_open(compaction->fd, &compactor->header,
                                             compaction->encoding, &error);
    wait_for_all(compaction);
    return error;
}

static int write_page(ltx_compactor *compactor, const ltx_reader *reader)
{
    const struct ltx_compaction *compaction = compactor->compaction;
    if (reader->pgno > compactor->header.commit)
        return 0;
    int sized = (ltx_get_u16(reader->frame + 4) & LTX_PAGE_SIZED) != 0;
    if (sized == (compaction->encoding == LTX_PAGES_BLOCK))
        return ltx_writer_frame(compaction->writer, reader->pgno, reader->frame,
                                reader->frame_size, reader->page);
    return ltx_writer_page(compaction->writer, reader->pgno, reader->page);
}

/* Write the lowest page in its newest version; all that hold it must go on. */
static int merge_page(ltx_compactor *compactor)
{
    struct ltx_compaction *compaction = compactor->compaction;
    ltx_merge_heap *heap = &compaction->heap;
    ltx_merge_entry newest = ltx_merge_heap_pop(heap);
    int error = write_page(compactor, compaction->inputs[newest.input].reader);
    if (error)
        return fail(compactor, compaction->count,
                    (ltx_fault){.code = error, .pgno = newest.pgno});
    compaction->waiting[compaction->waiting_count++] = newest.input;
    while (heap->count > 0 && heap->entries[0].pgno == newest.pgno)
        compaction->waiting[compaction->waiting_count++] = ltx_merge_heap_pop(heap).input;
    return 0;
}

/* Bring the inputs on the stack to their next step; stops with one that must be fed. */
static int advance_waiting(ltx_compactor *compactor, int *needs)
{
    struct ltx_compaction *compaction = compactor->compaction;
    *needs = 0;
    while (compaction->waiting_count > 0) {
        int step;
        size_t i = compaction->waiting[compaction->waiting_count - 1];
        int error = advance(compactor, i, &step);
        if (error || step == LTX_MORE) {
            *needs = !error;
            return error;
        }
        compaction->waiting_count--;
        if (step == LTX_AT_PAGE) {
            ltx_merge_entry entry = {.pgno = compaction->inputs[i].reader->pgno, .input = i};
            ltx_merge_heap_push(&compaction->heap, entry);
        }
    }
    return 0;
}

static int finish_output(ltx_compactor *compactor)
{
    struct ltx_compaction *compaction = compactor->compaction;
    int error =
        ltx_writer_finish(compaction->writer, &compactor->trailer, &compactor->size);
    compaction->done = !error;
    return error ? fail(compactor, compaction->count, (ltx_fault){.code = error}) : 0;
}

int ltx_compactor_run(ltx_compactor *compactor, int *done)
{
    struct ltx_compaction *compaction = compactor->compaction;
    int error = compaction->count ? compactor->fault.code : LTX_E_MISUSE, needs = 0;
    while (!error && !needs && !compaction->done) {
        error = advance_waiting(compactor, &needs);
        if (error || needs)
            break;
        if (!compaction->writer) {
            error = begin_output(compactor);
        } else if (compaction->heap.count > 0) {
            error = merge_page(compactor);
        } else {
            error = finish_output(compactor);
        }
    }
    compactor->fault.code = error;
    *done = compaction->done;
    return error;
}

size_t ltx_compactor_feed(ltx_compactor *compactor, const uint8_t *data, size_t size)
{
    merge_input *input = &compactor->compaction->inputs[compactor->input];
    input->ended = size == 0;
    return size ? ltx_reader_feed(input->reader, data, size) : 0;
}
