/* The databases of this process: found by path, counted, made anew after fork. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database.h"
#include "descriptor.h"
#include "seal.h"

/* The one table of the C core; everything in it is guarded by `mutex`. */
static struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    ltx_db *first;
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

/* Held over fork(), so that the child gets a consistent table. */
static void before_fork(void)
{
    pthread_mutex_lock(&registry.mutex);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&registry.mutex);
}

/* Connections must not be carried over a fork (SQLite, "How To Corrupt", 2.6): the databases of the
   parent are dead here, the child makes its own. Their descriptors stay open, since closing them
   could drop locks taken later. */
static void after_fork_child(void)
{
    for (ltx_db *db = registry.first; db; db = db->next)
        db->dead = 1;
    registry.first = NULL;
    pthread_mutex_unlock(&registry.mutex);
}

static void watch_fork(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%s%s", a, b);
    return out;
}

static void destroy(ltx_db *db)
{
    ltx_descriptor_close(db->fd);
    if (db->wal_fd >= 0)
        close(db->wal_fd);
    if (db->has_chain)
        ltx_spool_close(&db->spool);
    ltx_cut_free(&db->kept);
    ltx_shared_close(db->shared_fd, db->shared);
    free(db->path);
    free(db->wal_path);
    free(db->folder);
    free(db->level0);
    free(db);
}

static int create(const char *path, const char *folder, const char *level0, int encoding,
                  ltx_db **out)
{
    ltx_db *db = calloc(1, sizeof *db);
    if (!db)
        return ENOMEM;
    db->fd = db->wal_fd = db->shared_fd = db->spool.fd = -1;
    db->encoding = encoding;
    pthread_mutex_init(&db->seal, NULL);
    pthread_mutex_init(&db->capture, NULL);
    db->path = join(path, "");
    db->wal_path = join(path, "-wal");
    db->folder = join(folder, "");
    db->level0 = join(level0, "");
    char *shared = join(folder, "/shared");
    int rc = db->path && db->wal_path && db->folder && db->level0 && shared ? 0 : ENOMEM;
    if (!rc)
        rc = ltx_shared_open(shared, 0600, &db->shared_fd, &db->shared);
    free(shared);
    if (rc) {
        destroy(db);
        return rc;
    }
    ltx_boot_id(db->boot);
    *out = db;
    return 0;
}

int ltx_db_acquire(const char *path, const char *folder, const char *level0, int encoding,
                   ltx_db **out)
{
    pthread_once(&registry.once, watch_fork);
    pthread_mutex_lock(&registry.mutex);
    int rc = 0;
    ltx_db *db = registry.first;
    while (db && strcmp(db->path, path) != 0)
        db = db->next;
    if (!db) {
        rc = create(path, folder, level0, encoding, &db);
        if (!rc) {
            db->next = registry.first;
            registry.first = db;
        }
    }
    if (!rc) {
        db->refs++;
        *out = db;
    }
    pthread_mutex_unlock(&registry.mutex);
    return rc;
}

int ltx_db_refound(ltx_db *db)
{
    char *path = join(db->folder, "/shared");
    if (!path)
        return ENOMEM;
    pthread_mutex_lock(&db->seal);
    pthread_mutex_lock(&db->capture);
    int rc = 0;
    if (!ltx_descriptor_is(db->shared_fd, path)) {
        rc = ltx_shared_replace(path, 0600, db->shared_fd, db->shared);
        if (db->has_chain)
            ltx_spool_close(&db->spool);
        db->has_chain = db->loaded = 0;
        db->newest = 0;
    }
    pthread_mutex_unlock(&db->capture);
    pthread_mutex_unlock(&db->seal);
    free(path);
    return rc;
}

static void unlink_db(ltx_db *db)
{
    for (ltx_db **at = &registry.first; *at; at = &(*at)->next) {
        if (*at != db)
            continue;
        *at = db->next;
        return;
    }
}

void ltx_db_release(ltx_db *db)
{
    if (!db || db->dead)
        return;
    pthread_mutex_lock(&registry.mutex);
    if (--db->refs == 0) {
        unlink_db(db);
        destroy(db);
    }
    pthread_mutex_unlock(&registry.mutex);
}

void ltx_db_connect(ltx_db *db)
{
    /* While nobody had it open here, others may have gone on with it: another process, Litestream.
     */
    atomic_fetch_add(&db->opens, 1);
    if (atomic_fetch_add(&db->connections, 1) == 0)
        atomic_store(&db->stale, 1);
}

void ltx_db_disconnect(ltx_db *db)
{
    if (atomic_fetch_sub(&db->connections, 1) == 1 && !db->dead) {
        ltx_seal_keep(db);
        ltx_wake(&db->wake, 0);
    }
    ltx_db_release(db);
}

ltx_library *ltx_db_library(ltx_db *db)
{
    pthread_mutex_lock(&registry.mutex);
    ltx_library *library = db->library;
    pthread_mutex_unlock(&registry.mutex);
    return library;
}

int ltx_db_claim(ltx_db *db, ltx_library *library)
{
    pthread_mutex_lock(&registry.mutex);
    if (!db->library || atomic_load(&db->connections) == 1)
        db->library = library;
    int rc = db->library == library ? 0 : EEXIST;
    pthread_mutex_unlock(&registry.mutex);
    return rc;
}
