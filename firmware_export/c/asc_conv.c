/* Sparse convolution and sparse fully connected layers: zeros are neither stored nor multiplied.

   A convolution goes through one output channel at a time. Its non-zero weights are unpacked once into a list of taps
   (weight and distance from the corner of the kernel); each tap is then applied to the whole piece, a run of
   neighbouring bytes over several columns, in tiles of accumulators. The few accumulators that fall on the padding
   between columns are computed and dropped. */
#include "asc_layers.h"

#include "asc_kernel.h"
#include "asc_requant.h"

#include <string.h>

/* Unpacks the non-zero weights of one output after the other. */
typedef struct {
    const int8_t *values;
    const uint8_t *positions;
    const uint8_t *counts;
    uint32_t place; /* half byte or bit in `positions` */
} TapReader;

static TapReader open_taps(const AscLayer *layer)
{
    const TapReader reader = {layer->values, layer->positions, layer->counts, 0};
    return reader;
}

/* Values that belong to the next output. */
static uint32_t next_count(TapReader *reader, const AscLayer *layer)
{
    uint32_t count = *reader->counts++;
    if (layer->wide_counts) {
        count |= (uint32_t)*reader->counts++ << 8;
    }
    return count;
}

/* Zeros before the next value. */
static inline uint32_t next_gap(TapReader *reader, uint8_t encoding)
{
    uint32_t gap = 0;
    if (encoding == ASC_GAPS) {
        uint32_t nibble;
        do {
            const uint32_t byte = reader->positions[reader->place >> 1];
            nibble = (reader->place++ & 1) ? byte >> 4 : byte & 15;
            gap += nibble;
        } while (nibble == 15);
    } else if (encoding == ASC_BITS) {
        while (!(reader->positions[reader->place >> 3] >> (reader->place & 7) & 1)) {
            reader->place++;
            gap++;
        }
        reader->place++;
    }
    return gap;
}

/* Positions after the last value of an output; only bits stand for them. */
static void skip_rest(TapReader *reader, uint8_t encoding, uint32_t n)
{
    reader->place += encoding == ASC_BITS ? n : 0;
}

/* The taps of the next output: `corner` is added to every distance. */
static uint32_t next_taps(TapReader *reader, const AscLayer *layer, const AscStep *step, uint32_t corner, AscTap *taps)
{
    const uint32_t count = next_count(reader, layer);
    uint32_t tap = 0;
    uint32_t group = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        tap += next_gap(reader, layer->encoding);
        while (tap >= step->n_taps) {
            tap -= step->n_taps;
            group++;
        }
        taps[n].weight = *reader->values++;
        taps[n].distance = corner + group * step->group_bytes + step->taps[tap];
        n += taps[n].weight != 0;
        tap++;
    }
    skip_rest(reader, layer->encoding, (step->n_groups - group) * (uint32_t)step->n_taps - tap);
    return n;
}

/* Of each 2 x 2 accumulators the largest: requantising never reverses an order, so the maximum may come first. */
static void pool_accumulators(int32_t *acc, uint32_t n_columns, uint32_t n_rows, uint32_t pitch)
{
    for (uint32_t c = 0; c < n_columns; c++) {
        const int32_t *a = acc + 2 * c * pitch;
        const int32_t *b = a + pitch;
        int32_t *to = acc + c * n_rows;
        for (uint32_t r = 0; r < n_rows; r++) {
            const int32_t x = a[2 * r] > a[2 * r + 1] ? a[2 * r] : a[2 * r + 1];
            const int32_t y = b[2 * r] > b[2 * r + 1] ? b[2 * r] : b[2 * r + 1];
            to[r] = x > y ? x : y;
        }
    }
}

void asc_run_conv(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const AscBuffer *from = &piece->member->plan->buffers[step->input];
    int32_t *acc = (int32_t *)piece->model->arena;
    AscTap *taps = (AscTap *)(piece->model->arena + piece->member->plan->acc_values);
    const uint32_t pitch = asc_pitch(from);
    const uint32_t n_columns = piece->n * step->pool;
    const uint32_t run = (n_columns - 1) * pitch + (uint32_t)step->n_rows * step->pool;
    const uint32_t column = piece->first * step->stride + from->pad_left - step->left;
    const uint8_t *corner = asc_input_at(piece, 0, column) - step->top;
    TapReader reader = open_taps(layer);
    for (uint32_t o = 0; o < step->n_planes; o++) {
        const uint32_t group = step->depthwise ? o / step->depthwise * step->group_bytes : 0;
        const uint32_t n_taps = next_taps(&reader, layer, step, group, taps);
        asc_accumulate(acc, run, corner, taps, n_taps, layer->bias[o]);
        uint32_t n_values = run;
        uint32_t distance = pitch;
        if (step->pool > 1) {
            pool_accumulators(acc, piece->n, step->n_rows, pitch);
            n_values = piece->n * step->n_rows;
            distance = step->n_rows;
        }
        const AscRequant to = {layer->multipliers[o], layer->shifts[o], layer->output_zero, layer->low, layer->high};
        uint8_t *bytes = (uint8_t *)acc;
        asc_requantise(acc, bytes, n_values, &to);
        for (uint32_t c = 0; c < piece->n; c++) {
            memcpy(asc_output_at(piece, o, c), bytes + c * distance, step->n_rows);
        }
    }
}

/* What a dense layer keeps from piece to piece. */
typedef struct {
    uint32_t value, place;
    int32_t sums[1]; /* one per output */
} DenseState;

/* Adds one input column to the sums. Weights stand in the order column, output, channel, row. */
static void add_column(DenseState *state, TapReader *reader, const AscPiece *piece, const uint8_t *column)
{
    const uint32_t n_inputs = piece->step->n_taps;
    const AscLayer *layer = piece->layer;
    uint32_t input = 0;
    uint32_t output = 0;
    for (uint32_t left = next_count(reader, layer); left > 0; left--) {
        input += next_gap(reader, layer->encoding);
        while (input >= n_inputs) {
            input -= n_inputs;
            output++;
        }
        state->sums[output] += *reader->values++ * (int32_t)column[input];
        input++;
    }
    skip_rest(reader, layer->encoding, (piece->step->n_groups - output) * n_inputs - input);
}

/* One input column in one piece. */
static const uint8_t *gathered_column(const AscPiece *piece, uint32_t column)
{
    const AscBuffer *from = &piece->member->plan->buffers[piece->step->input];
    const uint32_t n_planes = piece->step->n_taps / from->n_rows;
    uint8_t *gathered = (uint8_t *)piece->model->arena;
    if (n_planes == 1) {
        return asc_input_at(piece, 0, from->pad_left + column);
    }
    for (uint32_t plane = 0; plane < n_planes; plane++) {
        memcpy(gathered + plane * from->n_rows, asc_input_at(piece, plane, from->pad_left + column), from->n_rows);
    }
    return gathered;
}

void asc_run_dense(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const AscBuffer *sums = &piece->member->plan->buffers[step->second_input];
    DenseState *state = (DenseState *)(void *)((uint8_t *)piece->model->arena + sums->at);
    if (piece->first == 0) {
        state->value = state->place = 0;
        memcpy(state->sums, layer->bias, step->n_rows * sizeof state->sums[0]);
    }
    TapReader reader = open_taps(layer);
    reader.values += state->value;
    reader.place = state->place;
    reader.counts += layer->wide_counts ? 2 * piece->first : piece->first;
    for (uint32_t i = 0; i < piece->n; i++) {
        add_column(state, &reader, piece, gathered_column(piece, piece->first + i));
    }
    state->value = (uint32_t)(reader.values - layer->values);
    state->place = reader.place;
    if (piece->first + piece->n < step->n_columns) {
        return;
    }
    uint8_t *output = (uint8_t *)piece->model->arena + piece->member->plan->buffers[step->output].at;
    for (uint32_t o = 0; o < step->n_rows; o++) {
        const int32_t value = asc_rescale(state->sums[o], layer->multipliers[o], layer->shifts[o]);
        output[o] = (uint8_t)asc_clamp(value + layer->output_zero, layer->low, layer->high);
    }
}
