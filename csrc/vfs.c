/* The VFS `litestream`: the default VFS with a shim around main databases. Every other file (WAL,
 * journals, temporary ones) is the default VFS's own file; the WAL of a database whose commits are
 * to wait for the replica is the one that will get a shim too. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door.h"
#include "file.h"
#include "sql.h"

#define NAME "litestream"
#define VERSION_MIN 3031000 /* sqlite3_uri_key */
#define PARAMS_MAX 64

/* The libraries our VFS was registered in; they are never unloaded. */
static struct {
    pthread_mutex_t mutex;
    ltx_library *first;
} libraries = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static char *text(const char *format, const char *path)
{
    size_t size = strlen(format) + strlen(path) + 1;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, format, path);
    return out;
}

static int collect_params(ltx_library *library, const char *path, const char **out)
{
    int count = 0;
    for (int i = 0; count < PARAMS_MAX; i++) {
        const char *key = library->api->uri_key(path, i);
        if (!key)
            break;
        out[2 * count] = key;
        out[2 * count + 1] = library->api->uri_parameter(path, key);
        count++;
    }
    return count;
}

/* Ask Python what database this is. NULL and the reason (malloc) when it may not be opened. */
static ltx_db *ask(ltx_library *library, const char *path, int readonly, char **reason)
{
    const char *params[2 * PARAMS_MAX];
    ltx_answer answer = {0};
    ltx_db *db = NULL;
    if (ltx_door_is_shut()) {
        *reason =
            text("ltxvfs: the interpreter is shutting down; %s cannot be opened any more", path);
        return NULL;
    }
    int count = collect_params(library, path, params);
    if (ltx_py_open(path, params, count, readonly, &db, &answer) || !db) {
        *reason = answer.text ? answer.text : text("ltxvfs: %s cannot be opened", path);
        return NULL;
    }
    free(answer.text);
    if (ltx_db_claim(db, library)) {
        *reason =
            text("ltxvfs: %s is open through another SQLite library in this process, whose locks "
                 "this one would break: use one of them",
                 path);
        ltx_db_disconnect(db);
        return NULL;
    }
    return db;
}

/* Whether the file holds a database that is not in WAL mode. */
static int in_journal_mode(sqlite3_file *file)
{
    uint8_t head[20];
    int rc = file->pMethods->xRead(file, head, sizeof head, 0);
    return rc == SQLITE_OK && head[18] == 1;
}

/* Whether SQLite's open of a file that it may not create is bound to fail. */
static int is_missing(const char *path, int flags)
{
    return !(flags & SQLITE_OPEN_CREATE) && access(path, F_OK) != 0;
}

static int open_main(ltx_library *library, const char *path, ltx_file *file, int flags, int *out)
{
    char *reason = NULL;
    int got = flags;
    memset(file, 0, sizeof *file);
    if (is_missing(path, flags))
        return SQLITE_CANTOPEN; /* before anything is made beside it */
    file->library = library;
    file->real = (sqlite3_file *)&file[1];
    ltx_db *db = ask(library, path, flags & SQLITE_OPEN_READONLY, &reason);
    if (!db) {
        ltx_file_refuse(file, reason);
        if (out)
            *out = flags;
        return SQLITE_OK; /* the reason is told when the connection is complete (sql.c) */
    }
    int rc = library->root->xOpen(library->root, path, file->real, flags, &got);
    if (out)
        *out = got;
    if (rc != SQLITE_OK) {
        if (file->real->pMethods)
            file->real->pMethods->xClose(file->real);
        ltx_db_disconnect(db);
        return rc;
    }
    if (!(got & SQLITE_OPEN_READONLY) && in_journal_mode(file->real) &&
        ltx_library_make_wal(library, path)) {
        file->real->pMethods->xClose(file->real);
        ltx_db_disconnect(db);
        ltx_file_refuse(file,
                        text("ltxvfs: %s could not be put into WAL mode: another connection has "
                             "it locked; close that one, or try again",
                             path));
        return SQLITE_OK;
    }
    file->db = db;
    ltx_file_attach(file);
    return SQLITE_OK;
}

static int x_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    ltx_library *library = (ltx_library *)vfs;
    if (path && flags & SQLITE_OPEN_MAIN_DB)
        return open_main(library, path, (ltx_file *)file, flags, out);
    return library->root->xOpen(library->root, path, file, flags, out);
}

static ltx_library *find(const sqlite3_api_routines *api)
{
    ltx_library *library = libraries.first;
    while (library && library->api != api)
        library = library->next;
    return library;
}

/* Adds the library to the table. The mutex is held. An SQLite result code. */
static int install(const sqlite3_api_routines *api)
{
    sqlite3_vfs *root = api->vfs_find(0);
    ltx_library *library = calloc(1, sizeof *library);
    if (!root || !library) {
        free(library);
        return root ? SQLITE_NOMEM : SQLITE_ERROR;
    }
    library->api = api;
    library->root = root;
    library->vfs = *root; /* methods but xOpen are the default VFS's own */
    library->vfs.zName = NAME;
    library->vfs.pNext = NULL;
    library->vfs.szOsFile = (int)sizeof(ltx_file) + root->szOsFile;
    library->vfs.xOpen = x_open;
    int rc = api->vfs_register(&library->vfs, 0);
    if (rc == SQLITE_OK)
        rc = api->auto_extension((void (*)(void))ltx_sql_connect);
    if (rc != SQLITE_OK) {
        free(library);
        return rc;
    }
    library->next = libraries.first;
    libraries.first = library;
    return SQLITE_OK;
}

/* The extension's entry point: what load_extension() calls, once for each SQLite library. */
__attribute__((visibility("default"))) int sqlite3_ltxvfs_init(sqlite3 *db, char **message,
                                                               const sqlite3_api_routines *api);

int sqlite3_ltxvfs_init(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    (void)db;
    if (api->libversion_number() < VERSION_MIN) {
        *message = api->mprintf("ltxvfs needs SQLite 3.31 or later, this is %s", api->libversion());
        return SQLITE_ERROR;
    }
    pthread_mutex_lock(&libraries.mutex);
    int rc = find(api) ? SQLITE_OK : install(api);
    pthread_mutex_unlock(&libraries.mutex);
    return rc == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : rc;
}
