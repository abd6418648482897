/* Page number -> where its newest version stands. Open addressing, grows by doubling. */
#ifndef LTX_PAGEMAP_H
#define LTX_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>

#define LTX_PAGEMAP_FILE UINT64_MAX /* offset: not in the WAL, read the database file */

typedef struct {
    uint32_t pgno; /* 0: free */
    uint64_t offset;
} ltx_pagemap_entry;

/* A map of zeros is empty and ready. */
typedef struct {
    ltx_pagemap_entry *entries;
    size_t size; /* of entries: 0 or a power of two */
    size_t count;
} ltx_pagemap;

/* Insert or replace; pgno > 0. 0 or ENOMEM. */
int ltx_pagemap_set(ltx_pagemap *map, uint32_t pgno, uint64_t offset);
/* The entry of pgno or NULL; valid until the next set. */
const ltx_pagemap_entry *ltx_pagemap_get(const ltx_pagemap *map, uint32_t pgno);
void ltx_pagemap_free(ltx_pagemap *map);

#endif
