/* See asc_kernel_quads.h. The same program for vectors of 64 and of 32 bytes. */
#include "asc_kernel.h"

#if ASC_HAS_QUADS

#if ASC_HAS_VNNI

enum { LANES = 16 };
typedef __m512i Vector;
#define LOAD(from) _mm512_loadu_si512((const void *)(from))
#define STORE(to, v) _mm512_storeu_si512((void *)(to), (v))
#define ALL(x) _mm512_set1_epi32((int)(x))
#define LOW_BYTES _mm512_unpacklo_epi8
#define HIGH_BYTES _mm512_unpackhi_epi8
#define LOW_PAIRS _mm512_unpacklo_epi16
#define HIGH_PAIRS _mm512_unpackhi_epi16
#define PREPARE
#define DOT(sum, bytes) _mm512_dpbusd_epi32((sum), (bytes), weights)
#define ADD _mm512_add_epi32
#define AND _mm512_and_si512
#define MAX _mm512_max_epi32
#define MIN _mm512_min_epi32
#define MULTIPLY _mm512_mullo_epi32
#define SHIFT_LEFT(v, n) _mm512_sllv_epi32((v), ALL(n))
#define SHIFT_RIGHT(v, n) _mm512_srav_epi32((v), ALL(n))

static inline Vector multiply_high(Vector x, Vector multiplier)
{
    const Vector half = _mm512_set1_epi64(1 << 30);
    const Vector even = _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epi32(x, multiplier), half), 31);
    const Vector odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), multiplier), half);
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 1));
}

static inline void store_first_bytes(uint8_t *to, Vector v, uint32_t n)
{
    _mm512_mask_cvtepi32_storeu_epi8(to, n < 16 ? (__mmask16)((1u << n) - 1u) : (__mmask16)0xFFFF, v);
}

static inline Vector load_bytes(const uint8_t *from)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* The first n of 64 bytes. */
static inline void store_first_of_tile(uint8_t *to, Vector v, uint32_t n)
{
    _mm512_mask_storeu_epi8(to, n < 64 ? ((__mmask64)1 << n) - 1u : ~(__mmask64)0, v);
}

#define PACK_WORDS _mm512_packs_epi32
#define PACK_BYTES _mm512_packus_epi16
#define PACK_SIGNED_BYTES _mm512_packs_epi16
#define XOR _mm512_xor_si512
#define SCALED(x, factor, summand) \
    _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(x), _mm512_set1_ps(factor), _mm512_set1_ps(summand)))
#define MAX_BYTES _mm512_max_epu8
#define MIN_BYTES _mm512_min_epu8
#define ALL_BYTES(x) _mm512_set1_epi8((char)(x))
#define SHIFT_PAIRS(v) _mm512_srli_epi16((v), 8)

/* The lower byte of each pair, n of them. */
static inline void store_first_of_pairs(uint8_t *to, Vector v, uint32_t n)
{
    _mm256_mask_storeu_epi8(to, n < 32 ? (__mmask32)((1u << n) - 1u) : ~(__mmask32)0, _mm512_cvtepi16_epi8(v));
}

#else

enum { LANES = 8 };
typedef __m256i Vector;
#define LOAD(from) _mm256_loadu_si256((const __m256i *)(const void *)(from))
#define STORE(to, v) _mm256_storeu_si256((__m256i *)(void *)(to), (v))
#define ALL(x) _mm256_set1_epi32((int)(x))
#define LOW_BYTES _mm256_unpacklo_epi8
#define HIGH_BYTES _mm256_unpackhi_epi8
#define LOW_PAIRS _mm256_unpacklo_epi16
#define HIGH_PAIRS _mm256_unpackhi_epi16
#define PREPARE                                                                                                \
    const Vector magnitudes = _mm256_abs_epi8(weights);                                                        \
    const Vector flips = _mm256_xor_si256(ALL_BYTES(0x80), _mm256_cmpgt_epi8(_mm256_setzero_si256(), weights));
#define DOT(sum, bytes) dot((sum), _mm256_xor_si256((bytes), flips), magnitudes)
#define ADD _mm256_add_epi32
#define AND _mm256_and_si256
#define MAX _mm256_max_epi32
#define MIN _mm256_min_epi32
#define MULTIPLY _mm256_mullo_epi32
#define SHIFT_LEFT(v, n) _mm256_sllv_epi32((v), ALL(n))
#define SHIFT_RIGHT(v, n) _mm256_srav_epi32((v), ALL(n))

/* Products of two taps are at most 2 * 127 * 128: they fit 16 bits. */
static inline Vector dot(Vector sum, Vector bytes, Vector magnitudes)
{
    return ADD(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, bytes), _mm256_set1_epi16(1)));
}

static inline Vector multiply_high(Vector x, Vector multiplier)
{
    const Vector half = _mm256_set1_epi64x(1 << 30);
    const Vector even = _mm256_srli_epi64(_mm256_add_epi64(_mm256_mul_epi32(x, multiplier), half), 31);
    const Vector odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), multiplier), half);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 1), 0xAA);
}

static inline void store_bytes(uint8_t *to, Vector v)
{
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packus_epi16(words, words));
}

static inline void store_first_bytes(uint8_t *to, Vector v, uint32_t n)
{
    uint8_t bytes[8];
    store_bytes(bytes, v);
    memcpy(to, bytes, n < 8 ? n : 8);
}

static inline Vector load_bytes(const uint8_t *from)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

/* The first n of 32 bytes. */
static inline void store_first_of_tile(uint8_t *to, Vector v, uint32_t n)
{
    if (n >= 32) {
        STORE(to, v);
        return;
    }
    uint8_t bytes[32];
    STORE(bytes, v);
    asc_copy(to, bytes, n);
}

#define PACK_WORDS _mm256_packs_epi32
#define PACK_BYTES _mm256_packus_epi16
#define PACK_SIGNED_BYTES _mm256_packs_epi16
#define XOR _mm256_xor_si256
#define SCALED(x, factor, summand) \
    _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(x), _mm256_set1_ps(factor), _mm256_set1_ps(summand)))
#define MAX_BYTES _mm256_max_epu8
#define MIN_BYTES _mm256_min_epu8
#define ALL_BYTES(x) _mm256_set1_epi8((char)(x))
#define SHIFT_PAIRS(v) _mm256_srli_epi16((v), 8)

/* The lower byte of each pair, n of them. */
static inline void store_first_of_pairs(uint8_t *to, Vector v, uint32_t n)
{
    const Vector low = _mm256_and_si256(v, _mm256_set1_epi16(0xFF));
    uint8_t bytes[16];
    _mm_storeu_si128((__m128i *)(void *)bytes, _mm_packus_epi16(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
    asc_copy(to, bytes, n < 16 ? n : 16);
}

#endif

/* Four vectors of sums over all taps for 4 * LANES outputs, each with four outputs per 128 bits: packed together they are
   in order. */
static ASC_INLINE void accumulate(Vector sums[4], const uint8_t *corner, const AscTaps *taps, Vector start)
{
    const uint32_t *distance = taps->distances;
    const int8_t *weight = taps->weights;
    sums[0] = sums[1] = sums[2] = sums[3] = start;
    for (const int8_t *end = weight + taps->n; weight < end; weight += 4, distance += 4) {
        const Vector a = LOAD(corner + distance[0]);
        const Vector b = LOAD(corner + distance[1]);
        const Vector c = LOAD(corner + distance[2]);
        const Vector d = LOAD(corner + distance[3]);
        const Vector ab_low = LOW_BYTES(a, b);
        const Vector ab_high = HIGH_BYTES(a, b);
        const Vector cd_low = LOW_BYTES(c, d);
        const Vector cd_high = HIGH_BYTES(c, d);
        int32_t together;
        memcpy(&together, weight, sizeof together);
        const Vector weights = ALL(together);
        PREPARE
        sums[0] = DOT(sums[0], LOW_PAIRS(ab_low, cd_low));
        sums[1] = DOT(sums[1], HIGH_PAIRS(ab_low, cd_low));
        sums[2] = DOT(sums[2], LOW_PAIRS(ab_high, cd_high));
        sums[3] = DOT(sums[3], HIGH_PAIRS(ab_high, cd_high));
    }
}

/* Halves away from zero: one less for negative values, and half a step more. */
static inline Vector shift_rounding(Vector value, int shift)
{
    const Vector half = ALL(shift > 0 ? 1u << (shift - 1) : 0);
    const Vector negative = ALL(shift > 0 ? -1 : 0);
    return SHIFT_RIGHT(ADD(value, ADD(half, AND(SHIFT_RIGHT(value, 31), negative))), shift);
}

static inline Vector requantised(Vector x, const AscRequant *to)
{
    const Vector value = multiply_high(SHIFT_LEFT(x, to->shift > 0 ? to->shift : 0), ALL(to->multiplier));
    return ADD(shift_rounding(value, to->shift < 0 ? -to->shift : 0), ALL(to->zero));
}

/* What accumulators leave out: see asc_kernel_quads.h. */
static int32_t left_out(const AscTaps *taps)
{
    int32_t sum = 0;
#if !ASC_HAS_VNNI
    for (uint32_t i = 0; i < taps->n; i++) {
        sum += taps->weights[i] * (taps->weights[i] < 0 ? 127 : 128);
    }
#else
    (void)taps;
#endif
    return sum;
}

void asc_convolve(uint8_t *bytes, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    while (taps->n % 4 != 0) {
        asc_add_tap(taps, 0, 0);
    }
    const AscTaps from = *taps;
    const AscRequant by = *to;
    const Vector start = ALL(by.bias + left_out(&from));
    const Vector low = ALL_BYTES(by.low);
    const Vector high = ALL_BYTES(by.high);
    Vector x[4];
#if ASC_MODEL_HOST
    if (by.factor != 0.0f) {
        const Vector sign = ALL_BYTES(0x80);
        for (uint32_t at = 0; at < n; at += 4 * LANES) {
            accumulate(x, from.corner + at, &from, start);
            for (int v = 0; v < 4; v++) {
                x[v] = SCALED(x[v], by.factor, by.summand);
            }
            const Vector all = XOR(PACK_SIGNED_BYTES(PACK_WORDS(x[0], x[1]), PACK_WORDS(x[2], x[3])), sign);
            store_first_of_tile(bytes + at, MIN_BYTES(MAX_BYTES(all, low), high), n - at);
        }
        return;
    }
#endif
    for (uint32_t at = 0; at < n; at += 4 * LANES) {
        accumulate(x, from.corner + at, &from, start);
        for (int v = 0; v < 4; v++) {
            x[v] = requantised(x[v], &by);
        }
        const Vector all = PACK_BYTES(PACK_WORDS(x[0], x[1]), PACK_WORDS(x[2], x[3]));
        store_first_of_tile(bytes + at, MIN_BYTES(MAX_BYTES(all, low), high), n - at);
    }
}

void asc_pool_bytes(uint8_t *to, uint32_t to_pitch, const uint8_t *from, uint32_t from_pitch, uint32_t n_columns,
                    uint32_t n_rows)
{
    for (; n_columns > 0; n_columns--, to += to_pitch, from += 2 * from_pitch) {
        for (uint32_t r = 0; r < n_rows; r += 2 * LANES) {
            const Vector larger = MAX_BYTES(LOAD(from + 2 * r), LOAD(from + from_pitch + 2 * r));
            store_first_of_pairs(to + r, MAX_BYTES(larger, SHIFT_PAIRS(larger)), n_rows - r);
        }
    }
}

void asc_maximum_of_short(uint8_t *to, const uint8_t *from, uint32_t n_columns, uint32_t pitch, uint32_t n_rows,
                          uint32_t top, uint32_t kernel_rows, uint32_t row_stride)
{
    const __m128i place = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m128i largest = _mm_loadu_si128((const __m128i *)(const void *)from);
    for (uint32_t column = 1; column < n_columns; column++) {
        from += pitch;
        largest = _mm_max_epu8(largest, _mm_loadu_si128((const __m128i *)(const void *)from));
    }
    largest = _mm_and_si128(largest, _mm_cmpgt_epi8(_mm_set1_epi8((char)n_rows), place));
    /* A place below 0 reads as 0. */
    largest = _mm_shuffle_epi8(largest, _mm_sub_epi8(place, _mm_set1_epi8((char)top)));
    for (uint32_t more = 1; more < kernel_rows; more++) {
        largest = _mm_max_epu8(largest, _mm_srli_si128(largest, 1));
    }
    if (row_stride == 2) {
        largest = _mm_shuffle_epi8(largest, _mm_add_epi8(place, place));
    }
    _mm_storeu_si128((__m128i *)(void *)to, largest);
}

static inline Vector times(Vector x, AscFactor factor)
{
    return shift_rounding(multiply_high(x, ALL(factor.multiplier)), factor.shift);
}

void asc_affine(uint8_t *to, const uint8_t *from, uint32_t n, const AscAffine *affine)
{
    const AscAffine a = *affine;
    for (uint32_t i = 0; i < n; i += LANES) {
        Vector value = ADD(load_bytes(from + i), ALL(-a.zero));
        if (a.times) {
            value = times(MULTIPLY(value, ALL(a.constant)), a.product);
            value = MIN(MAX(value, ALL(a.middle_low)), ALL(a.middle_high));
        }
        if (a.plus) {
            value = times(ADD(times(SHIFT_LEFT(value, 20), a.operand), ALL(a.summand)), a.sum);
        }
        value = MIN(MAX(ADD(value, ALL(a.output_zero)), ALL(a.low)), ALL(a.high));
        store_first_bytes(to + i, value, n - i);
    }
}

#else
typedef int asc_no_quads_kernel; /* a translation unit may not be empty */
#endif
