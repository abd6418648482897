/* The chain on disk: spools and sealed LTX files, and where they say capture stands. */
#ifndef LTX_CHAIN_H
#define LTX_CHAIN_H

#include "database.h"

/* Read from disk where the chain stands: spools, newest LTX file. The capture lock is held. */
int ltx_chain_load(ltx_db *db);
/* A chain is clean only until the next write to it: forget that on disk before the write. */
int ltx_chain_forget_clean(ltx_db *db);
/* TXIDs of the spools in the folder, ascending, in *out (free() it). 0 or an errno. */
int ltx_chain_spools(ltx_db *db, uint64_t **out, size_t *count);
int ltx_chain_remove_spool(ltx_db *db, uint64_t txid);
/* Path of LTX file `txid` of level 0 with a suffix into out[size]. */
int ltx_chain_ltx_path(ltx_db *db, uint64_t txid, const char *suffix, char *out, size_t size);
/* TXIDs of the level 0 files, ascending, in *out (free() it). 0 or an errno. */
int ltx_chain_level0(ltx_db *db, uint64_t **out, size_t *count);

#endif
