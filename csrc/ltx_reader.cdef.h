#define LTX_MORE ...
#define LTX_AT_HEADER ...
#define LTX_AT_PAGE ...
#define LTX_AT_END ...

typedef struct {
    ltx_header header;
    ltx_trailer trailer;
    uint32_t pgno;
    const uint8_t *page;
    const uint8_t *frame;
    size_t frame_size;
    uint64_t frame_offset;
    uint64_t pages;
    ltx_fault fault;
    ...;
} ltx_reader;

ltx_reader *ltx_reader_open(void);
size_t ltx_reader_feed(ltx_reader *reader, const uint8_t *data, size_t size);
int ltx_reader_next(ltx_reader *reader, int *step);
int ltx_reader_finish(ltx_reader *reader);
int ltx_reader_drain(ltx_reader *reader, const uint8_t *data, size_t size, int fd);
int ltx_reader_drain_unseen(ltx_reader *reader, const uint8_t *data, size_t size, int fd,
                            uint8_t *seen, uint32_t commit, uint64_t *taken);
void ltx_reader_close(ltx_reader *reader);
