/* Capture: which pages were committed becomes a batch in the spool. */
#ifndef LTX_CAPTURE_H
#define LTX_CAPTURE_H

#include "database.h"

/* Append what was committed since the last time to the spool. 0, errno, LTX_NEED_BASE. */
int ltx_capture(ltx_db *db);
/* The same, the capture lock being held. */
int ltx_capture_locked(ltx_db *db);
/* Find the end of the WAL's committed frames and the newest frame of each page in it, without
   capturing. All zeros when there is no WAL. The capture lock is held. */
int ltx_capture_seek(ltx_db *db, ltx_position *out, ltx_pagemap *pages);
/* The newest frame of each page in front of `at`; none if the WAL is not that position's any more.
   The capture lock is held. 0 or an errno. */
int ltx_capture_frames(ltx_db *db, const ltx_position *at, ltx_pagemap *pages);

#endif
