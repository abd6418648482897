typedef struct {
    ltx_header header;
    uint64_t next, start, read;
    uint32_t last;
    int ended;
} ltx_index;

void ltx_index_begin(ltx_index *index, const ltx_header *header, uint64_t start);
int ltx_index_parse(ltx_index *index, const uint8_t *data, size_t size, size_t capacity,
                    uint32_t *pgnos, uint64_t *offsets, uint32_t *sizes, size_t *count,
                    size_t *used, ltx_fault *fault);
void ltx_index_claim(uint8_t *seen, uint32_t commit, const uint32_t *pgnos, size_t count,
                     uint8_t *wanted);
