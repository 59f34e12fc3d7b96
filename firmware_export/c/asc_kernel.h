/* The two inner loops. The plain C here is for every target and defines the results; a target's own version gives
   the same bits. */
#ifndef ASC_KERNEL_H
#define ASC_KERNEL_H

#include "asc_requant.h"

#include <stdint.h>

/* One non-zero weight of an output, and how many bytes from the kernel's corner its input starts. */
typedef struct {
    uint32_t distance;
    int32_t weight;
} AscTap;

/* How an output's accumulators become stored bytes. */
typedef struct {
    int32_t multiplier;
    int shift;
    int32_t zero, low, high;
} AscRequant;

/* acc[i] = bias + sum over taps of weight * corner[distance + i], i < n. Reads and writes up to ASC_MODEL_TILE - 1
   elements more. */
static inline void asc_accumulate(int32_t *acc, uint32_t n, const uint8_t *corner, const AscTap *taps, uint32_t n_taps,
                                  int32_t bias)
{
    for (uint32_t at = 0; at < n; at += ASC_MODEL_TILE) {
        int32_t sums[ASC_MODEL_TILE];
        for (int i = 0; i < ASC_MODEL_TILE; i++) {
            sums[i] = bias;
        }
        for (uint32_t t = 0; t < n_taps; t++) {
            const uint8_t *from = corner + taps[t].distance + at;
            const int32_t weight = taps[t].weight;
            for (int i = 0; i < ASC_MODEL_TILE; i++) {
                sums[i] += weight * (int32_t)from[i];
            }
        }
        for (int i = 0; i < ASC_MODEL_TILE; i++) {
            acc[at + (uint32_t)i] = sums[i];
        }
    }
}

/* bytes[i] = the stored value of acc[i], i < n. bytes may be where acc is. */
static inline void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)asc_clamp(asc_rescale(acc[i], to->multiplier, to->shift) + to->zero, to->low, to->high);
    }
}

#endif
