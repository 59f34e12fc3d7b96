/* Convolution in plain C, for every processor: it defines the results. */
#ifndef ASC_KERNEL_PLAIN_H
#define ASC_KERNEL_PLAIN_H

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
void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to);

/* Bytes that asc_requantise may write too far. */
enum { ASC_REQUANTISE_BEHIND = 0 };

/* bytes[i] = the stored value of acc[i], i < n. bytes may be where acc is. */
void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to);

#endif
