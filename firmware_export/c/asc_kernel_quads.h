/* Convolution with four taps in one instruction: for each of many neighbouring outputs, four input bytes times four weights
   into one 32-bit sum. The bytes of four taps are interleaved first, so that those of one output stand together.

   AVX-512 VNNI multiplies bytes without sign by weights with sign, which is what there is. AVX2 has that product only in
   16 bits, where it overflows; there the weight's magnitude is multiplied by the byte less 128 (or, for a negative
   weight, by its complement), and what that leaves out is a constant of the output. */
#ifndef ASC_KERNEL_QUADS_H
#define ASC_KERNEL_QUADS_H

#include <immintrin.h>

typedef struct {
    uint32_t weights; /* four of them, or their magnitudes */
    uint32_t flips;   /* what the bytes are changed by, exclusive or (AVX2 only) */
    uint32_t distances[4];
} AscQuad;

typedef struct {
    AscQuad *list;
    uint32_t n;
    const uint8_t *corner;
    int32_t left_out; /* of every sum (AVX2 only) */
} AscTaps;

#define ASC_UNPACKS_GAPS 0

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    const AscTaps taps = {(AscQuad *)memory, 0, corner, 0};
    (void)capacity;
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    AscQuad *quad = &taps->list[taps->n / 4];
    const uint32_t place = taps->n++ % 4;
    if (place == 0) {
        const AscQuad empty = {0, 0x80808080u, {distance, distance, distance, distance}};
        *quad = empty;
    }
    quad->distances[place] = distance;
#if ASC_HAS_VNNI
    quad->weights |= (uint32_t)(uint8_t)weight << 8 * place;
#else
    quad->weights |= (uint32_t)(weight < 0 ? -weight : weight) << 8 * place;
    quad->flips ^= weight < 0 ? 0xFFu << 8 * place : 0;
    taps->left_out += weight < 0 ? 127 * weight : 128 * weight;
#endif
}

/* bytes[i] = the stored value of bias + sum over taps of weight * corner[distance + i], i < n. Accumulators stay in
   registers. */
#define ASC_CONVOLVES 1
void asc_convolve(uint8_t *bytes, uint32_t n, const AscTaps *taps, const AscRequant *to);

/* Of each 2 x 2 stored bytes the largest, n_rows in a column. */
void asc_pool_bytes(uint8_t *to, uint32_t to_pitch, const uint8_t *from, uint32_t from_pitch, uint32_t n_columns,
                    uint32_t n_rows);

#endif
