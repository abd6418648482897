/* The base of a chain: the whole database as one LTX file. */
#ifndef LTX_BASE_H
#define LTX_BASE_H

#include "database.h"

/* Begin a chain: the database as it is now becomes LTX file base_txid + 1 of level 0; spools and
   level 0 files behind base_txid are dropped. Writers go on. Without `force` nothing happens when
   there is a chain. 0; ENODATA: the database is empty; EBUSY: a connection in exclusive locking
   mode lets nobody in (it will do it itself at its next commit); EAGAIN: the first open is not
   through; another errno. */
int ltx_base(ltx_db *db, uint64_t base_txid, int force);

/* The same from inside a call of a connection in exclusive locking mode, if it was asked for. */
int ltx_base_in_hook(ltx_db *db);

#endif
