/* SQLite's write-ahead log: header and checksum (SQLite file format, section 4). */
#ifndef LTX_WAL_H
#define LTX_WAL_H

#include <stddef.h>
#include <stdint.h>

enum { LTX_WAL_HEADER_SIZE = 32, LTX_WAL_FRAME_HEADER_SIZE = 24 };

typedef struct {
    uint32_t page_size, sequence, salt1, salt2, checksum1, checksum2;
    int big_endian; /* byte order of the words that the checksum adds up */
} ltx_wal_header;

/* Read a WAL header. Returns 0, LTX_E_WAL_MAGIC, LTX_E_PAGE_SIZE or LTX_E_WAL_CHECKSUM. */
int ltx_wal_header_parse(const uint8_t in[LTX_WAL_HEADER_SIZE], ltx_wal_header *header);

/* Continue the running checksum `sum` over `size` bytes (a multiple of 8; a rest is ignored). */
void ltx_wal_checksum(int big_endian, const uint8_t *data, size_t size, uint32_t sum[2]);

/* Validate whole frames that follow the running checksum `sum`, `size` bytes: right salts, right
 * checksum (SQLite file format, 4.1). Fills pgnos[i] and commits[i] (0: not a commit) of each
 * valid frame, leaves `sum` after the last of them, and returns how many they are. */
size_t ltx_wal_scan(const ltx_wal_header *header, const uint8_t *frames, size_t size,
                    uint32_t sum[2], uint32_t *pgnos, uint32_t *commits);

#endif
