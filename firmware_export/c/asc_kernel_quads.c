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
#define DOT(sum, bytes, weights, flips) _mm512_dpbusd_epi32((sum), (bytes), (weights))
#define ADD _mm512_add_epi32
#define AND _mm512_and_si512
#define MAX _mm512_max_epi32
#define MIN _mm512_min_epi32
#define MULTIPLY _mm512_mullo_epi32
#define SHIFT_LEFT(v, n) _mm512_sllv_epi32((v), ALL(n))
#define SHIFT_RIGHT(v, n) _mm512_srav_epi32((v), ALL(n))

/* Four vectors of sums, each with four outputs per 128 bits, in order of outputs. */
static inline void store_in_order(int32_t *to, const Vector sums[4])
{
    const Vector a = _mm512_shuffle_i32x4(sums[0], sums[1], 0x44);
    const Vector b = _mm512_shuffle_i32x4(sums[2], sums[3], 0x44);
    const Vector c = _mm512_shuffle_i32x4(sums[0], sums[1], 0xEE);
    const Vector d = _mm512_shuffle_i32x4(sums[2], sums[3], 0xEE);
    STORE(to, _mm512_shuffle_i32x4(a, b, 0x88));
    STORE(to + 16, _mm512_shuffle_i32x4(a, b, 0xDD));
    STORE(to + 32, _mm512_shuffle_i32x4(c, d, 0x88));
    STORE(to + 48, _mm512_shuffle_i32x4(c, d, 0xDD));
}

static inline Vector multiply_high(Vector x, Vector multiplier)
{
    const Vector half = _mm512_set1_epi64(1 << 30);
    const Vector even = _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epi32(x, multiplier), half), 31);
    const Vector odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), multiplier), half);
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 1));
}

static inline void store_bytes(uint8_t *to, Vector v)
{
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(v));
}

static inline void store_first_bytes(uint8_t *to, Vector v, uint32_t n)
{
    _mm512_mask_cvtepi32_storeu_epi8(to, n < 16 ? (__mmask16)((1u << n) - 1u) : (__mmask16)0xFFFF, v);
}

static inline Vector load_bytes(const uint8_t *from)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

/* As asc_requantise where results below 0 become 0: TFLite's two roundings are then one addition. */
static void requantise_relu(const int32_t *acc, uint8_t *bytes, uint32_t n, int32_t multiplier, int shift)
{
    const Vector factor = ALL(multiplier);
    const Vector half = _mm512_set1_epi64((1LL << 30) + (1LL << (30 + shift)));
    const Vector shift_even = _mm512_set1_epi64(31 + shift);
    const Vector shift_odd = _mm512_set1_epi64(shift - 1);
    for (uint32_t i = 0; i < n; i += LANES) {
        const Vector x = LOAD(acc + i);
        const Vector even = _mm512_add_epi64(_mm512_mul_epi32(x, factor), half);
        const Vector odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), factor), half);
        const Vector both = _mm512_mask_blend_epi32(0xAAAA, _mm512_srav_epi64(even, shift_even),
                                                    _mm512_srav_epi64(odd, shift_odd));
        _mm_storeu_si128((__m128i *)(void *)(bytes + i), _mm512_cvtusepi32_epi8(MAX(both, ALL(0))));
    }
}

static inline void store_first(int32_t *to, Vector v, uint32_t n)
{
    _mm512_mask_storeu_epi32(to, n < 16 ? (__mmask16)((1u << n) - 1u) : (__mmask16)0xFFFF, v);
}

static inline Vector larger_of_pairs(Vector a, Vector b)
{
    const Vector even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return MAX(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, ADD(even, ALL(1)), b));
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
#define DOT(sum, bytes, weights, flips) dot((sum), _mm256_xor_si256((bytes), (flips)), (weights))
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

static inline void store_in_order(int32_t *to, const Vector sums[4])
{
    STORE(to, _mm256_permute2x128_si256(sums[0], sums[1], 0x20));
    STORE(to + 8, _mm256_permute2x128_si256(sums[2], sums[3], 0x20));
    STORE(to + 16, _mm256_permute2x128_si256(sums[0], sums[1], 0x31));
    STORE(to + 24, _mm256_permute2x128_si256(sums[2], sums[3], 0x31));
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

static inline void store_first(int32_t *to, Vector v, uint32_t n)
{
    const Vector places = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    _mm256_maskstore_epi32(to, _mm256_cmpgt_epi32(ALL(n), places), v);
}

static inline Vector larger_of_pairs(Vector a, Vector b)
{
    const __m256 x = _mm256_castsi256_ps(a);
    const __m256 y = _mm256_castsi256_ps(b);
    const Vector mixed = MAX(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0x88)),
                             _mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xDD)));
    return _mm256_permute4x64_epi64(mixed, 0xD8);
}

#endif

void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    const AscQuad *end = taps->list + (taps->n + 3) / 4;
    const Vector start = ALL(to->bias + taps->left_out);
    for (uint32_t at = 0; at < n; at += 4 * LANES) {
        const uint8_t *corner = taps->corner + at;
        Vector sums[4] = {start, start, start, start};
        for (const AscQuad *quad = taps->list; quad < end; quad++) {
            const Vector a = LOAD(corner + quad->distances[0]);
            const Vector b = LOAD(corner + quad->distances[1]);
            const Vector c = LOAD(corner + quad->distances[2]);
            const Vector d = LOAD(corner + quad->distances[3]);
            const Vector ab_low = LOW_BYTES(a, b);
            const Vector ab_high = HIGH_BYTES(a, b);
            const Vector cd_low = LOW_BYTES(c, d);
            const Vector cd_high = HIGH_BYTES(c, d);
            const Vector weights = ALL(quad->weights);
            const Vector flips = ALL(quad->flips);
            (void)flips;
            sums[0] = DOT(sums[0], LOW_PAIRS(ab_low, cd_low), weights, flips);
            sums[1] = DOT(sums[1], HIGH_PAIRS(ab_low, cd_low), weights, flips);
            sums[2] = DOT(sums[2], LOW_PAIRS(ab_high, cd_high), weights, flips);
            sums[3] = DOT(sums[3], HIGH_PAIRS(ab_high, cd_high), weights, flips);
        }
        store_in_order(acc + at, sums);
    }
}

/* Halves away from zero: one less for negative values, and half a step more. */
static inline Vector shift_rounding(Vector value, int shift)
{
    const Vector half = ALL(shift > 0 ? 1u << (shift - 1) : 0);
    const Vector negative = ALL(shift > 0 ? -1 : 0);
    return SHIFT_RIGHT(ADD(value, ADD(half, AND(SHIFT_RIGHT(value, 31), negative))), shift);
}

void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
#if ASC_HAS_VNNI
    if (to->shift < 0 && to->zero == 0 && to->low == 0 && to->high == 255) {
        requantise_relu(acc, bytes, n, to->multiplier, -to->shift);
        return;
    }
#endif
    const int left = to->shift > 0 ? to->shift : 0;
    const int right = to->shift < 0 ? -to->shift : 0;
    const Vector multiplier = ALL(to->multiplier);
    const Vector zero = ALL(to->zero);
    const Vector low = ALL(to->low);
    const Vector high = ALL(to->high);
    for (uint32_t i = 0; i < n; i += LANES) {
        const Vector value = multiply_high(SHIFT_LEFT(LOAD(acc + i), left), multiplier);
        store_bytes(bytes + i, MIN(MAX(ADD(shift_rounding(value, right), zero), low), high));
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

void asc_pool_accumulators(int32_t *acc, uint32_t n_columns, uint32_t n_rows, uint32_t pitch)
{
    for (uint32_t c = 0; c < n_columns; c++) {
        const int32_t *a = acc + 2 * c * pitch;
        const int32_t *b = a + pitch;
        int32_t *to = acc + c * n_rows;
        for (uint32_t r = 0; r < n_rows; r += LANES, a += 2 * LANES, b += 2 * LANES) {
            const Vector x = MAX(LOAD(a), LOAD(b));
            const Vector y = MAX(LOAD(a + LANES), LOAD(b + LANES));
            store_first(to + r, larger_of_pairs(x, y), n_rows - r);
        }
    }
}

#else
typedef int asc_no_quads_kernel; /* a translation unit may not be empty */
#endif
