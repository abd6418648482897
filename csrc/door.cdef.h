typedef struct ltx_db ltx_db;
typedef struct ltx_file ltx_file;
typedef struct ltx_answer ltx_answer;

void ltx_answer_set(ltx_answer *answer, const char *text, size_t size);
void ltx_door_shut(void);

extern "Python+C" int ltx_py_open(const char *path, const char **params, int count, int readonly,
                                  ltx_db **db, ltx_answer *answer);
extern "Python+C" int ltx_py_pragma(ltx_db *db, ltx_file *file, const char *name,
                                    const char *value, ltx_answer *answer);

int ltx_db_acquire(const char *path, const char *folder, const char *level0, int encoding,
                   ltx_db **out);
void ltx_db_connect(ltx_db *db);
void ltx_db_release(ltx_db *db);
int ltx_db_refound(ltx_db *db);

#define LTX_DUE -101
#define LTX_WANTED -102
#define LTX_CLOSED -103
#define LTX_STOPPED -104
#define LTX_NEED_BASE -105

int ltx_capture(ltx_db *db);
int ltx_capture_loop(ltx_db *db, int64_t interval_ms);
uint64_t ltx_loop_opens(ltx_db *db);
void ltx_loop_want(ltx_db *db);
void ltx_loop_stop(ltx_db *db, int stop);
int ltx_loop_stopped(ltx_db *db);
void ltx_loop_pause(ltx_db *db, int64_t timeout_ms);
int ltx_seal(ltx_db *db, uint64_t *newest);
int ltx_base(ltx_db *db, uint64_t base_txid, int force);
int ltx_file_serve(ltx_file *file);
int ltx_seal_mark_clean(ltx_db *db);

int ltx_upload_elect(ltx_db *db);
void ltx_upload_resign(ltx_db *db);
uint32_t ltx_upload_sealed(ltx_db *db);
void ltx_upload_wait(ltx_db *db, uint32_t seen, int64_t timeout_ms);
void ltx_upload_poke(ltx_db *db);
void ltx_upload_tell(ltx_db *db);
uint32_t ltx_upload_seen(ltx_db *db);
void ltx_upload_wait_done(ltx_db *db, uint32_t seen, int64_t timeout_ms);
void ltx_upload_done(ltx_db *db, uint64_t replica, uint64_t txid);
uint64_t ltx_upload_txid(ltx_db *db, uint64_t replica);
int ltx_upload_looked(ltx_db *db);

typedef struct {
  int connections;
  int has_chain;
  int broken;
  int error;
  uint64_t newest;
  uint64_t pending_pages;
  int64_t pending_ms;
  int64_t newest_ms;
  uint64_t commits;
  uint64_t captured;
  uint64_t resets;
  uint32_t page_size;
  uint32_t commit;
} ltx_status;
int ltx_db_status(ltx_db *db, ltx_status *out);
