/* One replicated database in this process: its files, its locks, where its capture stands.
 *
 * Lock order: SQLite's own locks, then `seal`, then the capture lock (mutex, then byte lock). No
 * lock of ours is held while Python is called. */
#ifndef LTX_DATABASE_H
#define LTX_DATABASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "cut.h"
#include "pagemap.h"
#include "scan.h"
#include "shared.h"
#include "spool.h"

typedef struct ltx_library ltx_library;

typedef struct ltx_db {
    struct ltx_db *next;  /* registry, guarded by its mutex */
    int refs;             /* open files and Python's handles; guarded by the registry's mutex */
    ltx_library *library; /* the SQLite that opened it; guarded by the registry's mutex */
    char *path;           /* as SQLite canonicalised it */
    char *wal_path;
    char *folder; /* spools and the shared file */
    char *level0; /* sealed LTX files, where Litestream keeps its own */
    int encoding; /* LTX_PAGES_* of what is sealed */
    int dead;     /* inherited over fork: nothing of ours happens here any more */

    int shared_fd;
    ltx_shared *shared;
    pthread_mutex_t seal; /* with byte lock LTX_LOCK_SEAL: one sealer of LTX files */
    pthread_mutex_t
        capture;         /* with byte lock LTX_LOCK_CAPTURE: guards all below up to the atomics */
    int loaded;          /* 0: read the chain's state from disk before use */
    uint64_t generation; /* shared->generation and ->layout that this state belongs to */
    uint64_t layout;
    int fd; /* the database file, read only; kept open as long as any connection
               is: closing it would drop SQLite's POSIX locks */
    int wal_fd;
    ltx_wal_index wal_index; /* regions of the WAL index while any file here maps it */
    int wal_index_users;
    int has_chain; /* a base exists: `spool` is the open one */
    ltx_spool spool;
    ltx_cut kept;    /* cut as the last connection closed; empty: none */
    uint64_t newest; /* newest TXID that is sealed, or being written as a full image */
    uint8_t boot[16];

    _Atomic int connections;     /* open main files in this process */
    _Atomic uint64_t opens;      /* how many connections were ever opened */
    _Atomic int stale;           /* read the chain's state from disk before use */
    _Atomic uint64_t commits;    /* transactions committed through this process */
    _Atomic uint64_t captured;   /* value of `commits` that is certainly captured */
    _Atomic uint32_t wake;       /* futex of the capture loop */
    _Atomic int idle;            /* it waits for a commit */
    _Atomic int stop, wanted;    /* requests to the capture loop */
    _Atomic uint64_t hook_base;  /* base wanted from inside an exclusive connection, +1; 0: none */
    _Atomic int hook_force;      /* also if the chain is whole */
    _Atomic uint64_t hook_done;  /* such a base that was written, +1 */
    int elected;                 /* this process uploads; of the uploader's thread */
    _Atomic int error;           /* errno of the last failed capture, 0 when it works */
} ltx_db;

/* States that capture and its loop answer, besides 0 and errno (> 0). */
enum {
    LTX_DUE = -101,       /* the interval is over: seal what was captured */
    LTX_WANTED = -102,    /* a barrier waits: seal now */
    LTX_CLOSED = -103,    /* no connection is open in this process */
    LTX_STOPPED = -104,   /* ltx_db_stop() */
    LTX_NEED_BASE = -105, /* there is no chain: ltx_base() is needed */
};

/* Find or make the database at `path`, counting one reference. The folders exist. 0 or an errno. */
int ltx_db_acquire(const char *path, const char *folder, const char *level0, int encoding,
                   ltx_db **out);
/* Drop a reference; the last one closes all files. */
void ltx_db_release(ltx_db *db);
/* The folder was deleted and made anew: forget what it held; a full image has to follow. 0 or an
   errno. */
int ltx_db_refound(ltx_db *db);
/* One connection more in this process; it holds a reference of its own. */
void ltx_db_connect(ltx_db *db);
/* One less; drops its reference. */
void ltx_db_disconnect(ltx_db *db);
/* Tie the database to the SQLite library of a new connection. EEXIST: another one in this process
   has it open, and closing there would drop the POSIX locks held here. */
int ltx_db_claim(ltx_db *db, ltx_library *library);
/* The library it is tied to; NULL while its first open is not through. */
ltx_library *ltx_db_library(ltx_db *db);

#endif
