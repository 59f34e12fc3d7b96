/* Convolution with four taps in one instruction: for each of many neighbouring outputs, four input bytes times four weights
   into one 32-bit sum. The bytes of four taps are interleaved first, so that those of one output stand together.

   AVX-512 VNNI multiplies bytes without sign by weights with sign, which is what there is. AVX2 has that product only in
   16 bits, where it overflows; there the weight's magnitude is multiplied by the byte less 128 (or, for a negative
   weight, by its complement), and what that leaves out is a constant of the output. */
#ifndef ASC_KERNEL_QUADS_H
#define ASC_KERNEL_QUADS_H

#include <immintrin.h>

/* Where a list of weights and of distances stands; their number is a multiple of four when they are used. */
typedef struct {
    const int8_t *weights;
    const uint32_t *distances;
    int8_t *own_weights; /* where unpacked ones are put */
    uint32_t *own_distances;
    uint32_t n;
    const uint8_t *corner;
} AscTaps;

#define ASC_UNPACKS_GAPS 0

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    uint32_t *distances = (uint32_t *)memory;
    int8_t *weights = (int8_t *)(distances + (capacity + 3u) / 4u * 4u);
    const AscTaps taps = {weights, distances, weights, distances, 0, corner};
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    taps->own_distances[taps->n] = distance;
    taps->own_weights[taps->n++] = (int8_t)weight;
}

#define ASC_CONVOLVES 1

#endif
