/* See asc_kernel_neon.h. */
#include "asc_kernel.h"

#if ASC_HAS_NEON

#if ASC_TOGETHER == 4

/* Sixteen outputs of a group of taps. v is the first of four vectors of sums. */
#define SIXTEEN(v)                                                                                         \
    do {                                                                                                   \
        const uint8x16_t a_ = vld1q_u8(from[0] + 4 * (v));                                                 \
        const uint8x16_t b_ = vld1q_u8(from[1] + 4 * (v));                                                 \
        const uint8x16_t c_ = vld1q_u8(from[2] + 4 * (v));                                                 \
        const uint8x16_t d_ = vld1q_u8(from[3] + 4 * (v));                                                 \
        const uint16x8_t ab_low_ = vreinterpretq_u16_u8(vzip1q_u8(a_, b_));                                \
        const uint16x8_t ab_high_ = vreinterpretq_u16_u8(vzip2q_u8(a_, b_));                               \
        const uint16x8_t cd_low_ = vreinterpretq_u16_u8(vzip1q_u8(c_, d_));                                \
        const uint16x8_t cd_high_ = vreinterpretq_u16_u8(vzip2q_u8(c_, d_));                               \
        sums[v] = DOT(sums[v], vzip1q_u16(ab_low_, cd_low_));                                              \
        sums[(v) + 1] = DOT(sums[(v) + 1], vzip2q_u16(ab_low_, cd_low_));                                  \
        sums[(v) + 2] = DOT(sums[(v) + 2], vzip1q_u16(ab_high_, cd_high_));                                \
        sums[(v) + 3] = DOT(sums[(v) + 3], vzip2q_u16(ab_high_, cd_high_));                                \
    } while (0)
#define DOT(sum, bytes) vdotq_lane_u32((sum), vreinterpretq_u8_u16(bytes), magnitudes, 0)
#define ADD(v) SIXTEEN(v);
#define SUBTRACT(v) SIXTEEN(v);
/* Negative products come first, as positive ones, and change their sign before the others are added. */
#define START vdupq_n_u32(0)
#define TURN(sum) vsubq_u32(vdupq_n_u32((uint32_t)bias), (sum))
#define PREPARE                                                                                                       \
    const uint8_t *const from[4] = {corner + group->distances[0], corner + group->distances[1],                      \
                                    corner + group->distances[2], corner + group->distances[3]};                     \
    const uint8x8_t magnitudes = vreinterpret_u8_u32(vld1_dup_u32((const uint32_t *)(const void *)group->magnitudes));

#else

#define SIXTEEN(v, WIDEN, WIDEN_HIGH)                                                                       \
    do {                                                                                                    \
        const uint8x16_t a_ = vld1q_u8(a + 4 * (v));                                                        \
        const uint8x16_t b_ = vld1q_u8(b + 4 * (v));                                                        \
        const uint16x8_t low_ = vmlal_u8(vmull_u8(vget_low_u8(a_), vget_low_u8(wa)), vget_low_u8(b_),       \
                                         vget_low_u8(wb));                                                  \
        const uint16x8_t high_ = vmlal_high_u8(vmull_high_u8(a_, wa), b_, wb);                              \
        sums[v] = WIDEN(sums[v], vget_low_u16(low_));                                                       \
        sums[(v) + 1] = WIDEN_HIGH(sums[(v) + 1], low_);                                                    \
        sums[(v) + 2] = WIDEN(sums[(v) + 2], vget_low_u16(high_));                                          \
        sums[(v) + 3] = WIDEN_HIGH(sums[(v) + 3], high_);                                                   \
    } while (0)
#define ADD(v) SIXTEEN(v, vaddw_u16, vaddw_high_u16);
#define SUBTRACT(v) SIXTEEN(v, vsubw_u16, vsubw_high_u16);
#define START vdupq_n_u32((uint32_t)bias)
#define TURN(sum) (sum)
#define PREPARE                                             \
    const uint8_t *a = corner + group->distances[0];        \
    const uint8_t *b = corner + group->distances[1];        \
    const uint8x16_t wa = vdupq_n_u8(group->magnitudes[0]); \
    const uint8x16_t wb = vdupq_n_u8(group->magnitudes[1]);

#endif

/* Halves away from zero: one less for negative values that will be shifted. */
static inline int32x4_t times(int32x4_t x, AscFactor factor)
{
    x = vqrdmulhq_n_s32(x, factor.multiplier);
    x = vaddq_s32(x, vandq_s32(vshrq_n_s32(x, 31), vdupq_n_s32(factor.negative)));
    return vrshlq_s32(x, vdupq_n_s32(-factor.shift));
}

static inline int32x4_t clamp(int32x4_t x, int32_t low, int32_t high)
{
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

/* Eight values as bytes, those outside of 0 to 255 as the nearest. */
static inline uint8x8_t bytes_of(int32x4_t low, int32x4_t high)
{
    return vqmovn_u16(vqmovun_high_s32(vqmovun_s32(low), high));
}

/* How sums become bytes; the same for all tiles of an output. */
typedef struct {
    AscFactor factor;
    int32x4_t left, right;
    int32_t zero, low, high;
    int is_relu; /* results below 0 become 0, so that it does not matter what they are rounded to */
} Requant;

/* Sixteen sums as stored bytes. */
static ASC_INLINE uint8x16_t stored(const uint32x4_t *sums, const Requant *by)
{
    int32x4_t x[4];
    for (int v = 0; v < 4; v++) {
        const int32x4_t sum = vreinterpretq_s32_u32(sums[v]);
        if (by->is_relu) {
            x[v] = vrshlq_s32(vqrdmulhq_n_s32(sum, by->factor.multiplier), by->right);
        } else {
            x[v] = vaddq_s32(times(vshlq_s32(sum, by->left), by->factor), vdupq_n_s32(by->zero));
            x[v] = clamp(x[v], by->low, by->high);
        }
    }
    return vcombine_u8(bytes_of(x[0], x[1]), bytes_of(x[2], x[3]));
}

/* 16 * N / 4 outputs from all taps. */
#define TILE(name, N, ADD_ALL, SUBTRACT_ALL)                                                                    \
    static ASC_INLINE void name(uint8_t *to, const uint8_t *corner, const AscTaps *taps, int32_t bias,          \
                                const Requant *by)                                                              \
    {                                                                                                           \
        uint32x4_t sums[N];                                                                                     \
        for (int v = 0; v < N; v++) {                                                                           \
            sums[v] = START;                                                                                    \
        }                                                                                                       \
        const AscGroup *group = taps->negative;                                                                 \
        for (uint32_t n = (taps->n_negative + ASC_TOGETHER - 1) / ASC_TOGETHER; n > 0; n--, group--) {          \
            PREPARE SUBTRACT_ALL                                                                                \
        }                                                                                                       \
        for (int v = 0; v < N; v++) {                                                                           \
            sums[v] = TURN(sums[v]);                                                                            \
        }                                                                                                       \
        group = taps->positive;                                                                                 \
        for (uint32_t n = (taps->n_positive + ASC_TOGETHER - 1) / ASC_TOGETHER; n > 0; n--, group++) {          \
            PREPARE ADD_ALL                                                                                     \
        }                                                                                                       \
        for (int v = 0; v < N; v += 4) {                                                                        \
            vst1q_u8(to + 4 * v, stored(sums + v, by));                                                         \
        }                                                                                                       \
    }

TILE(tile_of_64, 16, ADD(0) ADD(4) ADD(8) ADD(12), SUBTRACT(0) SUBTRACT(4) SUBTRACT(8) SUBTRACT(12))
TILE(tile_of_32, 8, ADD(0) ADD(4), SUBTRACT(0) SUBTRACT(4))
TILE(tile_of_16, 4, ADD(0), SUBTRACT(0))

static ASC_INLINE void convolve(uint8_t *bytes, uint32_t n, const AscTaps *taps, int32_t bias, const Requant *by)
{
    uint32_t at = 0;
    for (; n - at >= 64; at += 64) {
        tile_of_64(bytes + at, taps->corner + at, taps, bias, by);
    }
    const uint32_t rest = n - at;
    uint8_t last[64];
    if (rest > 32) {
        tile_of_64(last, taps->corner + at, taps, bias, by);
    } else if (rest > 16) {
        tile_of_32(last, taps->corner + at, taps, bias, by);
    } else if (rest > 0) {
        tile_of_16(last, taps->corner + at, taps, bias, by);
    }
    asc_copy(bytes + at, last, rest);
}

void asc_convolve(uint8_t *bytes, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    const int left = to->shift > 0 ? to->shift : 0;
    const int right = to->shift - left;
    const AscTaps from = *taps;
    Requant by = {asc_factor(to->multiplier, right), vdupq_n_s32(left), vdupq_n_s32(right), to->zero, to->low, to->high, 0};
    if (left == 0 && to->zero == 0 && to->low == 0 && to->high == 255) {
        by.is_relu = 1;
        convolve(bytes, n, &from, to->bias, &by);
    } else {
        convolve(bytes, n, &from, to->bias, &by);
    }
}

static inline int32x4_t affine_of(uint16x4_t bytes, const AscAffine *a)
{
    int32x4_t value = vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(bytes)), vdupq_n_s32(a->zero));
    if (a->times) {
        value = clamp(times(vmulq_n_s32(value, a->constant), a->product), a->middle_low, a->middle_high);
    }
    if (a->plus) {
        value = times(vaddq_s32(times(vshlq_n_s32(value, 20), a->operand), vdupq_n_s32(a->summand)), a->sum);
    }
    return clamp(vaddq_s32(value, vdupq_n_s32(a->output_zero)), a->low, a->high);
}

void asc_affine(uint8_t *to, const uint8_t *from, uint32_t n, const AscAffine *affine)
{
    for (uint32_t i = 0; i < n; i += 8) {
        uint8_t bytes[8];
        const uint16x8_t wide = vmovl_u8(vld1_u8(from + i));
        vst1_u8(bytes, bytes_of(affine_of(vget_low_u16(wide), affine), affine_of(vget_high_u16(wide), affine)));
        memcpy(to + i, bytes, n - i < 8 ? n - i : 8);
    }
}

/* Eight rows of an output column. */
static inline uint8x8_t pooled(const uint8_t *a, const uint8_t *b)
{
    const uint8x16_t larger = vmaxq_u8(vld1q_u8(a), vld1q_u8(b));
    return vget_low_u8(vpmaxq_u8(larger, larger));
}

void asc_pool_bytes(uint8_t *to, uint32_t to_pitch, const uint8_t *from, uint32_t from_pitch, uint32_t n_columns,
                    uint32_t n_rows)
{
    for (; n_columns > 0; n_columns--, to += to_pitch, from += 2 * from_pitch) {
        const uint8_t *next = from + from_pitch;
        uint32_t r = 0;
        for (; r + 8 <= n_rows; r += 8) {
            vst1_u8(to + r, pooled(from + 2 * r, next + 2 * r));
        }
        if (r < n_rows) {
            uint8_t last[16];
            vst1_u8(last, pooled(from + 2 * r, next + 2 * r));
            asc_copy(to + r, last, n_rows - r);
        }
    }
}

void asc_maximum_of_short(uint8_t *to, const uint8_t *from, uint32_t n_columns, uint32_t pitch, uint32_t n_rows,
                          uint32_t top, uint32_t kernel_rows, uint32_t row_stride)
{
    static const uint8_t places[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8x16_t place = vld1q_u8(places);
    uint8x16_t largest = vld1q_u8(from);
    for (uint32_t column = 1; column < n_columns; column++) {
        from += pitch;
        largest = vmaxq_u8(largest, vld1q_u8(from));
    }
    largest = vandq_u8(largest, vcltq_u8(place, vdupq_n_u8((uint8_t)n_rows)));
    /* A place below 0 reads as 0. */
    largest = vqtbl1q_u8(largest, vsubq_u8(place, vdupq_n_u8((uint8_t)top)));
    for (uint32_t more = 1; more < kernel_rows; more++) {
        largest = vmaxq_u8(largest, vextq_u8(largest, vdupq_n_u8(0), 1));
    }
    if (row_stride == 2) {
        largest = vqtbl1q_u8(largest, vaddq_u8(place, place));
    }
    vst1q_u8(to, largest);
}

#else
typedef int asc_no_neon_kernel; /* a translation unit may not be empty */
#endif
