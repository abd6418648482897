/* CRC-64/GO-ISO, the checksum of LTX files: polynomial x^64+x^4+x^3+x+1, reflected, all-ones
 * before and after. The fastest kernel the processor has is chosen at each call. */
#ifndef LTX_CRC64_H
#define LTX_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* Continue `crc` (0 to begin) over `size` bytes. */
uint64_t ltx_crc64(uint64_t crc, const uint8_t *data, size_t size);

/* The same with the kernel of one level: 0 shifts only, 1 PCLMULQDQ, 2 VPCLMULQDQ; a level that this
 * processor lacks falls to the next lower. For tests and measurements. */
uint64_t ltx_crc64_level(int level, uint64_t crc, const uint8_t *data, size_t size);

/* The level that ltx_crc64 uses on this processor. */
int ltx_crc64_level_max(void);

/* The CRC of two stretches after each other, from `a` of the first and `b` of the second. */
uint64_t ltx_crc64_combine(uint64_t a, uint64_t b, uint64_t size_b);

#endif
