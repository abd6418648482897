uint64_t ltx_crc64(uint64_t crc, const uint8_t *data, size_t size);
uint64_t ltx_crc64_level(int level, uint64_t crc, const uint8_t *data, size_t size);
int ltx_crc64_level_max(void);
uint64_t ltx_crc64_combine(uint64_t a, uint64_t b, uint64_t size_b);
