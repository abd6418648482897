/* What the capture lock guards, and how the processes of one database agree on it. */
#ifndef LTX_STATE_H
#define LTX_STATE_H

#include "database.h"

/* Take the capture lock: the mutex among the threads of this process, then the byte lock among
   processes. Learns what others have appended. 0 or an errno (EAGAIN: held for too long). */
int ltx_state_lock(ltx_db *db);
void ltx_state_unlock(ltx_db *db);
/* Open the descriptors of database and WAL where they exist, and anew where they were replaced. The
   capture lock is held. */
int ltx_state_files(ltx_db *db);
/* What the database file looks like now. 0 or EBADF. */
int ltx_state_observe(ltx_db *db, ltx_fingerprint *out);
/* Record the database file as a checkpoint of ours left it. */
void ltx_state_fingerprint(ltx_db *db);
/* Whether it still is like that. The capture lock is held. */
int ltx_state_untouched(ltx_db *db);
/* Somebody else wrote: the chain needs a new base. The capture lock is held. */
void ltx_state_break(ltx_db *db);
/* A file of this process has mapped a region of the WAL index; *known: it had one before. */
void ltx_state_map(ltx_db *db, int region, const volatile uint32_t *words, int *known);
/* It lets go of all of them. */
void ltx_state_unmap(ltx_db *db, int *known);

#endif
