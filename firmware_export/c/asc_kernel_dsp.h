/* Convolution on Cortex-M4, M7 and M33 (the DSP extension): two outputs in one multiplication.

   Let b0 to b3 be four neighbouring input bytes in one word. b0 + b3 * 2^24 is one AND, b2 + b1 * 2^24 another (with a
   rotation), and UMLAL multiplies such a pair by one weight and adds it to a pair of sums, 24 bits for the lower one.
   With the weight shifted left by 8 the lower sum stands, times 256, in the low register and the upper one in the high
   register. Sums may not fall below zero: a negative weight w is taken as |w| times (255 - b), which is BIC instead of
   AND, and what that adds, 255 |w|, is in the end taken off. Eight outputs per tap are 13 instructions.

   Accumulators are kept times 256, which the requantisation's SMMLA wants as well. All this needs sums below 2^23; the
   exporter knows which layers keep to it (AscLayer.narrow), the others take plain C. */
#ifndef ASC_KERNEL_DSP_H
#define ASC_KERNEL_DSP_H

/* |weight| * 256 and the address of its input. Each tile moves the address on. */
typedef struct {
    uint32_t magnitude;
    uint32_t address;
} AscTap;

/* Negative weights from the front on, positive ones from the back; a tap of magnitude 0 ends each. */
typedef struct {
    AscTap *begin;         /* the tap before the first negative */
    AscTap *last_negative;
    AscTap *first_positive;
    AscTap *end;           /* the tap after the last positive */
    uint32_t corner;
    int32_t negative_sum; /* of negative weights, times 256 */
} AscTaps;

#define ASC_UNPACKS_GAPS 1

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    /* From an even place to an even place, so that the parity of an address is that of a number of taps. */
    AscTap *begin = (AscTap *)(((uintptr_t)memory + 15) & ~(uintptr_t)15);
    AscTap *end = begin + ((capacity + 2) & ~1u);
    const AscTaps taps = {begin, begin, end, end, (uint32_t)(uintptr_t)corner, 0};
    begin->magnitude = end->magnitude = 0;
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    if (weight < 0) {
        const AscTap tap = {(uint32_t)-weight << 8, taps->corner + distance};
        *++taps->last_negative = tap;
        taps->negative_sum += weight * 256;
    } else if (weight > 0) {
        const AscTap tap = {(uint32_t)weight << 8, taps->corner + distance};
        *--taps->first_positive = tap;
    }
}

/* For n_tiles times 8 outputs: acc[i] = sums * 256 + offset. */
void asc_dsp_tiles(int32_t *acc, uint32_t n_tiles, AscTap *last_negative, AscTap *first_positive, int32_t offset);
void asc_dsp_accumulate_wide(int32_t *acc, uint32_t n, AscTaps *taps, int32_t bias);
void asc_dsp_requantise_relu(const int32_t *acc, uint8_t *bytes, uint32_t n, int32_t multiplier, int shift);

static inline void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    if (to->narrow) {
        const int32_t offset = to->bias * 256 + 255 * taps->negative_sum;
        asc_dsp_tiles(acc, (n + 7) / 8, taps->last_negative, taps->first_positive, offset);
    } else {
        asc_dsp_accumulate_wide(acc, n, taps, to->bias);
    }
}

static inline void asc_maximum(uint8_t *largest, const uint8_t *other, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4) {
        uint32_t a, b, scratch;
        __builtin_memcpy(&a, largest + i, 4);
        __builtin_memcpy(&b, other + i, 4);
        __asm__("usub8 %0, %1, %2\n    sel %1, %1, %2" : "=&r"(scratch), "+r"(a) : "r"(b) : "cc");
        __builtin_memcpy(largest + i, &a, 4);
    }
}

static inline void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
    if (to->narrow && to->low == to->zero && to->low == 0 && to->high == 255) {
        asc_dsp_requantise_relu(acc, bytes, n, to->multiplier, to->shift);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const int32_t value = asc_rescale(to->narrow ? acc[i] >> 8 : acc[i], to->multiplier, to->shift);
        bytes[i] = (uint8_t)asc_clamp(value + to->zero, to->low, to->high);
    }
}

#endif
