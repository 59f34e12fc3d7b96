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

/* n_tiles times 4 * N sums, N from 1 to 6, from output `at` on. */
typedef void AscTiles(int32_t *acc, uint32_t n_tiles, const AscTap *taps, uint32_t n_pairs, uint32_t at, int32_t bias);
AscTiles asc_mve_tiles_of_1, asc_mve_tiles_of_2, asc_mve_tiles_of_3, asc_mve_tiles_of_4, asc_mve_tiles_of_5,
    asc_mve_tiles_of_6;

static inline void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    static AscTiles *const tiles[5] = {asc_mve_tiles_of_1, asc_mve_tiles_of_2, asc_mve_tiles_of_3, asc_mve_tiles_of_4,
                                       asc_mve_tiles_of_5};
    const AscTap nothing = {0, taps->corner}; /* makes an odd number even */
    *taps->stored.end = nothing;
    const uint32_t n_pairs = (uint32_t)(taps->stored.end - taps->begin + 1) / 2;
    const uint32_t n_vectors = (n + 3) / 4;
    const uint32_t n_large = n_vectors / 6;
    if (n_large > 0) {
        asc_mve_tiles_of_6(acc, n_large, taps->begin, n_pairs, 0, to->bias);
    }
    if (n_vectors > 6 * n_large) {
        const uint32_t at = 24 * n_large;
        tiles[n_vectors - 6 * n_large - 1](acc + at, 1, taps->begin, n_pairs, at, to->bias);
    }
}

/* Bytes that asc_requantise may write too far. */
enum { ASC_REQUANTISE_BEHIND = 0 };

void asc_mve_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to);
void asc_mve_requantise_relu(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to);

static inline void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
    if (to->shift <= 0 && to->zero == 0 && to->low == 0 && to->high == 255) {
        asc_mve_requantise_relu(acc, bytes, n, to);
    } else {
        asc_mve_requantise(acc, bytes, n, to);
    }
}

#endif
