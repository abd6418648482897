/* The inputs of a merge by their next page: the lowest page first, of equal ones the newest. */
#ifndef LTX_MERGE_HEAP_H
#define LTX_MERGE_HEAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t pgno;
    size_t input; /* the higher, the newer */
} ltx_merge_entry;

typedef struct {
    ltx_merge_entry *entries; /* room for every input; the owner's */
    size_t count;
} ltx_merge_heap;

void ltx_merge_heap_push(ltx_merge_heap *heap, ltx_merge_entry entry);

/* Take the first entry of a heap that is not empty. */
ltx_merge_entry ltx_merge_heap_pop(ltx_merge_heap *heap);

#endif
