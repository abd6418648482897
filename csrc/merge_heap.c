/* The inputs of a merge by their next page: a binary heap. */
#include "merge_heap.h"

static int before(ltx_merge_entry a, ltx_merge_entry b)
{
    return a.pgno != b.pgno ? a.pgno < b.pgno : a.input > b.input;
}

void ltx_merge_heap_push(ltx_merge_heap *heap, ltx_merge_entry entry)
{
    size_t at = heap->count++;
    for (; at > 0 && before(entry, heap->entries[(at - 1) / 2]); at = (at - 1) / 2)
        heap->entries[at] = heap->entries[(at - 1) / 2];
    heap->entries[at] = entry;
}

ltx_merge_entry ltx_merge_heap_pop(ltx_merge_heap *heap)
{
    ltx_merge_entry first = heap->entries[0], last = heap->entries[--heap->count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < heap->count) {
        if (child + 1 < heap->count && before(heap->entries[child + 1], heap->entries[child]))
            child++;
        if (!before(heap->entries[child], last))
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
    return first;
}
