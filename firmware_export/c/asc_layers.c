/* Every operator but convolution and fully connected. None of them is hot: they are written to be read. */
#include "asc_kernel.h"

static const AscBuffer *input_of(const AscPiece *piece)
{
    return &piece->member->plan->buffers[piece->step->input];
}

/* The part of a kernel that lies inside its input. */
typedef struct {
    uint32_t begin, end;
} Range;

static Range inside(uint32_t output, uint32_t stride, uint32_t before, uint32_t size, uint32_t limit)
{
    const uint32_t begin = output * stride;
    const uint32_t end = begin + size > before ? begin + size - before : 0;
    const Range range = {begin > before ? begin - before : 0, end < limit ? end : limit};
    return range;
}

static uint8_t average(const AscPiece *piece, uint32_t plane, Range columns, Range rows)
{
    const uint32_t pad_left = input_of(piece)->pad_left;
    const int32_t n = (int32_t)((columns.end - columns.begin) * (rows.end - rows.begin));
    int32_t sum = 0;
    for (uint32_t column = columns.begin; column < columns.end; column++) {
        const uint8_t *from = asc_input_at(piece, plane, pad_left + column);
        for (uint32_t row = rows.begin; row < rows.end; row++) {
            sum += (int32_t)from[row] - 128;
        }
    }
    const int32_t mean = (sum > 0 ? sum + n / 2 : sum - n / 2) / n;
    return (uint8_t)asc_clamp(mean + 128, piece->layer->low, piece->layer->high);
}

static void average_column(const AscPiece *piece, uint32_t plane, Range columns, uint8_t *to)
{
    const AscStep *step = piece->step;
    for (uint32_t row = 0; row < step->n_rows; row++) {
        const Range rows = inside(row, step->row_stride, step->top, step->kernel_rows, input_of(piece)->n_rows);
        to[row] = average(piece, plane, columns, rows);
    }
}

static void clear(uint8_t *bytes, uint32_t n)
{
    for (; n > 0; n--) {
        *bytes++ = 0;
    }
}

/* First over the columns, for all rows at once, then over the rows. 0 is below everything, so rows outside are 0. */
static void maximum_column(const AscPiece *piece, uint32_t plane, Range columns, uint8_t *to)
{
    const AscStep *step = piece->step;
    const AscBuffer *buffer = input_of(piece);
    const uint32_t n_rows = buffer->n_rows;
    const uint32_t n_whole = (n_rows + 3) & ~3u; /* in words; what is read too much is cleared */
    const uint32_t pitch = asc_pitch(buffer);
    const uint8_t *from = asc_input_at(piece, plane, buffer->pad_left + columns.begin);
    uint8_t *above = (uint8_t *)piece->model->arena;
    uint8_t *largest = above + step->top;
    clear(above, step->top);
    asc_copy(largest, from, n_whole);
    for (uint32_t column = columns.begin + 1; column < columns.end; column++) {
        from += pitch;
        asc_maximum(largest, from, n_whole);
    }
    clear(largest + n_rows, step->kernel_rows + 3u);
    for (uint32_t more = 1; more < step->kernel_rows; more++) {
        asc_maximum(above, above + 1, (step->top + n_rows + 3) & ~3u);
    }
    const uint8_t low = piece->layer->low;
    const uint8_t high = piece->layer->high;
    const uint32_t row_stride = step->row_stride;
    for (const uint8_t *end = to + step->n_rows; to < end; to++, above += row_stride) {
        *to = *above < low ? low : *above > high ? high : *above;
    }
}

static void run_pool(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const uint32_t n_columns = input_of(piece)->n_columns;
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        for (uint32_t i = 0; i < piece->n; i++) {
            const Range columns = inside(piece->first + i, step->stride, step->left, step->reach, n_columns);
            uint8_t *to = asc_output_at(piece, plane, i);
            if (step->kind == ASC_MAX) {
                maximum_column(piece, plane, columns, to);
            } else {
                average_column(piece, plane, columns, to);
            }
        }
    }
}

static uint8_t window_value(const AscWindow *window, uint32_t frame, uint32_t band)
{
    const uint32_t after = window->first + frame;
    const uint32_t column = after < window->capacity ? after : after - window->capacity;
    const int8_t stored = window->columns[(size_t)column * ASC_MODEL_N_MELS + band];
    return (uint8_t)((stored > window->floor ? stored : window->floor) + 128);
}

/* One column of a stage: `column` of the source, every row_phases-th row from `row` on. */
static void stage_column(const AscPiece *piece, uint8_t *to, uint32_t channel, int32_t column, int32_t row)
{
    const AscStep *step = piece->step;
    const int from_window = step->input == ASC_WINDOW;
    const int32_t n_columns = from_window ? ASC_MODEL_N_FRAMES : input_of(piece)->n_columns;
    const int32_t n_rows = from_window ? ASC_MODEL_N_MELS : input_of(piece)->n_rows;
    const uint8_t fill = piece->member->fills[step->output];
    if (column < 0 || column >= n_columns) {
        memset(to, fill, step->n_rows);
        return;
    }
    const uint8_t *from =
        from_window ? NULL : asc_input_at(piece, channel, input_of(piece)->pad_left + (uint32_t)column);
    for (uint32_t i = 0; i < step->n_rows; i++, row += step->row_phases) {
        if (row < 0 || row >= n_rows) {
            to[i] = fill;
        } else {
            to[i] = from_window ? window_value(piece->window, (uint32_t)column, (uint32_t)row) : from[row];
        }
    }
}

static void run_stage(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        const uint32_t phase = plane % ((uint32_t)step->row_phases * step->column_phases);
        const uint32_t channel = plane / ((uint32_t)step->row_phases * step->column_phases);
        const int32_t row = (int32_t)(phase / step->column_phases) - step->top;
        for (uint32_t i = 0; i < piece->n; i++) {
            const uint32_t column = (piece->first + i) * step->column_phases + phase % step->column_phases;
            stage_column(piece, asc_output_at(piece, plane, i), channel, (int32_t)column - step->left, row);
        }
    }
}

static void run_flatten(const AscPiece *piece)
{
    const AscBuffer *from = input_of(piece);
    uint8_t *to = asc_output_at(piece, 0, 0);
    const uint32_t n_channels = piece->step->n_rows / ((uint32_t)from->n_rows * from->n_columns);
    for (uint32_t row = 0; row < from->n_rows; row++) {
        for (uint32_t column = 0; column < from->n_columns; column++) {
            for (uint32_t channel = 0; channel < n_channels; channel++) {
                *to++ = asc_input_at(piece, channel, from->pad_left + column)[row];
            }
        }
    }
}

/* TFLite's sum: inputs are taken in 1 / 2^20 of a step of the larger scale. */
static int32_t add_scaled(int32_t a, int32_t b, const AscLayer *layer)
{
    return asc_shift_right(asc_multiply_high(a + b, layer->multipliers[2]), -layer->shifts[2]);
}

static int32_t scaled_operand(int32_t value, int32_t multiplier, int shift)
{
    return asc_shift_right(asc_multiply_high(value * (1 << 20), multiplier), -shift);
}

static uint8_t stored(int32_t value, const AscLayer *layer)
{
    return (uint8_t)asc_clamp(value + layer->output_zero, layer->low, layer->high);
}

/* multipliers, shifts: those of the sum (two inputs, result), then that of the product.
   bias: zero, low and high of the product; then for each channel the factor and the summand, scaled already. */
static void run_affine(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const uint32_t pad_left = input_of(piece)->pad_left;
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        const int32_t *constants = layer->bias + 3 + 2 * plane;
        for (uint32_t i = 0; i < piece->n; i++) {
            const uint8_t *from = asc_input_at(piece, plane, pad_left + piece->first + i);
            uint8_t *to = asc_output_at(piece, plane, i);
            for (uint32_t row = 0; row < step->n_rows; row++) {
                int32_t value = (int32_t)from[row] - layer->zero;
                if (layer->encoding & ASC_TIMES) {
                    value = asc_rescale(value * constants[0], layer->multipliers[3], layer->shifts[3]);
                    value = asc_clamp(value + layer->bias[0], layer->bias[1], layer->bias[2]) - layer->bias[0];
                }
                if (layer->encoding & ASC_PLUS) {
                    const int32_t a = scaled_operand(value, layer->multipliers[0], layer->shifts[0]);
                    value = add_scaled(a, constants[1], layer);
                }
                to[row] = stored(value, layer);
            }
        }
    }
}

/* bias[0]: the second input's zero. */
static void run_add(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const AscBuffer *second = &piece->member->plan->buffers[step->second_input];
    const uint32_t second_held = piece->model->first_held[step->second_input];
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        for (uint32_t i = 0; i < piece->n; i++) {
            const uint32_t column = piece->first + i;
            const uint8_t *a = asc_input_at(piece, plane, input_of(piece)->pad_left + column);
            const uint8_t *b = asc_at(piece->model, second, second_held, plane, second->pad_left + column);
            uint8_t *to = asc_output_at(piece, plane, i);
            for (uint32_t row = 0; row < step->n_rows; row++) {
                const int32_t x = scaled_operand(a[row] - layer->zero, layer->multipliers[0], layer->shifts[0]);
                const int32_t y = scaled_operand(b[row] - layer->bias[0], layer->multipliers[1], layer->shifts[1]);
                to[row] = stored(add_scaled(x, y, layer), layer);
            }
        }
    }
}

static void run_rescale(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        for (uint32_t i = 0; i < piece->n; i++) {
            const uint8_t *from = asc_input_at(piece, plane, input_of(piece)->pad_left + piece->first + i);
            uint8_t *to = asc_output_at(piece, plane, i);
            for (uint32_t row = 0; row < step->n_rows; row++) {
                const int32_t value = (int32_t)from[row] - layer->zero;
                to[row] = stored(asc_rescale(value, layer->multipliers[0], layer->shifts[0]), layer);
            }
        }
    }
}

uint32_t asc_piece_work(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    if (step->kind == ASC_CONV) {
        return piece->layer->n_values * piece->n * step->pool * step->n_rows * step->pool;
    }
    if (step->kind == ASC_DENSE) {
        return piece->layer->n_values * piece->n / step->n_columns;
    }
    return piece->n * step->n_planes * step->n_rows;
}

void asc_run_piece(const AscPiece *piece)
{
    switch (piece->step->kind) {
    case ASC_CONV:
        asc_run_conv(piece);
        break;
    case ASC_DENSE:
        asc_run_dense(piece);
        break;
    case ASC_MAX:
    case ASC_AVERAGE:
        run_pool(piece);
        break;
    case ASC_STAGE:
        run_stage(piece);
        break;
    case ASC_FLATTEN:
        run_flatten(piece);
        break;
    case ASC_AFFINE:
        run_affine(piece);
        break;
    case ASC_ADD:
        run_add(piece);
        break;
    case ASC_RESCALE:
        run_rescale(piece);
        break;
    default:
        asc_run_softmax(piece);
        break;
    }
}
