/* The capture loop of a background thread, and the signals between committers, sealers, uploaders.
 */
#ifndef LTX_LOOP_H
#define LTX_LOOP_H

#include "database.h"

/* Wait for something to do, capturing now and then. Returns LTX_DUE when captured
   pages are interval_ms old, LTX_WANTED, LTX_CLOSED, LTX_STOPPED, LTX_NEED_BASE, or an errno. */
int ltx_capture_loop(ltx_db *db, int64_t interval_ms);
/* Make the loop return LTX_WANTED. */
void ltx_loop_want(ltx_db *db);
/* Make it return LTX_STOPPED, now and from now on; 0 takes that back. */
void ltx_loop_stop(ltx_db *db, int stop);
int ltx_loop_stopped(ltx_db *db);
/* How many connections this process has ever opened. */
uint64_t ltx_loop_opens(ltx_db *db);
/* Wait until something is wanted of the loop's thread, at most timeout_ms. */
void ltx_loop_pause(ltx_db *db, int64_t timeout_ms);
/* A connection in this process has committed. Any thread. */
void ltx_loop_committed(ltx_db *db);

/* The uploader: one of all processes. 0 when this one is elected, EAGAIN when another is. One
   thread of a process calls it, again and again. */
int ltx_upload_elect(ltx_db *db);
void ltx_upload_resign(ltx_db *db);
/* How often something was sealed, and a wait for more. */
uint32_t ltx_upload_sealed(ltx_db *db);
void ltx_upload_wait(ltx_db *db, uint32_t seen, int64_t timeout_ms);
/* Wake uploaders, though nothing was sealed. */
void ltx_upload_poke(ltx_db *db);
/* Wake those who wait for an upload, though none has moved: it may have failed. */
void ltx_upload_tell(ltx_db *db);
/* How often uploading has moved, and a wait for more. */
uint32_t ltx_upload_seen(ltx_db *db);
void ltx_upload_wait_done(ltx_db *db, uint32_t seen, int64_t timeout_ms);
/* `replica` (a number that stands for its URL) holds everything up to txid. */
void ltx_upload_done(ltx_db *db, uint64_t replica, uint64_t txid);
uint64_t ltx_upload_txid(ltx_db *db, uint64_t replica);
/* Whether that is what the elected uploader knows, and not what a former one has left behind. */
int ltx_upload_looked(ltx_db *db);

typedef struct {
    int connections; /* open in this process */
    int has_chain;
    int broken;
    int error;              /* errno of the last capture, 0: it works */
    uint64_t newest;        /* newest TXID that is sealed, or being written as a full image */
    uint64_t pending_pages; /* captured and not sealed; a page may count several times */
    int64_t pending_ms;     /* when the oldest of them was captured; 0: none */
    int64_t newest_ms;      /* time of the newest captured transaction */
    uint64_t commits;       /* in this process */
    uint64_t captured;      /* of those, certainly captured */
    uint64_t resets;        /* how often somebody else wrote */
    uint32_t page_size;
    uint32_t commit;
} ltx_status;

/* Where capture stands. Does not capture. 0 or an errno. */
int ltx_db_status(ltx_db *db, ltx_status *out);

#endif
