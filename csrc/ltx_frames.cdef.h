typedef struct {
    const uint8_t *data;
    uint64_t size, offset;
    uint32_t page_size;
    uint64_t count;
    const uint32_t *pgnos, *sizes;
} ltx_frames;

typedef struct {
    uint64_t crc, size;
} ltx_sum;

int ltx_frames_decode(const ltx_frames *frames, const uint8_t *wanted, int fd, ltx_sum *sum,
                      ltx_fault *fault);
int ltx_frames_decode_into(const ltx_frames *frames, uint8_t *pages, ltx_sum *sum,
                           ltx_fault *fault);
