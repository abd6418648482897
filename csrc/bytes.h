/* Integers in byte buffers: big-endian unless named otherwise, and LTX's unsigned varints.
 *
 * The caller guarantees the room; only ltx_get_uvarint checks bounds itself. */
#ifndef LTX_BYTES_H
#define LTX_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian processors"
#endif

#define LTX_UVARINT_MAX 10 /* bytes of the longest varint */

static inline uint16_t ltx_get_u16(const uint8_t *in)
{
    return (uint16_t)((in[0] << 8) | in[1]);
}

static inline uint32_t ltx_get_u32(const uint8_t *in)
{
    uint32_t value;
    memcpy(&value, in, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t ltx_get_u64(const uint8_t *in)
{
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return __builtin_bswap64(value);
}

static inline uint32_t ltx_get_u32_little(const uint8_t *in)
{
    uint32_t value;
    memcpy(&value, in, sizeof value);
    return value;
}

static inline void ltx_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static inline void ltx_put_u32(uint8_t *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(out, &value, sizeof value);
}

static inline void ltx_put_u64(uint8_t *out, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof value);
}

/* Write `value` as a varint, least significant seven bits first. Returns its length, 1 to 10. */
static inline size_t ltx_put_uvarint(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        out[size++] = (uint8_t)(value | 0x80);
    out[size++] = (uint8_t)value;
    return size;
}

/* Read a varint from at most `size` bytes. Returns its length, 0 when it is not complete, or -1
 * when it does not fit 64 bits or is longer than it need be. */
static inline int ltx_get_uvarint(const uint8_t *in, size_t size, uint64_t *value)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < size && i < LTX_UVARINT_MAX; i++) {
        uint64_t bits = in[i] & 0x7f;
        if (i == LTX_UVARINT_MAX - 1 && in[i] > 1)
            return -1;
        sum |= bits << (7 * i);
        if (in[i] < 0x80) {
            *value = sum;
            return i > 0 && in[i] == 0 ? -1 : (int)(i + 1);
        }
    }
    return size >= LTX_UVARINT_MAX ? -1 : 0;
}

#endif
