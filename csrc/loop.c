#include "loop.h"

#include <errno.h>

#include "capture.h"
#include "chain.h"
#include "state.h"

#define ELECT_MS 1000 /* others hold that lock for two system calls */

void ltx_loop_committed(ltx_db *db)
{
    atomic_fetch_add(&db->commits, 1);
    if (atomic_load(&db->idle) && atomic_exchange(&db->idle, 0))
        ltx_wake(&db->wake, 0);
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

/* What there is to do besides capturing; 0: nothing for *rest. *pending: pages wait for then. */
static int next_state(ltx_db *db, int64_t interval_ms, int64_t *rest, int *pending)
{
    *rest = interval_ms;
    *pending = 0;
    if (atomic_exchange(&db->wanted, 0))
        return LTX_WANTED;
    pthread_mutex_lock(&db->capture);
    int64_t first = db->has_chain ? db->spool.first_ms : 0;
    pthread_mutex_unlock(&db->capture);
    if (!first)
        return 0;
    *pending = 1;
    int64_t age = ltx_now_ms() - first;
    if (age < 0 || age >= interval_ms)
        return LTX_DUE;
    *rest = interval_ms - age;
    return 0;
}

/* With nothing pending the next commit wakes the loop: the interval counts from there. */
static void rest_until(ltx_db *db, uint32_t seen, uint64_t commits, int64_t rest, int pending)
{
    atomic_store(&db->idle, !pending);
    if (pending || atomic_load(&db->commits) == commits)
        ltx_wait(&db->wake, seen, rest, 0);
    atomic_store(&db->idle, 0);
}

int ltx_capture_loop(ltx_db *db, int64_t interval_ms)
{
    for (;;) {
        uint32_t seen = atomic_load(&db->wake);
        uint64_t commits = atomic_load(&db->commits);
        int64_t rest;
        int state = end_state(db), pending, rc = 0;
        /* Looking without a commit now and then finds what programs without this VFS wrote. */
        if (!state)
            rc = ltx_capture(db);
        if (rc && rc != EAGAIN)
            return rc;
        if (!state)
            state = next_state(db, interval_ms, &rest, &pending);
        if (state)
            return state;
        rest_until(db, seen, commits, rest, pending);
    }
}

int ltx_upload_elect(ltx_db *db)
{
    /* One at a time, so that who is not elected finds `looked` to be the elected one's own. */
    int rc = ltx_lock(db->shared_fd, LTX_LOCK_ELECT, ELECT_MS);
    if (rc)
        return rc == EAGAIN ? EBUSY : rc;
    rc = ltx_lock(db->shared_fd, LTX_LOCK_UPLOAD, 0);
    if (!rc && !db->elected)
        atomic_store(&db->shared->looked, 0);
    db->elected = !rc;
    ltx_unlock(db->shared_fd, LTX_LOCK_ELECT);
    return rc;
}

void ltx_upload_resign(ltx_db *db)
{
    db->elected = 0;
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
    atomic_store(&db->shared->looked, 1);
    ltx_wake(&db->shared->uploaded, 1);
}

uint64_t ltx_upload_txid(ltx_db *db, uint64_t replica)
{
    if (atomic_load(&db->shared->replica) != replica)
        return 0;
    return atomic_load(&db->shared->uploaded_txid);
}

int ltx_upload_looked(ltx_db *db)
{
    return atomic_load(&db->shared->looked) != 0;
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
