/* Capture: committed frames of the WAL become batches in the spool.
 *
 * SQLite announces each checkpoint before it copies a frame back (SQLITE_FCNTL_CKPT_START), and a
 * WAL is restarted, truncated or deleted only behind a finished checkpoint. So capturing everything
 * committed before that call returns loses nothing. What is committed is read off the WAL itself:
 * salts and the running checksum (SQLite file format, section 4). */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "capture.h"
#include "chain.h"
#include "io.h"
#include "ltx.h"
#include "scan.h"
#include "state.h"

#define SPOOL_MAX (64u * 1024 * 1024) /* of pages, then the spool is rotated */

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
   between, so they still are what they were before.) Their content is what SQLite itself would
   read: an older frame of this WAL, else the database file, else zeros. Litestream needs them in
   the file (no gap above the old size). */
static int fill_growth(ltx_db *db, ltx_scan *s, uint64_t start, uint32_t from, ltx_pagemap *fill)
{
    uint32_t lock = ltx_lock_pgno(s->wal.page_size);
    for (uint32_t pgno = from + 1; pgno <= s->at.commit && pgno > from; pgno++) {
        if (pgno == lock || ltx_pagemap_get(s->pages, pgno))
            continue;
        int rc = ltx_pagemap_set(fill, pgno, LTX_PAGEMAP_FILE);
        if (rc)
            return rc;
    }
    if (!fill->count)
        return 0;
    uint8_t head[LTX_WAL_FRAME_HEADER_SIZE];
    size_t frame = LTX_WAL_FRAME_HEADER_SIZE + s->wal.page_size;
    for (uint64_t at = LTX_WAL_HEADER_SIZE; at < start; at += frame) {
        int rc = ltx_pread(db->wal_fd, head, sizeof head, at);
        if (rc)
            return rc == ENODATA ? 0 : rc;
        if (ltx_get_u32(head + 8) != s->wal.salt1 || ltx_get_u32(head + 12) != s->wal.salt2)
            continue;
        if (ltx_pagemap_get(fill, ltx_get_u32(head)))
            rc = ltx_pagemap_set(fill, ltx_get_u32(head), at);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_page(ltx_db *db, uint32_t page_size, ltx_pagemap_entry entry, uint8_t *out)
{
    if (entry.offset != LTX_PAGEMAP_FILE)
        return ltx_pread(db->wal_fd, out, page_size, entry.offset + LTX_WAL_FRAME_HEADER_SIZE);
    memset(out, 0, page_size);
    int rc = ltx_pread(db->fd, out, page_size, (uint64_t)(entry.pgno - 1) * page_size);
    return rc == ENODATA ? 0 : rc;
}

static int put_page(ltx_db *db, const ltx_scan *s, ltx_pagemap_entry entry)
{
    uint8_t *room;
    int rc = ltx_spool_room(&db->spool, &room);
    if (!rc)
        rc = read_page(db, s->wal.page_size, entry, room);
    return rc ? rc : ltx_spool_put(&db->spool, entry.pgno, room);
}

static int put_pages(ltx_db *db, const ltx_scan *s, const ltx_pagemap *pages)
{
    for (size_t i = 0; i < pages->size; i++) {
        ltx_pagemap_entry entry = pages->entries[i];
        int rc = entry.pgno && entry.pgno <= s->at.commit ? put_page(db, s, entry) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static uint32_t count_up_to(const ltx_pagemap *pages, uint32_t commit)
{
    uint32_t count = 0;
    for (size_t i = 0; i < pages->size; i++)
        count += pages->entries[i].pgno && pages->entries[i].pgno <= commit;
    return count;
}

static int append(ltx_db *db, ltx_scan *s, uint64_t start)
{
    uint32_t from = db->spool.position.commit;
    ltx_pagemap fill = {0};
    int rc = fill_growth(db, s, start, from, &fill);
    uint32_t commit = s->at.commit;
    if (!rc)
        rc =
            ltx_spool_begin(&db->spool, count_up_to(s->pages, commit) + count_up_to(&fill, commit));
    if (!rc)
        rc = put_pages(db, s, s->pages);
    if (!rc)
        rc = put_pages(db, s, &fill);
    int64_t now = ltx_now_ms();
    if (!rc)
        rc = ltx_spool_commit(&db->spool, now > db->spool.ms ? now : db->spool.ms, &s->at);
    ltx_pagemap_free(&fill);
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
        rc = append(db, s, start);
    if (!rc && !same_generation(db, &s->wal))
        rc = LTX_NEED_BASE;
    if (rc)
        return rc;
    db->shared->generation++;
    atomic_store(&db->frames, (uint32_t)((s->at.end - LTX_WAL_HEADER_SIZE) /
                                         (LTX_WAL_FRAME_HEADER_SIZE + s->wal.page_size)));
    if (db->spool.pages * s->wal.page_size >= SPOOL_MAX)
        return ltx_rotate_locked(db);
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

int ltx_rotate_locked(ltx_db *db)
{
    struct stat st;
    int mode = db->fd >= 0 && fstat(db->fd, &st) == 0 ? (int)(st.st_mode & 0666) : 0600;
    ltx_spool next;
    uint64_t txid = db->spool.header.txid;
    int rc = ltx_spool_create(db->folder, txid + 1, 0, db->boot, db->spool.ms, &db->spool.position,
                              mode, &next);
    if (rc)
        return rc;
    ltx_spool_close(&db->spool);
    db->spool = next;
    db->newest = txid;
    db->shared->generation++;
    db->shared->layout++;
    atomic_store(&db->unsealed, 1);
    return 0;
}
