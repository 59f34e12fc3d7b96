/* Sparse weights as they stand in flash -> the taps of one output after the other. */
#ifndef ASC_TAPS_H
#define ASC_TAPS_H

#include "asc_kernel.h"

/* A place among a layer's weights. */
typedef struct {
    const int8_t *value;
    const uint8_t *position;
    const uint8_t *count;
    uint32_t bits; /* what is left of the last byte of positions, under a leading one */
} AscTapReader;

static inline AscTapReader asc_open_taps(const AscLayer *layer)
{
    const AscTapReader reader = {layer->values, layer->positions, layer->counts, 1};
    return reader;
}

/* Values that belong to the next output. */
static inline uint32_t asc_next_count(AscTapReader *reader, const AscLayer *layer)
{
    uint32_t count = *reader->count++;
    if (layer->wide_counts) {
        count |= (uint32_t)*reader->count++ << 8;
    }
    return count;
}

/* The next `width` bits of the positions, 1 or 4. */
static ASC_INLINE uint32_t asc_next_bits(AscTapReader *reader, uint32_t width)
{
    if (reader->bits == 1) {
        reader->bits = 0x100u | *reader->position++;
    }
    const uint32_t next = reader->bits & ((1u << width) - 1u);
    reader->bits >>= width;
    return next;
}

/* Positions from the last value to the next. ASC_GAPS: half a byte says 1 to 15, or 0 for fifteen zeros and more to come.
   ASC_BITS: one bit per position. ASC_ALL: every weight is a value. */
static ASC_INLINE uint32_t asc_next_distance(AscTapReader *reader, uint8_t encoding)
{
    uint32_t distance = 0;
    if (encoding == ASC_GAPS) {
        uint32_t more;
        while ((more = asc_next_bits(reader, 4)) == 0) {
            distance += 15;
        }
        return distance + more;
    }
    if (encoding == ASC_BITS) {
        while (!asc_next_bits(reader, 1)) {
            distance++;
        }
    }
    return distance + 1;
}

/* Passes over the positions after an output's last value, n of them. */
static inline void asc_skip_rest(AscTapReader *reader, uint8_t encoding, uint32_t n)
{
    for (; encoding == ASC_BITS && n > 0; n--) {
        asc_next_bits(reader, 1);
    }
}

/* Unpacks the next output's taps; `distance` is added to that of each. For each encoding a loop of its own. */
static ASC_INLINE void asc_unpack_as(AscTapReader *from, uint8_t encoding, uint32_t count, const AscStep *step,
                                     uint32_t distance, AscTaps *to)
{
    const uint32_t n_taps = step->n_taps;
    const uint32_t group_bytes = step->group_bytes;
    const uint16_t *distances = step->taps - 1; /* taps are counted from 1 */
    AscTapReader reader = *from;
    AscTaps taps = *to;
    const int8_t *end = reader.value + count;
    uint32_t n_left = step->n_positions;
    uint32_t tap = 0;
    while (reader.value < end) {
        tap += asc_next_distance(&reader, encoding);
        for (; tap > n_taps; tap -= n_taps) {
            distance += group_bytes;
            n_left -= n_taps;
        }
        asc_add_tap(&taps, distance + distances[tap], *reader.value++);
    }
    asc_skip_rest(&reader, encoding, n_left - tap);
    *from = reader;
    *to = taps;
}

/* The same for whatever the encoding is. */
void asc_unpack(AscTapReader *from, const AscLayer *layer, const AscStep *step, uint32_t distance, AscTaps *to);

#endif
