typedef struct {
    uint32_t page_size, sequence, salt1, salt2, checksum1, checksum2;
    int big_endian;
} ltx_wal_header;

int ltx_wal_header_parse(const uint8_t *in, ltx_wal_header *header);
void ltx_wal_checksum(int big_endian, const uint8_t *data, size_t size, uint32_t sum[2]);
size_t ltx_wal_scan(const ltx_wal_header *header, const uint8_t *frames, size_t size,
                    uint32_t sum[2], uint32_t *pgnos, uint32_t *commits);
