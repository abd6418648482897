/* A main database file of the VFS `litestream`. */
#ifndef LTX_FILE_H
#define LTX_FILE_H

#include "library.h"

typedef struct ltx_file {
    sqlite3_file base; /* first: this is what SQLite holds */
    ltx_library *library;
    ltx_db *db;             /* one reference; NULL when refused */
    char *refused;          /* why it could not be opened; freed by xClose */
    int blocked;            /* result code while capture fails: checkpoints must not go on */
    int alone;              /* SQLite's exclusive lock on the file is held */
    int writing;            /* the WAL's write lock is held */
    int commits_held;       /* commits since it was taken: it stays in exclusive locking mode */
    int checkpointing;      /* between SQLITE_FCNTL_CKPT_START and _DONE */
    int journaled;          /* written outside a checkpoint: a transaction past the WAL */
    int reread;             /* SQLite shall read page 1 again */
    int maps_index;         /* counted among those who map the WAL index; 0: not yet, or in
                               exclusive locking mode */
    sqlite3_file *real;     /* the default VFS's file, behind this struct */
} ltx_file;

/* Become the file around `real`, which is open. */
void ltx_file_attach(ltx_file *file);
/* Become a file that cannot be read, locked or written; takes over `reason` (malloc). */
void ltx_file_refuse(ltx_file *file, char *reason);
extern const sqlite3_io_methods LTX_REFUSED_METHODS;
/* Whether `file`, any VFS's, is one of ours. */
int ltx_file_is_ours(sqlite3_file *file);
/* Do what the background thread wants done inside a call of this connection. 0 or an errno. */
int ltx_file_serve(ltx_file *file);

#endif
