/* TFLite's integer rules for turning accumulators into stored values (the variant that rounds twice, which TFLite Micro
   uses): high half of the doubled product, rounded; then a rounding shift whose halves go away from zero.

   Right shifts of negative numbers are taken to copy the sign, as every compiler for the targets does. */
#ifndef ASC_REQUANT_H
#define ASC_REQUANT_H

#include "asc_config.h"

#include <stdint.h>

typedef char asc_right_shift_copies_the_sign[(-5 >> 1) == -3 ? 1 : -1];

/* x * multiplier / 2^31, rounded; not for both at their minimum. */
static inline int32_t asc_multiply_high(int32_t x, int32_t multiplier)
{
#if ASC_NARROW_MULTIPLY
    const int32_t x_low = x & 0xffff, low = multiplier & 0xffff;
    const int32_t across = (x >> 16) * low + (int32_t)(((uint32_t)x_low * (uint32_t)low) >> 16);
    const int32_t other = x_low * (multiplier >> 16);
    const int32_t middle = (across & 0xffff) + (other & 0xffff);
    const int32_t high = (x >> 16) * (multiplier >> 16) + (across >> 16) + (other >> 16) + (middle >> 16);
    return (int32_t)((uint32_t)high << 1) + ((((middle >> 14) & 3) + 1) >> 1);
#else
    return (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
#endif
}

/* x / 2^shift, shift from 0 to 31, halves away from zero. */
static inline int32_t asc_shift_right(int32_t x, int shift)
{
    const int32_t mask = (int32_t)((1u << shift) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> shift) + ((x & mask) > threshold ? 1 : 0);
}

/* x times the real factor that (multiplier, shift) stands for; x << shift fits if the shift is positive. */
static inline int32_t asc_rescale(int32_t x, int32_t multiplier, int shift)
{
    if (shift > 0) {
        return asc_multiply_high((int32_t)((uint32_t)x << shift), multiplier);
    }
    return asc_shift_right(asc_multiply_high(x, multiplier), -shift);
}

/* A factor below 1 with what does not depend on the value worked out once. */
typedef struct {
    int32_t multiplier, half, negative;
    int shift;
} AscFactor;

static inline AscFactor asc_factor(int32_t multiplier, int shift)
{
    const AscFactor factor = {multiplier, shift < 0 ? 1 << (-shift - 1) : 0, shift < 0 ? -1 : 0, shift < 0 ? -shift : 0};
    return factor;
}

/* x / 2^shift, halves away from zero, for |x| below 2^30. */
static inline int32_t asc_divide(int32_t x, AscFactor factor)
{
    return (x + ((x >> 31) & factor.negative) + factor.half) >> factor.shift;
}

/* x times the factor as asc_rescale would have it, for |x| below 2^30. */
static inline int32_t asc_times(int32_t x, AscFactor factor)
{
#if ASC_NARROW_MULTIPLY
    return asc_divide(asc_multiply_high(x, factor.multiplier), factor);
#else
    return asc_divide((int32_t)(((int64_t)(2 * x) * factor.multiplier + ((int64_t)1 << 31)) >> 32), factor);
#endif
}

static inline int32_t asc_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

#endif
