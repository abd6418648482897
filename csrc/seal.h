/* Sealing of spools, and how any level 0 file comes into being: temp, fsync, rename, fsync. */
#ifndef LTX_SEAL_H
#define LTX_SEAL_H

#include "database.h"

/* Capture, and make one LTX file of all that was committed since the last one, if anything was.
   *newest: newest sealed TXID. 0, errno (EAGAIN: come again), LTX_NEED_BASE. */
int ltx_seal(ltx_db *db, uint64_t *newest);

/* The last connection of this process has closed: cut out now what the next file holds, before the
   database is in another program's hands. On failure ltx_seal() has to find it still there. */
int ltx_seal_keep(ltx_db *db);

/* Everything is sealed and no connection is open: remember that across a reboot. Takes the capture
   lock; does nothing when it is not so. 0 or an errno. */
int ltx_seal_mark_clean(ltx_db *db);

int ltx_seal_lock(ltx_db *db);
void ltx_seal_unlock(ltx_db *db);
/* A temporary file for LTX `txid`, and its publication (or removal, when rc is not 0). Closes fd.
 */
int ltx_seal_create(ltx_db *db, uint64_t txid, int *fd);
int ltx_seal_publish(ltx_db *db, uint64_t txid, int fd, int rc);

#endif
