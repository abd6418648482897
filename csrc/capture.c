/* Capture: which pages were committed becomes a batch in the spool.
 *
 * SQLite announces each checkpoint before it copies a frame back (SQLITE_FCNTL_CKPT_START), and a
 * WAL is restarted, truncated or deleted only behind a finished checkpoint. So noting everything
 * committed before that call returns loses nothing: what the pages hold is then in the database
 * file, until it is cut out (cut.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "capture.h"
#include "chain.h"
#include "io.h"
#include "ltx.h"
#include "scan.h"
#include "state.h"

/* Whether the frame in front of `at` is still the one that was captured last. */
static int same_frame(ltx_db *db, const ltx_position *at)
{
    uint8_t head[LTX_WAL_FRAME_HEADER_SIZE];
    if (at->end < LTX_WAL_HEADER_SIZE + LTX_WAL_FRAME_HEADER_SIZE + (uint64_t)at->page_size)
        return at->end == LTX_WAL_HEADER_SIZE;
    uint64_t offset = at->end - LTX_WAL_FRAME_HEADER_SIZE - at->page_size;
    if (ltx_pread(db->wal_fd, head, sizeof head, offset))
        return 0;
    return ltx_get_u32(head + 8) == at->salt1 && ltx_get_u32(head + 12) == at->salt2 &&
           ltx_get_u32(head + 16) == at->checksum1 && ltx_get_u32(head + 20) == at->checksum2;
}

/* Where to read on: behind the last captured frame, or at the start of a new generation. */
static int resume(ltx_db *db, const ltx_wal_header *wal, ltx_position *at)
{
    *at = db->spool.position;
    if (wal->page_size != at->page_size)
        return LTX_NEED_BASE;
    if (at->end && wal->salt1 == at->salt1 && wal->salt2 == at->salt2)
        return same_frame(db, at) ? 0 : LTX_NEED_BASE;
    /* A new generation is ours only if nobody has touched the database file since our checkpoint.
     */
    if (!ltx_state_untouched(db))
        return LTX_NEED_BASE;
    ltx_scan_start(wal, db->spool.position.commit, at);
    return 0;
}

/* Pages of the grown part that the new frames do not hold: SQLite never wrote them in these
   transactions. (Pages that were cut off and came back within these need nothing: no checkpoint was
   between, so they still are what they were before.) Litestream needs them in the file (no gap
   above the old size). */
static int add_growth(ltx_scan *s, uint32_t from)
{
    uint32_t lock = ltx_lock_pgno(s->wal.page_size);
    for (uint32_t pgno = from + 1; pgno <= s->at.commit && pgno > from; pgno++) {
        int known = pgno == lock || ltx_pagemap_get(s->pages, pgno);
        int rc = known ? 0 : ltx_pagemap_set(s->pages, pgno, LTX_PAGEMAP_FILE);
        if (rc)
            return rc;
    }
    return 0;
}

static int append(ltx_db *db, ltx_scan *s)
{
    int rc = add_growth(s, db->spool.position.commit);
    uint32_t *pgnos = rc ? NULL : malloc(s->pages->count * sizeof *pgnos);
    if (!pgnos)
        return rc ? rc : ENOMEM;
    uint32_t count = 0;
    for (size_t i = 0; i < s->pages->size; i++)
        if (s->pages->entries[i].pgno && s->pages->entries[i].pgno <= s->at.commit)
            pgnos[count++] = s->pages->entries[i].pgno;
    int64_t now = ltx_now_ms();
    rc = ltx_spool_append(&db->spool, pgnos, count, now > db->spool.ms ? now : db->spool.ms,
                          &s->at);
    free(pgnos);
    return rc;
}

/* A foreign checkpoint may have restarted the WAL while it was read. */
static int same_generation(ltx_db *db, const ltx_wal_header *wal)
{
    ltx_wal_header now;
    int present = 0;
    if (ltx_scan_header(db->wal_fd, &now, &present) || !present)
        return 0;
    return now.salt1 == wal->salt1 && now.salt2 == wal->salt2;
}

static int capture_from(ltx_db *db, ltx_scan *s)
{
    uint64_t start = s->at.end;
    int rc = ltx_scan_run(s, db->wal_fd, db->wal_index);
    if (rc || s->at.end == start)
        return rc;
    rc = ltx_chain_forget_clean(db);
    if (!rc)
        rc = append(db, s);
    if (!rc && !same_generation(db, &s->wal))
        rc = LTX_NEED_BASE;
    if (rc)
        return rc;
    db->shared->generation++;
    return 0;
}

static int is_empty(ltx_db *db)
{
    struct stat st;
    return db->fd < 0 || (fstat(db->fd, &st) == 0 && st.st_size == 0);
}

int ltx_capture_locked(ltx_db *db)
{
    int rc = ltx_state_files(db);
    if (!rc && !db->loaded)
        rc = ltx_chain_load(db);
    if (rc)
        return rc;
    ltx_pagemap pages = {0};
    ltx_scan s = {.pages = &pages};
    int present = 0;
    rc = ltx_scan_header(db->wal_fd, &s.wal, &present);
    if (rc)
        return rc;
    /* Nothing was ever written: nothing to base a chain on. */
    if (!db->has_chain && !present && is_empty(db))
        return 0;
    if (!db->has_chain || db->shared->broken)
        return LTX_NEED_BASE;
    if (!present)
        return 0;
    rc = resume(db, &s.wal, &s.at);
    if (!rc)
        rc = capture_from(db, &s);
    if (rc == LTX_NEED_BASE)
        ltx_state_break(db);
    ltx_pagemap_free(&pages);
    return rc;
}

int ltx_capture(ltx_db *db)
{
    if (db->dead)
        return 0;
    uint64_t commits = atomic_load(&db->commits);
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    rc = ltx_capture_locked(db);
    ltx_state_unlock(db);
    atomic_store(&db->error, rc > 0 ? rc : 0);
    if (rc == 0)
        atomic_store(&db->captured, commits);
    return rc;
}

int ltx_capture_seek(ltx_db *db, ltx_position *out, ltx_pagemap *pages)
{
    ltx_scan s = {.pages = pages};
    int present = 0;
    int rc = ltx_scan_header(db->wal_fd, &s.wal, &present);
    if (rc)
        return rc;
    *out = (ltx_position){0};
    if (!present)
        return 0;
    ltx_scan_start(&s.wal, 0, &s.at);
    rc = ltx_scan_run(&s, db->wal_fd, db->wal_index);
    *out = s.at;
    return rc;
}

int ltx_capture_frames(ltx_db *db, const ltx_position *at, ltx_pagemap *pages)
{
    ltx_scan s = {.limit = at->end, .pages = pages};
    int present = 0;
    int rc = ltx_scan_header(db->wal_fd, &s.wal, &present);
    if (rc || !present || !ltx_position_frames(at) || s.wal.salt1 != at->salt1 ||
        s.wal.salt2 != at->salt2)
        return rc;
    ltx_scan_start(&s.wal, 0, &s.at);
    return ltx_scan_run(&s, db->wal_fd, db->wal_index);
}
