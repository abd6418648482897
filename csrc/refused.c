/* A main database that may not be opened: empty, and no lock can be had on it. SQLite completes the
 * connection, and then is told the reason (sql.c): an open itself could only answer a code. */
#include <stdlib.h>
#include <string.h>

#include "file.h"

static int refused_close(sqlite3_file *f)
{
    free(((ltx_file *)f)->refused);
    ((ltx_file *)f)->refused = NULL;
    return SQLITE_OK;
}

static int refused_read(sqlite3_file *f, void *buffer, int size, sqlite3_int64 offset)
{
    (void)f, (void)offset;
    memset(buffer, 0, (size_t)size);
    return SQLITE_IOERR_SHORT_READ;
}

static int refused_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    (void)f, (void)data, (void)size, (void)offset;
    return SQLITE_CANTOPEN;
}

static int refused_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    (void)f, (void)size;
    return SQLITE_CANTOPEN;
}

static int refused_level(sqlite3_file *f, int level)
{
    (void)f, (void)level;
    return SQLITE_CANTOPEN;
}

static int refused_nothing(sqlite3_file *f, int level)
{
    (void)f, (void)level;
    return SQLITE_OK;
}

static int refused_size(sqlite3_file *f, sqlite3_int64 *size)
{
    (void)f;
    *size = 0;
    return SQLITE_OK;
}

static int refused_reserved(sqlite3_file *f, int *out)
{
    (void)f;
    *out = 0;
    return SQLITE_OK;
}

static int refused_control(sqlite3_file *f, int op, void *arg)
{
    (void)f, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int refused_number(sqlite3_file *f)
{
    (void)f;
    return 0;
}

const sqlite3_io_methods LTX_REFUSED_METHODS = {
    .iVersion = 1,
    .xClose = refused_close,
    .xRead = refused_read,
    .xWrite = refused_write,
    .xTruncate = refused_truncate,
    .xSync = refused_nothing,
    .xFileSize = refused_size,
    .xLock = refused_level,
    .xUnlock = refused_nothing,
    .xCheckReservedLock = refused_reserved,
    .xFileControl = refused_control,
    .xSectorSize = refused_number,
    .xDeviceCharacteristics = refused_number,
};

void ltx_file_refuse(ltx_file *file, char *reason)
{
    file->refused = reason;
    file->base.pMethods = &LTX_REFUSED_METHODS;
}
