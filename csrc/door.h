/* The door: what Python sees of capture and of the VFS `litestream`. */
#ifndef LTX_DOOR_H
#define LTX_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include "base.h"
#include "capture.h"
#include "file.h"
#include "loop.h"
#include "seal.h"

/* A text that Python hands back; the receiver frees it. */
typedef struct ltx_answer {
    char *text;
} ltx_answer;

/* Copy size bytes of UTF-8 into the answer. Without memory the answer stays empty. */
void ltx_answer_set(ltx_answer *answer, const char *text, size_t size);

/* From now on Python is not called: new opens fail, pragmas are SQLite's again, capture goes on. */
void ltx_door_shut(void);
int ltx_door_is_shut(void);

/* Callbacks into Python (cffi). Called without any lock of ours, from any thread. */

/* A main database is being opened. `params` are `count` pairs of key and value from the URI. 0 and
 *db with one reference and one connection counted, or not 0 and the reason in `answer`. */
int ltx_py_open(const char *path, const char **params, int count, int readonly, ltx_db **db,
                ltx_answer *answer);

/* PRAGMA name, PRAGMA name = value (NULL: none), or the SQL function of that name. 0 and the
   result, SQLITE_NOTFOUND, or another code and the reason. */
int ltx_py_pragma(ltx_db *db, ltx_file *file, const char *name, const char *value,
                  ltx_answer *answer);

#endif
