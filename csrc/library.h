/* One SQLite library of this process (APSW's, the standard module's): its API table, our VFS in it.
 */
#ifndef LTX_LIBRARY_H
#define LTX_LIBRARY_H

#include <sqlite3ext.h>

#include "database.h"

struct ltx_library {
    sqlite3_vfs vfs; /* first: SQLite hands it to us, and we find the library by it */
    sqlite3_vfs *root;
    const sqlite3_api_routines *api;
    ltx_library *next;
};

/* A connection of our own through the default VFS that leaves the WAL alone: no checkpoint ever.
   0, EBUSY, EIO; *out is to be closed in either case. */
int ltx_library_open(ltx_library *library, const char *path, void **out);
/* Run statements, their rows thrown away. 0, EBUSY, EIO. */
int ltx_library_run(ltx_library *library, void *db, const char *sql);
/* NULL is fine; an open transaction is rolled back. */
void ltx_library_close(ltx_library *library, void *db);

/* Turn the database at `path` into a WAL database. 0, EBUSY, EIO. */
int ltx_library_make_wal(ltx_library *library, const char *path);

#endif
