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

/* Negative weights from the front on, positive ones from the back; a tap of magnitude 0 ends each. In the order of
   registers r10 to r12 in asc_unpack_thumb2.c. */
typedef struct {
    AscTap *last_negative;
    AscTap *first_positive;
    int32_t negative_sum; /* of negative weights, times 256 */
} AscStored;

typedef struct {
    AscTap *begin; /* the tap before the first negative */
    AscTap *end;   /* the tap after the last positive */
    uint32_t corner;
    AscStored stored;
} AscTaps;

#define ASC_UNPACKS_GAPS 1

/* r0 weight, lr address: times 256, and a negative one is dealt with out of the way. */
#define ASC_STORE_TAP(this)                 \
    "    lsls r0, r0, #8\n"                 \
    "    bmi 8" this "f\n"                  \
    "    strd r0, lr, [r11, #-8]!\n"        \
    "3" this ":\n"
#define ASC_STORE_TAP_RARELY(this)          \
    "8" this ": add r12, r0\n"              \
    "    rsb r0, #0\n"                      \
    "    strd r0, lr, [r10, #8]!\n"         \
    "    b 3" this "b\n"

static inline AscTaps asc_no_taps(void *memory, uint32_t capacity, const uint8_t *corner)
{
    /* From an even place to an even place, so that the parity of an address is that of a number of taps. */
    AscTap *begin = (AscTap *)(((uintptr_t)memory + 15) & ~(uintptr_t)15);
    AscTap *end = begin + ((capacity + 2) & ~1u);
    const AscTaps taps = {begin, end, (uint32_t)(uintptr_t)corner, {begin, end, 0}};
    begin->magnitude = end->magnitude = 0;
    return taps;
}

static ASC_INLINE void asc_add_tap(AscTaps *taps, uint32_t distance, int32_t weight)
{
    if (weight < 0) {
        const AscTap tap = {(uint32_t)-weight << 8, taps->corner + distance};
        *++taps->stored.last_negative = tap;
        taps->stored.negative_sum += weight * 256;
    } else if (weight > 0) {
        const AscTap tap = {(uint32_t)weight << 8, taps->corner + distance};
        *--taps->stored.first_positive = tap;
    }
}

/* For n_tiles times 8 outputs: acc[i] = sums * 256 + offset. */
void asc_dsp_tiles(int32_t *acc, uint32_t n_tiles, AscTap *last_negative, AscTap *first_positive, int32_t offset);
void asc_dsp_accumulate_wide(int32_t *acc, uint32_t n, AscTaps *taps, int32_t bias);
void asc_dsp_requantise_relu(const int32_t *acc, uint8_t *bytes, uint32_t n, int32_t multiplier, int shift);

static inline void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    if (to->narrow) {
        const int32_t offset = to->bias * 256 + 255 * taps->stored.negative_sum;
        asc_dsp_tiles(acc, (n + 7) / 8, taps->stored.last_negative, taps->stored.first_positive, offset);
    } else {
        asc_dsp_accumulate_wide(acc, n, taps, to->bias);
    }
}

/* Bytes that asc_requantise may write too far. */
enum { ASC_REQUANTISE_BEHIND = 8 };

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
