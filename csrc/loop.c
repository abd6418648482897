#include "loop.h"

#include <errno.h>

#include "capture.h"
#include "chain.h"
#include "state.h"

/* The committer is let go on while a loop runs ahead of the next checkpoint: wake it often enough
   that little is left for the checkpoint to capture (SQLite's come every 1,000 frames), rarely
   enough to cost nothing. */
#define WAKE_FRAMES 64
#define WAKE_COMMITS 64
#define GO_ON_FRAMES 16 /* as much came meanwhile: do not sleep at all */
#define AHEAD_REST_MS 1000

static uint32_t frames_ahead(ltx_db *db)
{
    uint32_t frames = atomic_load(&db->committed), done = atomic_load(&db->frames);
    return frames < done ? frames : frames - done; /* less: the WAL was restarted */
}

void ltx_loop_committed(ltx_db *db, uint32_t frames)
{
    uint64_t commits = atomic_fetch_add(&db->commits, 1) + 1;
    atomic_store(&db->committed, frames);
    uint64_t at = atomic_load(&db->wake_at);
    if (at == UINT64_MAX || (commits < at && frames_ahead(db) < WAKE_FRAMES))
        return;
    if (atomic_exchange(&db->wake_at, UINT64_MAX) != UINT64_MAX)
        ltx_wake(&db->wake_ahead, 0);
}

static int is_pending(ltx_db *db)
{
    pthread_mutex_lock(&db->capture);
    int pending = db->has_chain && db->spool.first_ms;
    pthread_mutex_unlock(&db->capture);
    return pending;
}

void ltx_loop_run_ahead(ltx_db *db)
{
    int was_pending = 0;
    while (!atomic_load(&db->stop)) {
        uint32_t seen = atomic_load(&db->wake_ahead);
        uint64_t commits = atomic_load(&db->commits);
        int rc = atomic_load(&db->connections) ? ltx_capture(db) : 0;
        int pending = is_pending(db);
        /* The loop that decides measures the interval from the first page on; and sees failures. */
        if (rc || (pending && !was_pending))
            ltx_wake(&db->wake, 0);
        was_pending = pending;
        if (!rc && atomic_load(&db->commits) != commits && frames_ahead(db) >= GO_ON_FRAMES)
            continue;
        /* With nothing pending the next commit wakes this loop, else a batch of them does. After a
           failure only time does. */
        atomic_store(&db->wake_at, rc ? UINT64_MAX : commits + (pending ? WAKE_COMMITS : 1));
        if (rc || pending || atomic_load(&db->commits) == commits)
            ltx_wait(&db->wake_ahead, seen, AHEAD_REST_MS, 0);
        atomic_store(&db->wake_at, UINT64_MAX);
    }
}

void ltx_loop_want(ltx_db *db)
{
    atomic_store(&db->wanted, 1);
    ltx_wake(&db->wake, 0);
}

void ltx_loop_stop(ltx_db *db, int stop)
{
    atomic_store(&db->stop, stop);
    if (!stop)
        return;
    ltx_wake(&db->wake, 0);
    ltx_wake(&db->wake_ahead, 0);
}

int ltx_loop_stopped(ltx_db *db)
{
    return atomic_load(&db->stop);
}

void ltx_loop_pause(ltx_db *db, int64_t timeout_ms)
{
    ltx_wait(&db->wake, atomic_load(&db->wake), timeout_ms, 0);
}

/* Whether to come to an end. Nothing is captured then: what was committed through this process was
   captured as it closed, and others may go on with the database. */
static int end_state(ltx_db *db)
{
    if (atomic_load(&db->stop))
        return LTX_STOPPED;
    return atomic_load(&db->connections) == 0 ? LTX_CLOSED : 0;
}

/* What there is to do besides capturing; 0: nothing. *rest: how long nothing will be. */
static int next_state(ltx_db *db, int64_t interval_ms, int64_t *rest)
{
    if (atomic_exchange(&db->wanted, 0))
        return LTX_WANTED;
    if (atomic_load(&db->unsealed))
        return LTX_DUE;
    *rest = interval_ms;
    pthread_mutex_lock(&db->capture);
    int64_t first = db->has_chain ? db->spool.first_ms : 0;
    pthread_mutex_unlock(&db->capture);
    if (!first)
        return 0;
    int64_t age = ltx_now_ms() - first;
    if (age < 0 || age >= interval_ms)
        return LTX_DUE;
    *rest = interval_ms - age;
    return 0;
}

int ltx_capture_loop(ltx_db *db, int64_t interval_ms)
{
    for (;;) {
        uint32_t seen = atomic_load(&db->wake);
        int64_t rest = interval_ms;
        int state = end_state(db), rc = 0;
        /* Looking without a commit now and then finds what programs without this VFS wrote. */
        if (!state)
            rc = ltx_capture(db);
        if (rc && rc != EAGAIN)
            return rc;
        if (!state)
            state = next_state(db, interval_ms, &rest);
        if (state)
            return state;
        ltx_wait(&db->wake, seen, rest, 0);
    }
}

int ltx_upload_elect(ltx_db *db)
{
    return ltx_lock(db->shared_fd, LTX_LOCK_UPLOAD, 0);
}

void ltx_upload_resign(ltx_db *db)
{
    ltx_unlock(db->shared_fd, LTX_LOCK_UPLOAD);
}

uint64_t ltx_loop_opens(ltx_db *db)
{
    return atomic_load(&db->opens);
}

uint32_t ltx_upload_sealed(ltx_db *db)
{
    return atomic_load(&db->shared->sealed);
}

void ltx_upload_wait(ltx_db *db, uint32_t seen, int64_t timeout_ms)
{
    ltx_wait(&db->shared->sealed, seen, timeout_ms, 1);
}

void ltx_upload_poke(ltx_db *db)
{
    ltx_wake(&db->shared->sealed, 1);
}

void ltx_upload_tell(ltx_db *db)
{
    ltx_wake(&db->shared->uploaded, 1);
}

uint32_t ltx_upload_seen(ltx_db *db)
{
    return atomic_load(&db->shared->uploaded);
}

void ltx_upload_wait_done(ltx_db *db, uint32_t seen, int64_t timeout_ms)
{
    ltx_wait(&db->shared->uploaded, seen, timeout_ms, 1);
}

void ltx_upload_done(ltx_db *db, uint64_t replica, uint64_t txid)
{
    atomic_store(&db->shared->uploaded_txid, txid);
    atomic_store(&db->shared->replica, replica);
    ltx_wake(&db->shared->uploaded, 1);
}

uint64_t ltx_upload_txid(ltx_db *db, uint64_t replica)
{
    if (atomic_load(&db->shared->replica) != replica)
        return 0;
    return atomic_load(&db->shared->uploaded_txid);
}

int ltx_db_status(ltx_db *db, ltx_status *out)
{
    *out = (ltx_status){0};
    int rc = ltx_state_lock(db);
    if (rc)
        return rc;
    rc = ltx_state_files(db);
    if (!rc && !db->loaded)
        rc = ltx_chain_load(db);
    out->has_chain = db->has_chain;
    out->newest = db->newest;
    if (db->has_chain) {
        out->pending_pages = db->spool.pages;
        out->pending_ms = db->spool.first_ms;
        out->newest_ms = db->spool.ms;
        out->page_size = db->spool.position.page_size;
        out->commit = db->spool.position.commit;
    }
    out->broken = db->shared->broken != 0;
    out->resets = db->shared->resets;
    ltx_state_unlock(db);
    out->connections = atomic_load(&db->connections);
    out->error = atomic_load(&db->error);
    out->commits = atomic_load(&db->commits);
    out->captured = atomic_load(&db->captured);
    return rc;
}
