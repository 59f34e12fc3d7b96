/* See asc_kernel_plain.h. */
#include "asc_kernel.h"

#if !ASC_HAS_DSP && !ASC_HAS_QUADS && !ASC_HAS_NEON

/* Sums at a time: as many as there are registers for. */
#if defined(__thumb__) && !defined(__thumb2__)
enum { SUMS = 4 };
#else
enum { SUMS = ASC_MODEL_TILE };
#endif
#if defined(__GNUC__) && ASC_MODEL_TILE <= 16
#define UNROLL _Pragma("GCC unroll 16") /* else the sums stand in memory */
#else
#define UNROLL
#endif

void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    const AscTap *end = taps->list + taps->n;
    for (uint32_t at = 0; at < n; at += SUMS) {
        const uint8_t *corner = taps->corner + at;
        int32_t sums[SUMS];
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            sums[i] = to->bias;
        }
        for (const AscTap *tap = taps->list; tap < end; tap++) {
            const uint8_t *from = corner + tap->distance;
            const int32_t weight = tap->weight;
            UNROLL
            for (int i = 0; i < SUMS; i++) {
                sums[i] += weight * (int32_t)from[i];
            }
        }
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            acc[at + (uint32_t)i] = sums[i];
        }
    }
}

void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
    const AscRequant by = *to;
    if (by.narrow) {
        const AscFactor factor = asc_factor(by.multiplier, by.shift);
        for (uint32_t i = 0; i < n; i++) {
            const int32_t value = asc_divide(asc_multiply_high(acc[i], factor.multiplier), factor);
            bytes[i] = (uint8_t)asc_clamp(value + by.zero, by.low, by.high);
        }
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)asc_clamp(asc_rescale(acc[i], by.multiplier, by.shift) + by.zero, by.low, by.high);
    }
}

#else
typedef int asc_no_plain_kernel; /* a translation unit may not be empty */
#endif
