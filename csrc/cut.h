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
    uint8_t *data;
    size_t size; /* bytes mapped; 0: nothing */
} ltx_room;

typedef struct {
    uint64_t txid;              /* of the LTX file to come */
    uint64_t nonce, spool_size; /* which spool, and how much of it is in here */
    uint64_t inode;             /* of the database file */
    int64_t ms;
    ltx_position at;
    uint32_t *pgnos; /* ascending, each once, without the lock page */
    uint8_t **pages; /* what each of them holds, in one of the rooms */
    size_t count;    /* 0: an empty cut, which owns nothing */
    ltx_room read;   /* pages read for this cut */
    ltx_room ahead;  /* pages read before it */
} ltx_cut;

typedef struct ltx_db ltx_db;

/* Two steps that shorten the third, in which checkpoints have to wait. First, under the capture lock:
   capture, and choose the pages that will probably not change any more, those that the WAL does not
   have. Empty when they are few. 0, an errno, LTX_NEED_BASE. */
int ltx_cut_plan(ltx_db *db, ltx_cut *out);
/* Second, without the lock: read them. 0 or an errno. */
int ltx_cut_read_ahead(ltx_db *db, ltx_cut *ahead);
/* Capture, then cut what the spool names; empty when there is nothing. What of `ahead` (it may be
   empty) was not committed again since is taken over. The capture lock is held.
   0, an errno (EAGAIN: the database did not hold still; ENOSPC), LTX_NEED_BASE. */
int ltx_cut_take(ltx_db *db, ltx_cut *ahead, ltx_cut *out);
/* Whether the cut is of the spool that is open now. The capture lock is held. */
int ltx_cut_is_current(const ltx_db *db, const ltx_cut *cut);
/* Frees what it holds; an empty one is fine. */
void ltx_cut_free(ltx_cut *cut);

#endif
