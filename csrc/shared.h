/* What the processes that write one database share: a small mapped file, byte locks, wake-ups. */
#ifndef LTX_SHARED_H
#define LTX_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

/* The database file as our last checkpoint left it. */
typedef struct {
    uint64_t inode;
    int64_t size;
    int64_t mtime_ns;
} ltx_fingerprint;

/* Mapped from `<folder>/shared`. A file of zeros is a valid start. Fields without _Atomic are
   guarded by the capture lock, `fingerprint` by SQLite's checkpoint lock. */
typedef struct {
    _Atomic uint32_t sealed; /* futex: counts LTX files that were sealed */
    _Atomic uint32_t
        uploaded; /* futex: counts changes of uploaded_txid and of the upload's state */
    _Atomic uint64_t uploaded_txid; /* newest TXID the replica holds */
    _Atomic uint64_t replica;       /* which replica uploaded_txid speaks of: CRC-64 of its URL */
    _Atomic uint32_t base_active;   /* LTX_BASE_* */
    _Atomic uint32_t looked; /* whether the elected uploader has looked at the replica itself */
    uint64_t generation; /* moves with every change made under the capture lock */
    uint64_t layout;     /* moves when spools come or go */
    uint32_t busy;       /* a holder of the capture lock is inside; found set: it died there */
    uint32_t broken;     /* the chain needs a new base: somebody else wrote */
    uint64_t resets;     /* how often that happened */
    uint64_t spool_txid; /* the open spool, and the bytes that were written to it: fewer found later */
    uint64_t spool_size; /* are not all */
    uint64_t clean_txid; /* everything up to this TXID is sealed and nothing else was written */
    ltx_fingerprint fingerprint;
} ltx_shared;

/* What a base of ours holds: SQLite's write lock, for a moment; a read transaction. */
enum { LTX_BASE_BEGINS = 1, LTX_BASE_READS = 2 };

enum { LTX_LOCK_CAPTURE = 0, LTX_LOCK_SEAL = 1, LTX_LOCK_UPLOAD = 2, LTX_LOCK_ELECT = 3 };

/* Map `path`, creating it with `mode`; *fd stays open for the locks. 0 or an errno. */
int ltx_shared_open(const char *path, int mode, int *fd, ltx_shared **out);
/* The file was deleted: make it anew, behind the same descriptor and at the same address. The locks
 * on the old one are gone. 0 or an errno. */
int ltx_shared_replace(const char *path, int mode, int fd, ltx_shared *shared);
void ltx_shared_close(int fd, ltx_shared *shared);

/* Process-wide (not per thread) exclusive lock on one byte of `fd`; not inherited over fork,
   dropped by the kernel when the process dies. EAGAIN when timeout_ms passed. */
int ltx_lock(int fd, int byte, int timeout_ms);
void ltx_unlock(int fd, int byte);

/* Sleep until *word differs from `seen`, somebody wakes it, or timeout_ms passed. `across` says
   that other processes wake it too (the word is in mapped memory). Spurious returns are allowed. */
void ltx_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ms, int across);
/* Add one to *word and wake all who wait on it. */
void ltx_wake(_Atomic uint32_t *word, int across);

int64_t ltx_now_ms(void);       /* wall clock, Unix milliseconds */
int64_t ltx_monotonic_ms(void); /* for intervals */
/* Which boot of the machine this is: what was not fsynced does not outlive it. */
void ltx_boot_id(uint8_t out[16]);

#endif
