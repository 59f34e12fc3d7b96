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

static inline Range inside(uint32_t output, uint32_t stride, uint32_t before, uint32_t size, uint32_t limit)
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

static void average_column(const AscPiece *piece, uint32_t i, Range columns)
{
    const AscStep *step = piece->step;
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        uint8_t *to = asc_output_at(piece, plane, i);
        for (uint32_t row = 0; row < step->n_rows; row++) {
            const Range rows = inside(row, step->row_stride, step->top, step->kernel_rows, input_of(piece)->n_rows);
            to[row] = average(piece, plane, columns, rows);
        }
    }
}

/* Takes every `stride`-th of the values, within the clamp. */
static inline void take_rows(uint8_t *to, const uint8_t *from, uint32_t n, uint32_t stride, const AscLayer *layer)
{
    if (layer->low > 0 || layer->high < 255) {
        for (uint32_t i = 0; i < n; i++) {
            to[i] = (uint8_t)asc_clamp(from[i * stride], layer->low, layer->high);
        }
    } else if (stride == 1) {
        asc_copy(to, from, n);
    } else {
        for (const uint8_t *end = to + n; to < end; from += stride) {
            *to++ = *from;
        }
    }
}

#if ASC_HAS_QUADS || ASC_HAS_NEON
/* One column of a plane, as many rows of the output at a time as sixteen of the input suffice for. */
static void maximum_by_blocks(const AscPiece *piece, uint8_t *to, const uint8_t *plane, uint32_t n_columns)
{
    const AscStep *step = piece->step;
    const uint32_t pitch = asc_pitch(input_of(piece));
    const uint32_t n_rows = input_of(piece)->n_rows;
    const uint32_t n_block = (16u - step->kernel_rows) / step->row_stride + 1u;
    uint8_t values[32];
    for (uint32_t row = 0; row < step->n_rows; row += n_block) {
        const uint32_t begin = row * step->row_stride; /* counted from the padding above */
        const uint32_t above = begin < step->top ? step->top - begin : 0;
        const uint32_t first = begin + above - step->top;
        const uint32_t there = n_rows - first < 16 - above ? n_rows - first : 16 - above;
        const uint32_t left = step->n_rows - row;
        asc_maximum_of_short(values, plane + first, n_columns, pitch, there, above, step->kernel_rows, step->row_stride);
        take_rows(to + row, values, left < n_block ? left : n_block, 1, piece->layer);
    }
}
#endif

/* First over the columns, for all rows at once, then over the rows. 0 is below everything, so rows outside are 0. */
static void maximum_column(const AscPiece *piece, uint32_t i, Range columns)
{
    const AscStep *step = piece->step;
    const AscBuffer *buffer = input_of(piece);
    const AscBuffer *output = &piece->member->plan->buffers[step->output];
    const uint32_t n_rows = buffer->n_rows;
    const uint32_t n_whole = (n_rows + 3) & ~3u; /* in words; what is read too much is cleared */
    const uint32_t n_above = (step->top + n_rows + 3) & ~3u;
    const uint32_t n_below = (step->kernel_rows + 6u) & ~3u;
    const uint32_t pitch = asc_pitch(buffer);
    const uint32_t n_columns = columns.end - columns.begin;
    const uint32_t kernel_rows = step->kernel_rows;
    const uint8_t *plane = asc_input_at(piece, 0, buffer->pad_left + columns.begin);
    uint8_t *to = asc_output_at(piece, 0, i);
    uint8_t *above = (uint8_t *)piece->model->arena;
    uint8_t *largest = above + step->top;
#if ASC_HAS_MVE || ASC_HAS_QUADS || ASC_HAS_NEON
    if (step->top + n_rows <= 16 && kernel_rows <= 16 && step->row_stride <= 2) {
        for (uint32_t left = step->n_planes; left > 0; left--) {
            uint8_t *values = largest;
            asc_maximum_of_short(values, plane, n_columns, pitch, n_rows, step->top, kernel_rows, step->row_stride);
            take_rows(to, values, step->n_rows, 1, piece->layer);
            plane += buffer->n_slots * pitch;
            to += output->n_slots * asc_pitch(output);
        }
        return;
    }
#endif
#if ASC_HAS_QUADS || ASC_HAS_NEON
    if (kernel_rows <= 8 && step->row_stride <= 2) {
        for (uint32_t left = step->n_planes; left > 0; left--) {
            maximum_by_blocks(piece, to, plane, n_columns);
            plane += buffer->n_slots * pitch;
            to += output->n_slots * asc_pitch(output);
        }
        return;
    }
#endif
    for (uint32_t left = step->n_planes; left > 0; left--) {
        const uint8_t *from = plane;
        asc_clear(above, (step->top + 3u) & ~3u);
        asc_copy(largest, from, n_whole);
        for (uint32_t column = 1; column < n_columns; column++) {
            from += pitch;
            asc_maximum(largest, from, n_whole);
        }
        asc_clear(largest + n_rows, n_below);
        for (uint32_t more = 1; more < kernel_rows; more++) {
            asc_maximum(above, above + 1, n_above);
        }
        take_rows(to, above, step->n_rows, step->row_stride, piece->layer);
        plane += buffer->n_slots * pitch;
        to += output->n_slots * asc_pitch(output);
    }
}

static void run_pool(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    for (uint32_t i = 0; i < piece->n; i++) {
        const Range columns = inside(piece->first + i, step->stride, step->left, step->reach, input_of(piece)->n_columns);
        if (step->kind == ASC_MAX) {
            maximum_column(piece, i, columns);
        } else {
            average_column(piece, i, columns);
        }
    }
}

/* One frame of the window, as stored values within the clamp. */
static const uint8_t *window_column(const AscPiece *piece, uint32_t frame)
{
    const AscWindow *window = piece->window;
    const uint32_t after = window->first + frame;
    const uint32_t column = after < window->capacity ? after : after - window->capacity;
    const uint8_t *from = (const uint8_t *)window->columns + (size_t)column * ASC_MODEL_N_MELS;
    uint8_t *to = (uint8_t *)piece->model->arena;
    asc_offset_and_raise(to, from, ASC_MODEL_N_MELS, (uint8_t)(window->floor + 128));
    return to;
}

/* One column of an output plane: every `stride`-th row of the source from `row` on, fill where there is none. */
static void stage_rows(uint8_t *to, uint32_t n, const uint8_t *from, int32_t row, int32_t n_rows, int32_t stride,
                       uint8_t fill)
{
    const uint8_t *end = to + n;
    for (; to < end && row < 0; row += stride) {
        *to++ = fill;
    }
    if (stride == 1) {
        const int32_t left = (int32_t)(end - to);
        const int32_t there = n_rows - row < left ? n_rows - row : left;
        if (there > 0) {
            asc_copy(to, from + row, (uint32_t)there);
            to += there;
            row += there;
        }
    }
    for (; to < end && row < n_rows; row += stride) {
        *to++ = from[row];
    }
    while (to < end) {
        *to++ = fill;
    }
}

/* Copies channels, one output plane for each phase of rows and columns. The window is one channel. */
static void run_stage(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const int from_window = step->input == ASC_WINDOW;
    const int32_t n_columns = from_window ? ASC_MODEL_N_FRAMES : input_of(piece)->n_columns;
    const int32_t n_rows = from_window ? ASC_MODEL_N_MELS : input_of(piece)->n_rows;
    const uint8_t fill = piece->member->fills[step->output];
    const uint32_t n_phases = (uint32_t)step->row_phases * step->column_phases;
    for (uint32_t plane = 0; plane < step->n_planes; plane += step->row_phases * step->column_phases) {
        for (uint32_t i = 0; i < piece->n * step->column_phases; i++) {
            const uint32_t output = i / step->column_phases;
            const uint32_t column_phase = i % step->column_phases;
            const int32_t column = (int32_t)(piece->first * step->column_phases + i) - step->left;
            const int is_there = column >= 0 && column < n_columns;
            const uint8_t *from = NULL;
            if (is_there) {
                from = from_window ? window_column(piece, (uint32_t)column)
                                   : asc_input_at(piece, plane / n_phases, input_of(piece)->pad_left + (uint32_t)column);
            }
            for (uint32_t row_phase = 0; row_phase < step->row_phases; row_phase++) {
                uint8_t *to = asc_output_at(piece, plane + row_phase * step->column_phases + column_phase, output);
                stage_rows(to, step->n_rows, from, (int32_t)row_phase - step->top, is_there ? n_rows : 0,
                           step->row_phases, fill);
            }
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

static inline uint8_t stored(int32_t value, const AscLayer *layer)
{
    return (uint8_t)asc_clamp(value + layer->output_zero, layer->low, layer->high);
}

#if ASC_MODEL_HOST
/* A plane by way of a table of what becomes of each byte, where there are more bytes than the table takes. */
static int affine_by_table(const AscPiece *piece, uint32_t plane, const AscAffine *affine)
{
    uint8_t table[256];
    const uint32_t n_rows = piece->step->n_rows;
    if (piece->n * n_rows < 2 * sizeof table) {
        return 0;
    }
    for (uint32_t i = 0; i < sizeof table; i++) {
        table[i] = (uint8_t)i;
    }
    asc_affine(table, table, sizeof table, affine);
    for (uint32_t i = 0; i < piece->n; i++) {
        uint8_t *to = asc_output_at(piece, plane, i);
        const uint8_t *from = asc_input_at(piece, plane, input_of(piece)->pad_left + piece->first + i);
        for (uint32_t row = 0; row < n_rows; row++) {
            to[row] = table[from[row]];
        }
    }
    return 1;
}
#endif

/* multipliers, shifts: those of the sum (two inputs, result), then that of the product.
   bias: zero, low and high of the product; then for each channel the factor and the summand, scaled already. */
static void run_affine(const AscPiece *piece)
{
    const AscStep *step = piece->step;
    const AscLayer *layer = piece->layer;
    const uint32_t pad_left = input_of(piece)->pad_left;
    const int32_t *constants = layer->bias + 3;
    const int to_the_left = layer->shifts[3] > 0 ? layer->shifts[3] : 0;
    AscAffine affine = {
        .operand = asc_factor(layer->multipliers[0], layer->shifts[0]),
        .sum = asc_factor(layer->multipliers[2], layer->shifts[2]),
        .product = asc_factor(layer->multipliers[3], layer->shifts[3] - to_the_left),
        .times = layer->encoding & ASC_TIMES,
        .plus = layer->encoding & ASC_PLUS,
        .zero = layer->zero,
        .middle_low = layer->bias[1] - layer->bias[0],
        .middle_high = layer->bias[2] - layer->bias[0],
        .output_zero = layer->output_zero,
        .low = layer->low,
        .high = layer->high,
    };
    for (uint32_t plane = 0; plane < step->n_planes; plane++, constants += 2) {
        affine.constant = constants[0] * (1 << to_the_left);
        affine.summand = constants[1];
#if ASC_MODEL_HOST
        if (affine_by_table(piece, plane, &affine)) {
            continue;
        }
#endif
        for (uint32_t i = 0; i < piece->n; i++) {
            asc_affine(asc_output_at(piece, plane, i), asc_input_at(piece, plane, pad_left + piece->first + i),
                       step->n_rows, &affine);
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
    const AscFactor operands[2] = {asc_factor(layer->multipliers[0], layer->shifts[0]),
                                   asc_factor(layer->multipliers[1], layer->shifts[1])};
    const AscFactor sum = asc_factor(layer->multipliers[2], layer->shifts[2]);
    for (uint32_t plane = 0; plane < step->n_planes; plane++) {
        for (uint32_t i = 0; i < piece->n; i++) {
            const uint32_t column = piece->first + i;
            const uint8_t *a = asc_input_at(piece, plane, input_of(piece)->pad_left + column);
            const uint8_t *b = asc_at(piece->model, second, second_held, plane, second->pad_left + column);
            uint8_t *to = asc_output_at(piece, plane, i);
            for (uint32_t row = 0; row < step->n_rows; row++) {
                const int32_t x = asc_times((a[row] - layer->zero) * (1 << 20), operands[0]);
                const int32_t y = asc_times((b[row] - layer->bias[0]) * (1 << 20), operands[1]);
                to[row] = stored(asc_times(x + y, sum), layer);
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
