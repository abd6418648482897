typedef struct ltx_writer ltx_writer;

ltx_writer *ltx_writer_open(int fd, const ltx_header *header, int encoding, int *err);
int ltx_writer_page(ltx_writer *writer, uint32_t pgno, const uint8_t *page);
int ltx_writer_pages(ltx_writer *writer, size_t count, const uint32_t *pgnos,
                     const uint8_t *pages, size_t *done);
const uint8_t *ltx_writer_bytes(const ltx_writer *writer, size_t *size);
void ltx_writer_taken(ltx_writer *writer);
int ltx_writer_post_apply(ltx_writer *writer, uint64_t checksum);
int ltx_writer_finish(ltx_writer *writer, ltx_trailer *out, uint64_t *size);
void ltx_writer_close(ltx_writer *writer);
