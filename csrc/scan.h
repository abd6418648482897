/* A pass over the WAL: which frames are committed, and where the newest of each page stands.
 *
 * SQLite keeps the end of the committed frames in the WAL index, in shared memory; where that is
 * mapped, frames are not read at all. Elsewhere (an exclusive connection has no shared memory; a
 * program that writes it may be gone) what is committed is read off the WAL itself: salts and
 * running checksum up to a commit frame (SQLite file format, section 4). */
#ifndef LTX_SCAN_H
#define LTX_SCAN_H

#include "pagemap.h"
#include "spool.h"
#include "wal.h"

typedef struct {
    ltx_wal_header wal;
    ltx_position at;    /* behind the last commit frame seen */
    uint64_t limit;     /* stop there, at the end of a transaction; 0: at the last one */
    ltx_pagemap *pages; /* newest committed frame of each page */
} ltx_scan;

/* Regions of the WAL index that are known: page numbers of some 260,000 frames. Those of later
   frames are read from the WAL. */
#define LTX_INDEX_REGIONS 64
typedef const volatile uint32_t *ltx_wal_index[LTX_INDEX_REGIONS];

/* Read the WAL's header. *present 0: there is no WAL (fd < 0, too short), or no valid one. */
int ltx_scan_header(int wal_fd, ltx_wal_header *out, int *present);
/* The position in front of the first frame of a generation. */
void ltx_scan_start(const ltx_wal_header *wal, uint32_t commit, ltx_position *out);
/* Read frames from scan->at to the last commit frame; scan->at and the page map move there (with a
   limit only scan->at.end does). The caller sets wal, at, limit and pages. Regions of the index that are not mapped are NULL. 0 or an
   errno. */
int ltx_scan_run(ltx_scan *scan, int wal_fd, const ltx_wal_index index);

#endif
