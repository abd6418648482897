typedef struct {
    ltx_header header;
    ltx_trailer trailer;
    uint64_t size;
    size_t input;
    ltx_fault fault;
    ...;
} ltx_compactor;

ltx_compactor *ltx_compactor_open(size_t count, const int *fds, int fd, int encoding);
int ltx_compactor_run(ltx_compactor *compactor, int *done);
size_t ltx_compactor_feed(ltx_compactor *compactor, const uint8_t *data, size_t size);
void ltx_compactor_close(ltx_compactor *compactor);
