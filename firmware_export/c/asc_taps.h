/* Sparse weights as they stand in flash -> the taps of one output after the other. */
#ifndef ASC_TAPS_H
#define ASC_TAPS_H

#include "asc_kernel.h"

/* A place among a layer's weights, and what a step knows of their positions. All but the last in the order of the
   registers in asc_unpack_thumb2.c. */
typedef struct {
    const int8_t *value;
    const uint8_t *position;
    uint32_t bits;             /* what is left of the last byte of positions, under a leading one */
    const uint16_t *distances; /* of taps counted from 1 */
    uint32_t n_taps, group_bytes;
    const uint8_t *count;
} AscTapReader;

static inline AscTapReader asc_open_taps(const AscLayer *layer, const AscStep *step)
{
    const AscTapReader reader = {.value = layer->values,
                                 .position = layer->positions,
                                 .bits = 1,
                                 .distances = step->taps != NULL ? step->taps - 1 : NULL,
                                 .n_taps = step->n_taps,
                                 .group_bytes = step->group_bytes,
                                 .count = layer->counts};
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

/* Unpacks an output's taps, `count` of `n_positions`. For each encoding a loop of its own. */
static ASC_INLINE void asc_unpack_as(AscTapReader *from, uint8_t encoding, uint32_t count, uint32_t n_positions,
                                     AscTaps *to)
{
    AscTapReader reader = *from;
    AscTaps taps = *to;
    const int8_t *end = reader.value + count;
    uint32_t distance = 0;
    uint32_t n_left = n_positions;
    uint32_t tap = 0;
    while (reader.value < end) {
        tap += asc_next_distance(&reader, encoding);
        for (; tap > reader.n_taps; tap -= reader.n_taps) {
            distance += reader.group_bytes;
            n_left -= reader.n_taps;
        }
        asc_add_tap(&taps, distance + reader.distances[tap], *reader.value++);
    }
    asc_skip_rest(&reader, encoding, n_left - tap);
    *from = reader;
    *to = taps;
}

#if ASC_MODEL_HOST
/* ASC_READY: the next output's taps stand in the tables as they are needed. */
static inline void asc_take_ready(AscTapReader *from, const AscLayer *layer, uint32_t count, AscTaps *to)
{
    const uint32_t *distance = layer->distances + (from->value - layer->values);
#if ASC_HAS_QUADS
    to->weights = from->value;
    to->distances = distance;
    to->n = count;
    from->value += count;
#else
    for (const int8_t *end = from->value + count; from->value < end; from->value++, distance++) {
        if (*from->value != 0) { /* else it fills a group */
            asc_add_tap(to, *distance, *from->value);
        }
    }
#endif
}
#endif

/* Unpacks the next output's taps, whatever the encoding is. */
void asc_unpack(AscTapReader *from, const AscLayer *layer, uint32_t n_positions, AscTaps *to);

#endif
