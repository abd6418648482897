#include "pagemap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define START 512

static size_t slot(const ltx_pagemap *map, uint32_t pgno)
{
    size_t mask = map->size - 1;
    size_t i = (pgno * 2654435761u) & mask;
    /* Bounded: the map is never more than half full. */
    while (map->entries[i].pgno && map->entries[i].pgno != pgno)
        i = (i + 1) & mask;
    return i;
}

static int grow(ltx_pagemap *map)
{
    ltx_pagemap bigger = {.size = map->size ? map->size * 2 : START, .count = map->count};
    bigger.entries = calloc(bigger.size, sizeof *bigger.entries);
    if (!bigger.entries)
        return ENOMEM;
    for (size_t i = 0; i < map->size; i++)
        if (map->entries[i].pgno)
            bigger.entries[slot(&bigger, map->entries[i].pgno)] = map->entries[i];
    free(map->entries);
    *map = bigger;
    return 0;
}

int ltx_pagemap_set(ltx_pagemap *map, uint32_t pgno, uint64_t offset)
{
    if (map->count * 2 >= map->size) {
        int rc = grow(map);
        if (rc)
            return rc;
    }
    ltx_pagemap_entry *entry = &map->entries[slot(map, pgno)];
    if (!entry->pgno)
        map->count++;
    *entry = (ltx_pagemap_entry){pgno, offset};
    return 0;
}

const ltx_pagemap_entry *ltx_pagemap_get(const ltx_pagemap *map, uint32_t pgno)
{
    if (!map->size)
        return NULL;
    const ltx_pagemap_entry *entry = &map->entries[slot(map, pgno)];
    return entry->pgno ? entry : NULL;
}

void ltx_pagemap_free(ltx_pagemap *map)
{
    free(map->entries);
    memset(map, 0, sizeof *map);
}
