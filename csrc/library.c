#include "library.h"

#include <errno.h>

#define BUSY_MS 1000

static int to_errno(int rc)
{
    if (rc == SQLITE_OK)
        return 0;
    return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED ? EBUSY : EIO;
}

int ltx_library_open(ltx_library *library, const char *path, void **out)
{
    const sqlite3_api_routines *api = library->api;
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
    int rc = api->open_v2(path, &db, flags, library->root->zName);
    *out = db;
    if (rc)
        return to_errno(rc);
    api->busy_timeout(db, BUSY_MS);
    api->db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
    return ltx_library_run(library, db, "PRAGMA wal_autocheckpoint=0");
}

int ltx_library_run(ltx_library *library, void *db, const char *sql)
{
    return to_errno(library->api->exec(db, sql, 0, 0, 0));
}

void ltx_library_close(ltx_library *library, void *db)
{
    if (db)
        library->api->close_v2(db);
}

int ltx_library_make_wal(ltx_library *library, const char *path)
{
    void *db = NULL;
    int rc = ltx_library_open(library, path, &db);
    if (!rc)
        rc = ltx_library_run(library, db, "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL");
    ltx_library_close(library, db);
    return rc;
}
