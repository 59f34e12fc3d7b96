/* The inner loops of convolution: unpacked taps -> accumulators -> stored bytes.

   The plain C here is for every target and defines the results; kernels for one kind of processor are chosen at compile
   time and give the same bits. -DASC_PLAIN_C=1 asks for plain C. */
#ifndef ASC_KERNEL_H
#define ASC_KERNEL_H

#include "asc_layers.h"
#include "asc_requant.h"

#include <string.h>

#ifndef ASC_PLAIN_C
#define ASC_PLAIN_C 0
#endif

#if defined(__GNUC__)
#define ASC_INLINE inline __attribute__((always_inline))
#define ASC_NOINLINE __attribute__((noinline)) /* so that its loop has the registers to itself */
#else
#define ASC_INLINE inline
#define ASC_NOINLINE
#endif

/* How an output channel's accumulators become stored bytes. */
typedef struct {
    int32_t bias;
    int32_t multiplier;
    int shift;
    int32_t zero, low, high;
    int narrow; /* see AscLayer */
} AscRequant;

#if !ASC_PLAIN_C && defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
#include "asc_kernel_dsp.h"
#else

/* One non-zero weight of an output, and how many bytes from the kernel's corner its input starts. */
typedef struct {
    int32_t weight;
    uint32_t distance;
} AscTap;

typedef struct {
    AscTap *list;
    uint32_t n;
    const uint8_t *corner;
} AscTaps;

/* Whether there is an asc_unpack for this processor. */
#define ASC_UNPACKS_GAPS 0

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    const AscTaps taps = {(AscTap *)memory, 0, corner};
    (void)capacity;
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    const AscTap tap = {weight, distance};
    taps->list[taps->n++] = tap;
}

/* acc[i] = bias + sum over taps of weight * corner[distance + i], i < n. Reads and writes up to ASC_MODEL_TILE - 1
   elements more. Uses the taps up. */
static inline void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    for (uint32_t at = 0; at < n; at += ASC_MODEL_TILE) {
        int32_t sums[ASC_MODEL_TILE];
        for (int i = 0; i < ASC_MODEL_TILE; i++) {
            sums[i] = to->bias;
        }
        for (uint32_t t = 0; t < taps->n; t++) {
            const uint8_t *from = taps->corner + taps->list[t].distance + at;
            const int32_t weight = taps->list[t].weight;
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

/* largest[i] = the larger of largest[i] and other[i], i < n, n a multiple of 4. other may be largest + 1. */
static inline void asc_maximum(uint8_t *largest, const uint8_t *other, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        largest[i] = other[i] > largest[i] ? other[i] : largest[i];
    }
}

#endif

/* Four bytes at any address. */
#if defined(__GNUC__)
#define ASC_COPY_WORD(to, from)               \
    do {                                      \
        uint32_t word;                        \
        __builtin_memcpy(&word, (from), 4);   \
        __builtin_memcpy((to), &word, 4);     \
    } while (0)
#else
#define ASC_COPY_WORD(to, from) memmove((to), (from), 4)
#endif

/* Copies n bytes; a target below its source may overlap it. Written out because small C libraries copy byte by byte. */
static inline void asc_copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        ASC_COPY_WORD(to, from);
    }
    for (; n > 0; n--) {
        *to++ = *from++;
    }
}

#endif
