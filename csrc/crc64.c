/* CRC-64/GO-ISO without tables.
 *
 * The polynomial has only five terms, so multiplying by x^64 = x^4 + x^3 + x + 1 is three shifts
 * and xors, and by x^(64 * 2^k) the same with shifts 2^k times as long. In the reflected form
 * the first byte holds the highest powers and multiplying by x shifts right. */
#include "crc64.h"

#include "bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LEVEL_SHIFTS = 0, LEVEL_PCLMUL = 1, LEVEL_VPCLMUL = 2 };
enum { LANES = 8 }; /* words folded side by side by the portable kernel */

static inline uint64_t load_u64(const uint8_t *in)
{
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return value;
}

/* crc * x^64, reduced. */
static inline uint64_t times_x64(uint64_t crc)
{
    uint64_t over = crc << 63 ^ crc << 61 ^ crc << 60;
    return crc ^ crc >> 1 ^ crc >> 3 ^ crc >> 4 ^ over ^ over >> 1 ^ over >> 3 ^ over >> 4;
}

/* Bare register over a short stretch: whole words, then bytes. */
static uint64_t update_words(uint64_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8)
        crc = times_x64(crc ^ load_u64(data));
    for (; size > 0; data++, size--) {
        uint64_t low = (crc ^ *data) & 0xff;
        crc = crc >> 8 ^ low << 52 ^ low << 53 ^ low << 55 ^ low << 56;
    }
    return crc;
}

/* What a lane loses to the word before it when it moves on by x^512. */
static inline uint64_t over_x512(uint64_t lane)
{
    return lane << 56 ^ lane << 40 ^ lane << 32;
}

/* Eight words side by side: each moves on by x^512 = x^32 + x^24 + x^8 + 1, and what it shifts
 * out belongs to the word before it. Nothing is reduced before the end. */
static uint64_t update_shifts(uint64_t crc, const uint8_t *data, size_t size)
{
    if (size < 2 * LANES * 8)
        return update_words(crc, data, size);
    uint64_t lane[LANES];
    memcpy(lane, data, sizeof lane);
    lane[0] ^= crc;
    for (data += sizeof lane, size -= sizeof lane; size >= sizeof lane;
         data += sizeof lane, size -= sizeof lane) {
        uint64_t old[LANES + 1], word[LANES];
        memcpy(word, data, sizeof word);
        memcpy(old, lane, sizeof lane);
        old[LANES - 1] ^= over_x512(lane[0]);
        old[LANES] = 0;
        for (int i = 0; i < LANES; i++)
            lane[i] = old[i] ^ old[i] >> 8 ^ old[i] >> 24 ^ old[i] >> 32 ^
                      over_x512(old[i + 1]) ^ word[i];
    }
    return update_words(update_words(0, (const uint8_t *)lane, sizeof lane), data, size);
}

#if defined(__x86_64__)

/* Factors that move a 128-bit stretch on by D bits: {x^(D+63), x^(D-1)} mod P, reflected; the
 * one missing power is the place that multiplying reflected numbers loses. */
#define FOLD_128 0x6b70000000000001, 0xf500000000000001
#define FOLD_512 0x01b001b1b0000001, 0xb100010100000001
#define FOLD_2048 0x6b700000f5000000, 0x45000000b0000000
#define FACTOR_128(lo, hi) _mm_set_epi64x((long long)(hi), (long long)(lo))
#define FACTOR(fold) FACTOR_128(fold)

__attribute__((target("pclmul,sse2"))) static inline __m128i
fold_128(__m128i stretch, __m128i factor, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(stretch, factor, 0x00);
    __m128i high = _mm_clmulepi64_si128(stretch, factor, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* Bring four stretches in a row together and reduce them to the bare register. */
__attribute__((target("pclmul,sse2"))) static inline uint64_t reduce_512(const __m128i stretch[4])
{
    const __m128i factor = FACTOR(FOLD_128);
    __m128i sum = fold_128(stretch[0], factor, stretch[1]);
    sum = fold_128(sum, factor, stretch[2]);
    sum = fold_128(sum, factor, stretch[3]);
    uint8_t last[16];
    _mm_storeu_si128((__m128i *)last, sum);
    return update_words(0, last, sizeof last);
}

__attribute__((target("pclmul,sse2"))) static uint64_t
update_pclmul(uint64_t crc, const uint8_t *data, size_t size)
{
    if (size < 128)
        return update_words(crc, data, size);
    const __m128i factor = FACTOR(FOLD_512);
    __m128i stretch[4];
    for (int i = 0; i < 4; i++)
        stretch[i] = _mm_loadu_si128((const __m128i *)data + i);
    stretch[0] = _mm_xor_si128(stretch[0], _mm_set_epi64x(0, (long long)crc));
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64)
        for (int i = 0; i < 4; i++)
            stretch[i] = fold_128(stretch[i], factor, _mm_loadu_si128((const __m128i *)data + i));
    return update_words(reduce_512(stretch), data, size);
}

#define WIDE "avx512f,avx512vl,vpclmulqdq,pclmul"

__attribute__((target(WIDE))) static inline __m512i
fold_512(__m512i stretch, __m512i factor, __m512i next)
{
    __m512i low = _mm512_clmulepi64_epi128(stretch, factor, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(stretch, factor, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96); /* xor of the three */
}

__attribute__((target(WIDE))) static uint64_t
update_vpclmul(uint64_t crc, const uint8_t *data, size_t size)
{
    if (size < 512)
        return update_pclmul(crc, data, size);
    const __m512i factor = _mm512_broadcast_i32x4(FACTOR(FOLD_2048));
    __m512i wide[4];
    for (int i = 0; i < 4; i++)
        wide[i] = _mm512_loadu_si512(data + 64 * i);
    wide[0] = _mm512_xor_si512(wide[0],
                               _mm512_zextsi128_si512(_mm_set_epi64x(0, (long long)crc)));
    for (data += 256, size -= 256; size >= 256; data += 256, size -= 256)
        for (int i = 0; i < 4; i++)
            wide[i] = fold_512(wide[i], factor, _mm512_loadu_si512(data + 64 * i));
    const __m512i closer = _mm512_broadcast_i32x4(FACTOR(FOLD_512));
    for (int i = 1; i < 4; i++)
        wide[0] = fold_512(wide[0], closer, wide[i]);
    __m128i stretch[4];
    _mm512_storeu_si512(stretch, wide[0]);
    return update_pclmul(reduce_512(stretch), data, size);
}

int ltx_crc64_level_max(void)
{
    if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl"))
        return LEVEL_VPCLMUL;
    return __builtin_cpu_supports("pclmul") ? LEVEL_PCLMUL : LEVEL_SHIFTS;
}

static uint64_t update(int level, uint64_t crc, const uint8_t *data, size_t size)
{
    switch (level) {
    case LEVEL_VPCLMUL: return update_vpclmul(crc, data, size);
    case LEVEL_PCLMUL: return update_pclmul(crc, data, size);
    default: return update_shifts(crc, data, size);
    }
}

#else

int ltx_crc64_level_max(void)
{
    return LEVEL_SHIFTS;
}

static uint64_t update(int level, uint64_t crc, const uint8_t *data, size_t size)
{
    (void)level;
    return update_shifts(crc, data, size);
}

#endif

uint64_t ltx_crc64_level(int level, uint64_t crc, const uint8_t *data, size_t size)
{
    int max = ltx_crc64_level_max();
    return ~update(level < max ? level : max, ~crc, data, size);
}

uint64_t ltx_crc64(uint64_t crc, const uint8_t *data, size_t size)
{
    if (size < 128)
        return ~update_words(~crc, data, size);
    return ~update(ltx_crc64_level_max(), ~crc, data, size);
}

/* a * b, reduced; bit 63 is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    const uint64_t x64 = UINT64_C(0xd800000000000000);
    uint64_t sum = 0;
    for (; a != 0; a <<= 1) {
        sum ^= a >> 63 ? b : 0;
        b = b >> 1 ^ (b & 1 ? x64 : 0);
    }
    return sum;
}

uint64_t ltx_crc64_combine(uint64_t a, uint64_t b, uint64_t size_b)
{
    uint64_t power = UINT64_C(1) << 55; /* x^8: one byte further */
    for (; size_b > 0; size_b >>= 1) {
        if (size_b & 1)
            a = multiply(a, power);
        power = multiply(power, power);
    }
    return a ^ b;
}
