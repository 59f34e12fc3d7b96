/* Sparse convolution and sparse fully connected layers: zeros are neither stored nor multiplied.

   A convolution goes through one output channel at a time. Its non-zero weights are unpacked once into a list of taps
   (weight and distance from the corner of the kernel); each tap is then applied to the whole piece, a run of
   neighbouring bytes over several columns, in tiles of accumulators. The few accumulators that fall on the padding
   between columns are computed and dropped. */
#include "asc_taps.h"

#if !ASC_UNPACKS_GAPS
ASC_NOINLINE void asc_unpack(AscTapReader *from, const AscLayer *layer, uint32_t n_positions, AscTaps *to)
{
    const uint32_t count = asc_next_count(from, layer);
    switch (layer->encoding) {
    case ASC_GAPS:
        asc_unpack_as(from, ASC_GAPS, count, n_positions, to);
        break;
    case ASC_BITS:
        asc_unpack_as(from, ASC_BITS, count, n_positions, to);
        break;
#if ASC_MODEL_HOST
    case ASC_READY:
        asc_take_ready(from, layer, count, to);
        break;
#endif
    default:
        asc_unpack_as(from, ASC_ALL, count, n_positions, to);
        break;
    }
}
#endif

/* Where a piece of a convolution writes. */
typedef struct {
    uint8_t *bytes; /* of the plane under way, first column */
    uint32_t plane_bytes, pitch, row_pad;
    uint32_t n_rows, n_columns;
    uint8_t fill;
} Output;

static Output output_of(const AscPiece *piece)
{
    const uint8_t b = piece->step->output;
    const AscBuffer *buffer = &piece->member->plan->buffers[b];
    const uint32_t pitch = asc_pitch(buffer);
    const Output output = {.bytes = asc_output_at(piece, 0, 0),
                           .plane_bytes = buffer->n_slots * pitch,
                           .pitch = pitch,
                           .row_pad = buffer->row_pad,
                           .n_rows = piece->step->n_rows,
                           .n_columns = piece->n,
                           .fill = piece->member->fills[b]};
    return output;
}

/* Copies a run of stored bytes to the columns of the plane, `distance` bytes apart in the run. */
static inline void scatter(const Output *output, const uint8_t *from, uint32_t distance)
{
    uint8_t *to = output->bytes;
    for (uint32_t left = output->n_columns; left > 0; left--, to += output->pitch, from += distance) {
        asc_copy(to, from, output->n_rows);
    }
}

/* What a run that was stored as it is brought into the padding between the columns is put right again. */
static inline void refill_gaps(const Output *output)
{
    uint8_t *gap = output->bytes + output->n_rows;
    const uint8_t fill = output->fill;
    if (output->row_pad == 1) { /* of which compilers would make a call of memset each */
        for (uint32_t left = output->n_columns - 1; left > 0; left--, gap += output->pitch) {
            *gap = fill;
        }
        return;
    }
    for (uint32_t left = output->n_columns - 1; left > 0; left--, gap += output->pitch) {
        for (uint32_t i = 0; i < output->row_pad; i++) {
            gap[i] = fill;
        }
    }
}

#if ASC_CONVOLVES
/* A plane of the output from its taps, through `scratch` unless input and output columns are equally far apart. */
static inline void make_plane(const Output *output, int32_t *scratch, uint32_t run, uint32_t pitch, int pooled,
                              AscTaps *taps, const AscRequant *to)
{
    uint8_t *bytes = (uint8_t *)scratch;
    if (pooled) {
        asc_convolve(bytes, run, taps, to);
        asc_pool_bytes(output->bytes, output->pitch, bytes, pitch, output->n_columns, output->n_rows);
    } else if (output->pitch == pitch) {
        asc_convolve(output->bytes, run, taps, to);
        refill_gaps(output);
    } else {
        asc_convolve(bytes, run, taps, to);
        scatter(output, bytes, pitch);
    }
}
#else
/* Where input and output columns are equally far apart, a run is stored as it is; what the kernel writes behind it is put
   right again. */
static inline void requantise_in_place(const Output *output, const int32_t *acc, uint32_t run, const AscRequant *to)
{
    if (ASC_REQUANTISE_BEHIND == 0) {
        asc_requantise(acc, output->bytes, run, to);
    } else {
        uint8_t behind[ASC_REQUANTISE_BEHIND + 1];
        asc_copy(behind, output->bytes + run, ASC_REQUANTISE_BEHIND);
        asc_requantise(acc, output->bytes, run, to);
        asc_copy(output->bytes + run, behind, ASC_REQUANTISE_BEHIND);
    }
    refill_gaps(output);
}

/* A plane of the output from its taps, by way of accumulators. */
static inline void make_plane(const Output *output, int32_t *acc, uint32_t run, uint32_t pitch, int pooled,
                              AscTaps *taps, const AscRequant *to)
{
    uint8_t *bytes = (uint8_t *)acc;
    asc_accumulate(acc, run, taps, to);
    if (pooled) {
        asc_pool_accumulators(acc, output->n_columns, output->n_rows, pitch);
        asc_requantise(acc, bytes, output->n_columns * output->n_rows, to);
        scatter(output, bytes, output->n_rows);
    } else if (output->pitch == pitch) {
        requantise_in_place(output, acc, run, to);
    } else {
        asc_requantise(acc, bytes, run, to);
        scatter(output, bytes, pitch);
    }
}
#endif

void asc_run_conv(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const AscPlan *plan = piece->member->plan;
    const AscBuffer *from = &plan->buffers[step->input];
    int32_t *acc = (int32_t *)piece->model->arena;
    const uint32_t pitch = asc_pitch(from);
    const uint32_t run = (piece->n * step->pool - 1) * pitch + (uint32_t)step->n_rows * step->pool;
    const uint32_t column = piece->first * step->stride + from->pad_left - step->left;
    const uint8_t *corner = asc_input_at(piece, 0, column) - step->top;
    AscTapReader reader = asc_open_taps(layer, step);
    AscRequant to = {.zero = layer->output_zero, .low = layer->low, .high = layer->high, .narrow = layer->narrow};
    Output output = output_of(piece);
    const uint32_t n_planes = step->n_planes, n_positions = step->n_positions;
    for (uint32_t o = 0; o < n_planes; o++, output.bytes += output.plane_bytes) {
        to.bias = layer->bias[o];
        to.multiplier = layer->multipliers[o];
        to.shift = layer->shifts[o];
#if ASC_MODEL_HOST
        to.factor = layer->factors ? layer->factors[2 * o] : 0.0f;
        to.summand = layer->factors ? layer->factors[2 * o + 1] : 0.0f;
#endif
        const uint32_t plane = step->depthwise ? o / step->depthwise * step->plane_bytes : 0;
        AscTaps taps = asc_no_taps(acc + plan->acc_values, plan->max_taps, corner + plane);
        asc_unpack(&reader, layer, n_positions, &taps);
        make_plane(&output, acc, run, pitch, step->pool > 1, &taps, &to);
    }
}

/* What a dense layer keeps from piece to piece: how far its weights are read, and a sum for each output. */
typedef struct {
    uint32_t n_values, n_positions, bits;
    int32_t sums[1];
} DenseState;

/* Adds one input column to the sums. Weights stand in the order column, output, channel, row. */
static ASC_NOINLINE void add_column(int32_t *sum, AscTapReader *from, const AscPiece *piece, const uint8_t *column)
{
    const uint8_t encoding = piece->layer->encoding;
    const uint32_t n_inputs = piece->step->n_taps;
    AscTapReader reader = *from;
    const int8_t *end = reader.value + asc_next_count(&reader, piece->layer);
    uint32_t n_left = piece->step->n_positions;
    uint32_t input = 0;
    while (reader.value < end) {
        input += asc_next_distance(&reader, encoding);
        for (; input > n_inputs; input -= n_inputs) {
            sum++;
            n_left -= n_inputs;
        }
        *sum += *reader.value++ * (int32_t)column[input - 1];
    }
    asc_skip_rest(&reader, encoding, n_left - input);
    *from = reader;
}

#if ASC_MODEL_HOST
/* The same where every weight is there: zeros are multiplied, sixteen to sixty-four at a time. */
static void add_whole_column(int32_t *restrict sums, AscTapReader *reader, const AscPiece *piece,
                             const uint8_t *restrict column)
{
    const uint32_t n_inputs = piece->step->n_taps;
    const int8_t *restrict weights = reader->value;
    for (uint32_t o = 0; o < piece->step->n_rows; o++, weights += n_inputs) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < n_inputs; i++) {
            sum += weights[i] * (int32_t)column[i];
        }
        sums[o] += sum;
    }
    reader->value = weights;
    reader->count += piece->layer->wide_counts ? 2 : 1;
}
#endif

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
        asc_copy(gathered + plane * from->n_rows, asc_input_at(piece, plane, from->pad_left + column), from->n_rows);
    }
    return gathered;
}

void asc_run_dense(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const AscBuffer *buffers = piece->member->plan->buffers;
    uint8_t *arena = (uint8_t *)piece->model->arena;
    DenseState *state = (DenseState *)(void *)(arena + buffers[step->second_input].at);
    AscTapReader reader = asc_open_taps(layer, step);
    if (piece->first == 0) {
        memcpy(state->sums, layer->bias, step->n_rows * sizeof state->sums[0]);
    } else {
        reader.value += state->n_values;
        reader.position += state->n_positions;
        reader.count += layer->wide_counts ? 2 * piece->first : piece->first;
        reader.bits = state->bits;
    }
    for (uint32_t i = 0; i < piece->n; i++) {
        const uint8_t *column = gathered_column(piece, piece->first + i);
#if ASC_MODEL_HOST
        if (layer->encoding == ASC_ALL) {
            add_whole_column(state->sums, &reader, piece, column);
            continue;
        }
#endif
        add_column(state->sums, &reader, piece, column);
    }
    state->n_values = (uint32_t)(reader.value - layer->values);
    state->n_positions = (uint32_t)(reader.position - layer->positions);
    state->bits = reader.bits;
    if (piece->first + piece->n < step->n_columns) {
        return;
    }
    uint8_t *output = arena + buffers[step->output].at;
    for (uint32_t o = 0; o < step->n_rows; o++) {
        const int32_t value = asc_rescale(state->sums[o], layer->multipliers[o], layer->shifts[o]);
        output[o] = (uint8_t)asc_clamp(value + layer->output_zero, layer->low, layer->high);
    }
}
