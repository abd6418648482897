#include "sql.h"

#include <stdlib.h>
#include <string.h>

#include "door.h"
#include "file.h"

static const char *const FUNCTIONS[] = {"litestream_txid", "litestream_time", "litestream_lag",
                                        "litestream_status"};

/* The main database's file of a connection, when it is ours; else NULL. */
static ltx_file *main_file(sqlite3 *db, const sqlite3_api_routines *api)
{
    sqlite3_file *file = NULL;
    if (api->file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK)
        return NULL;
    return ltx_file_is_ours(file) ? (ltx_file *)file : NULL;
}

/* An SQL function gives what the pragma of its name gives; the lag as a number. */
static void call(const sqlite3_api_routines *api, sqlite3_context *context)
{
    const char *name = api->user_data(context);
    ltx_file *file = main_file(api->context_db_handle(context), api);
    ltx_answer answer = {0};
    if (!file || file->refused || ltx_door_is_shut()) {
        api->result_error(context, "the main database is not replicated", -1);
        return;
    }
    int rc = ltx_py_pragma(file->db, file, name, NULL, &answer);
    if (rc)
        api->result_error(context, answer.text ? answer.text : "ltxvfs: failed", -1);
    else if (!answer.text)
        api->result_null(context);
    else if (strcmp(name, "litestream_lag") == 0)
        api->result_double(context, strtod(answer.text, 0));
    else
        api->result_text(context, answer.text, -1, SQLITE_TRANSIENT);
    free(answer.text);
}

/* An SQL function gets nothing from which to tell which library calls it: one trampoline for each.
 */
#define SLOTS 4
static _Atomic(const sqlite3_api_routines *) slots[SLOTS];

#define TRAMPOLINE(n)                                                                              \
    static void call_##n(sqlite3_context *context, int count, sqlite3_value **values)              \
    {                                                                                              \
        (void)count, (void)values;                                                                 \
        call(atomic_load(&slots[n]), context);                                                     \
    }
TRAMPOLINE(0)
TRAMPOLINE(1)
TRAMPOLINE(2)
TRAMPOLINE(3)

typedef void (*trampoline)(sqlite3_context *, int, sqlite3_value **);

static trampoline trampoline_of(const sqlite3_api_routines *api)
{
    static const trampoline all[SLOTS] = {call_0, call_1, call_2, call_3};
    for (int i = 0; i < SLOTS; i++) {
        const sqlite3_api_routines *none = NULL;
        if (atomic_compare_exchange_strong(&slots[i], &none, api) || none == api)
            return all[i];
    }
    return NULL;
}

int ltx_sql_connect(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    ltx_file *file = main_file(db, api);
    if (!file)
        return SQLITE_OK; /* another VFS: left exactly alone */
    if (file->refused) {
        *message = api->mprintf("%s", file->refused);
        return SQLITE_CANTOPEN;
    }
    trampoline function = trampoline_of(api);
    int rc = SQLITE_OK;
    for (size_t i = 0; function && !rc && i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        rc = api->create_function_v2(db, FUNCTIONS[i], 0, SQLITE_UTF8, (void *)FUNCTIONS[i],
                                     function, NULL, NULL, NULL);
    return rc;
}
