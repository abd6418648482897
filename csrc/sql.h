/* What connections on our VFS get besides: SQL functions, and the reason why an open was refused.
 */
#ifndef LTX_SQL_H
#define LTX_SQL_H

#include <sqlite3ext.h>

/* Called by SQLite for every new connection (sqlite3_auto_extension). */
int ltx_sql_connect(sqlite3 *db, char **message, const sqlite3_api_routines *api);

#endif
