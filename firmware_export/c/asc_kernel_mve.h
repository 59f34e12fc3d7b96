/* Convolution on Cortex-M55 and M85 (the vector extension, MVE): four 32-bit sums per vector, up to six vectors of them. */
#ifndef ASC_KERNEL_MVE_H
#define ASC_KERNEL_MVE_H

#include <arm_mve.h>

typedef struct {
    int32_t weight;
    uint32_t address; /* of its input */
} AscTap;

/* In the order of registers r10 to r12 in asc_unpack_thumb2.c. */
typedef struct {
    AscTap *end;
    uint32_t unused[2];
} AscStored;

typedef struct {
    AscTap *begin;
    uint32_t corner;
    AscStored stored;
} AscTaps;

#define ASC_UNPACKS_GAPS 1
#define ASC_STORE_TAP(this) "    strd r0, lr, [r10], #8\n"
#define ASC_STORE_TAP_RARELY(this)

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    const AscTaps taps = {(AscTap *)memory, (uint32_t)(uintptr_t)corner, {(AscTap *)memory, {0, 0}}};
    (void)capacity;
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    const AscTap tap = {weight, taps->corner + distance};
    *taps->stored.end++ = tap;
}

void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to);
void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to);

#endif
