/* Convolution on 64-bit ARM. Taps of one sign are taken together, bytes and magnitudes both without sign.

   With the dot product instructions (Cortex-A76, so a Raspberry Pi 5) four taps at a time: their bytes are interleaved, and
   UDOT adds four products to each 32-bit sum. Without them two at a time: both products fit together into 16 bits
   (2 * 127 * 255) before they are added to the sums. */
#ifndef ASC_KERNEL_NEON_H
#define ASC_KERNEL_NEON_H

#include <arm_neon.h>

#if defined(__ARM_FEATURE_DOTPROD)
#define ASC_TOGETHER 4
#else
#define ASC_TOGETHER 2
#endif

typedef struct {
    uint32_t distances[ASC_TOGETHER];
    uint8_t magnitudes[4];
} AscGroup;

/* Positive weights from the front on, negative ones from the back. */
typedef struct {
    AscGroup *positive, *negative;
    uint32_t n_positive, n_negative; /* weights */
    const uint8_t *corner;
} AscTaps;

#define ASC_UNPACKS_GAPS 0

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    AscGroup *list = (AscGroup *)memory;
    const AscTaps taps = {list, list + capacity / ASC_TOGETHER + 1, 0, 0, corner};
    return taps;
}

static ASC_INLINE void asc_group(AscGroup *group, uint32_t place, uint32_t distance, int32_t magnitude)
{
    if (place == 0) {
        const AscGroup alone = {{0}, {0, 0, 0, 0}};
        *group = alone;
    }
    group->distances[place] = distance;
    group->magnitudes[place] = (uint8_t)magnitude;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    if (weight >= 0) {
        const uint32_t n = taps->n_positive++;
        asc_group(taps->positive + n / ASC_TOGETHER, n % ASC_TOGETHER, distance, weight);
    } else {
        const uint32_t n = taps->n_negative++;
        asc_group(taps->negative - n / ASC_TOGETHER, n % ASC_TOGETHER, distance, -weight);
    }
}

#define ASC_CONVOLVES 1

#endif
