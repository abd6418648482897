/* A cut: the pages of the next LTX file, all as they were behind one commit.
 *
 * The spool says which pages those are; their content stays where SQLite has it, in the WAL or in
 * the database file, until it is cut out. While the capture lock is held no checkpoint of a
 * connection of this VFS begins, so nothing newer than the last commit captured reaches the database
 * file: a page is the newest frame the WAL has of it, else the file's. What may still move is looked
 * for afterwards (the WAL restarted behind a checkpoint that was under way, another program's
 * checkpoint), and the cut is made again. */
#ifndef LTX_CUT_H
#define LTX_CUT_H

#include <stddef.h>
#include <stdint.h>

#include "spool.h"

typedef struct {
    uint64_t txid; /* of the LTX file to come */
    uint64_t nonce, spool_size; /* which spool, and how much of it is in here */
    int64_t ms;
    ltx_position at;
    uint32_t *pgnos; /* ascending, each once, without the lock page */
    size_t count;    /* 0: an empty cut, which owns nothing */
    uint8_t *pages;  /* in the order of pgnos */
    size_t mapped;   /* bytes of pages */
} ltx_cut;

typedef struct ltx_db ltx_db;

/* Capture, then cut what the spool names; empty when there is nothing. The capture lock is held.
   0, an errno (EAGAIN: the database did not hold still; ENOSPC), LTX_NEED_BASE. */
int ltx_cut_take(ltx_db *db, ltx_cut *out);
/* Whether the cut is of the spool that is open now. The capture lock is held. */
int ltx_cut_is_current(const ltx_db *db, const ltx_cut *cut);
/* Frees what it holds; an empty one is fine. */
void ltx_cut_free(ltx_cut *cut);

#endif
