/* Which piece runs next, and the columns that buffers hold. The rule is the planner's (planning/plan.py): of all steps with
   enough input, the last one runs. Its simulation gave every buffer the columns it needs here. */
#include "asc_kernel.h"

enum { NOTHING_HELD = 0xFFFF };

static const AscMember *member_of(const AscModel *model)
{
    return model != NULL && model->member >= 0 && model->member < ASC_MODEL_N_MEMBERS ? &asc_model_data[model->member]
                                                                                        : NULL;
}

static const AscStep *last_step(const AscMember *member)
{
    return &member->plan->steps[member->plan->n_steps - 1];
}

static int is_done(const AscModel *model, const AscMember *member)
{
    return model->n_done[member->plan->n_steps - 1] == last_step(member)->n_columns;
}

int asc_model_begin(AscModel *model, int member)
{
    if (model == NULL || member < 0 || member >= ASC_MODEL_N_MEMBERS) {
        return ASC_MODEL_ERROR;
    }
    model->member = (int16_t)member;
    model->start = (uint16_t)(asc_model_data[member].plan->n_steps - 1);
    memset(model->n_written, 0, sizeof model->n_written);
    memset(model->n_done, 0, sizeof model->n_done);
    for (int b = 0; b < ASC_MODEL_N_BUFFERS; b++) {
        model->first_held[b] = NOTHING_HELD;
    }
    return 0;
}

/* Output columns that the input suffices for, those already made included. */
static uint32_t n_ready(const AscModel *model, const AscPlan *plan, const AscStep *step, uint8_t input)
{
    if (input == ASC_WINDOW) {
        return step->n_columns;
    }
    const AscBuffer *buffer = &plan->buffers[input];
    const uint32_t have = model->n_written[input];
    if (have >= (uint32_t)buffer->n_columns) {
        return step->n_columns;
    }
    if (have + step->left < step->reach) {
        return 0;
    }
    const uint32_t n = (have + step->left - step->reach) / step->stride + 1;
    return n < step->n_columns ? n : step->n_columns;
}

/* The step to run and how many columns of it; 0 columns if none can (which no plan lets happen). Only the readers of what
   the last piece wrote can have become ready since it was chosen: `start` is the last of them. */
static uint32_t choose(const AscModel *model, const AscPlan *plan, int *chosen)
{
    for (int s = model->start; s >= 0; s--) {
        const AscStep *step = &plan->steps[s];
        const uint32_t done = model->n_done[s];
        if (done == step->n_columns) {
            continue;
        }
        uint32_t ready = n_ready(model, plan, step, step->input);
        if (step->kind == ASC_ADD) {
            const uint32_t second = n_ready(model, plan, step, step->second_input);
            ready = second < ready ? second : ready;
        }
        if (ready >= done + step->chunk) {
            *chosen = s;
            return step->chunk;
        }
        if (ready == step->n_columns) {
            *chosen = s;
            return ready - done;
        }
    }
    return 0;
}

/* The first column, padding counted, that a later piece reads from buffer b. Its readers stand behind its writers. */
static uint32_t first_needed(const AscModel *model, const AscPlan *plan, int b)
{
    const uint32_t pad_left = plan->buffers[b].pad_left;
    uint32_t needed = UINT32_MAX;
    for (int s = plan->buffers[b].last_reader; s >= 0 && plan->steps[s].output != b; s--) {
        const AscStep *step = &plan->steps[s];
        const uint32_t done = model->n_done[s];
        if ((step->input == b || (step->kind == ASC_ADD && step->second_input == b)) && done < step->n_columns) {
            const uint32_t end = done * step->stride + pad_left;
            const uint32_t first = end > step->left ? end - step->left : 0;
            needed = first < needed ? first : needed;
        }
    }
    return needed;
}

/* Makes buffer b hold room up to virtual column `end`, dropping columns that nothing reads any more. */
static void make_room(AscModel *model, const AscMember *member, int b, uint32_t end, uint32_t held_end)
{
    const AscBuffer *buffer = &member->plan->buffers[b];
    const uint32_t pitch = asc_pitch(buffer);
    if (model->first_held[b] == NOTHING_HELD) {
        uint8_t *bytes = (uint8_t *)model->arena + buffer->at - buffer->row_pad;
        memset(bytes, member->fills[b], buffer->row_pad + (size_t)buffer->n_planes * buffer->n_slots * pitch);
        model->first_held[b] = 0;
    }
    const uint32_t held = model->first_held[b];
    if (end - held <= buffer->n_slots) {
        return;
    }
    uint32_t first = first_needed(model, member->plan, b);
    first = first < held_end ? first : held_end;
    const uint32_t n_bytes = (held_end - first) * pitch;
    if (n_bytes > 0) {
        uint8_t *to = asc_at(model, buffer, held, 0, held);
        for (uint32_t left = buffer->n_planes; left > 0; left--, to += buffer->n_slots * pitch) {
            asc_copy(to, to + (first - held) * pitch, n_bytes);
        }
    }
    model->first_held[b] = (uint16_t)first;
}

/* Columns on the right that are padding: filled when a piece first reads them. */
static void pad_right(AscModel *model, const AscMember *member, const AscStep *step, uint32_t first, uint32_t n)
{
    const int b = step->input;
    const AscBuffer *buffer = &member->plan->buffers[b];
    const uint32_t real_end = (uint32_t)buffer->pad_left + buffer->n_columns;
    const uint32_t end = buffer->pad_left + (first + n - 1) * step->stride + step->reach - step->left;
    if (end <= real_end) {
        return;
    }
    make_room(model, member, b, end, real_end);
    for (uint32_t plane = 0; plane < buffer->n_planes; plane++) {
        for (uint32_t column = real_end; column < end; column++) {
            memset(asc_at(model, buffer, model->first_held[b], plane, column), member->fills[b], buffer->n_rows);
        }
    }
}

/* Output columns that exist: a dense layer counts input columns and has its output after the last. */
static uint32_t n_finished(const AscStep *step, uint32_t done)
{
    return step->kind == ASC_DENSE ? done == step->n_columns : done;
}

/* The columns of b that any writer has finished (the furthest) or that all have (the least). */
static uint32_t progress(const AscModel *model, const AscPlan *plan, int b, int furthest)
{
    uint32_t result = 0;
    int found = 0;
    for (int s = 0; found < plan->buffers[b].n_writers; s++) {
        if (plan->steps[s].output == b) {
            const uint32_t done = n_finished(&plan->steps[s], model->n_done[s]);
            result = found++ == 0 || (done > result) == furthest ? done : result;
        }
    }
    return result;
}

static uint32_t run(AscModel *model, const AscMember *member, const AscWindow *window, int s, uint32_t n)
{
    const AscPlan *plan = member->plan;
    const AscStep *step = &plan->steps[s];
    const AscBuffer *output = &plan->buffers[step->output];
    const AscPiece piece = {model, member, step, &member->layers[s], window, model->n_done[s], n};
    if (step->kind == ASC_CONV) {
        pad_right(model, member, step, piece.first, n);
    }
    const uint32_t finished = n_finished(step, piece.first + n);
    const uint32_t held_end =
        output->n_writers == 1 ? n_finished(step, piece.first) : progress(model, plan, step->output, 1);
    make_room(model, member, step->output, output->pad_left + finished, output->pad_left + held_end);
    asc_run_piece(&piece);
    model->n_done[s] = (uint16_t)(piece.first + n);
    model->n_written[step->output] =
        (uint16_t)(output->n_writers == 1 ? finished : progress(model, plan, step->output, 0));
    model->start = output->last_reader > s ? output->last_reader : (uint16_t)s;
    return asc_piece_work(&piece);
}

int asc_model_step(AscModel *model, const AscWindow *window, uint32_t budget)
{
    const AscMember *member = member_of(model);
    if (member == NULL || window == NULL || window->columns == NULL || window->capacity < ASC_MODEL_N_FRAMES ||
        window->first >= window->capacity) {
        return ASC_MODEL_ERROR;
    }
    uint32_t spent = 0;
    while (!is_done(model, member)) {
        int s = 0;
        const uint32_t n = choose(model, member->plan, &s);
        if (n == 0) {
            return ASC_MODEL_ERROR;
        }
        spent += run(model, member, window, s, n);
        if (spent >= budget && !is_done(model, member)) {
            return ASC_MODEL_MORE;
        }
    }
    return ASC_MODEL_DONE;
}

int asc_model_output(const AscModel *model, int8_t output[ASC_MODEL_N_LABELS])
{
    const AscMember *member = member_of(model);
    if (member == NULL || output == NULL || !is_done(model, member)) {
        return ASC_MODEL_ERROR;
    }
    const AscBuffer *buffer = &member->plan->buffers[last_step(member)->output];
    const uint8_t *stored = (const uint8_t *)model->arena + buffer->at;
    for (int i = 0; i < ASC_MODEL_N_LABELS; i++) {
        output[i] = (int8_t)((int)stored[i] - 128);
    }
    return 0;
}

void asc_model_dequantise(int member, const int8_t output[ASC_MODEL_N_LABELS], float real[ASC_MODEL_N_LABELS])
{
    const AscMember *data = &asc_model_data[member];
    for (int i = 0; i < ASC_MODEL_N_LABELS; i++) {
        real[i] = data->output_scale * (float)(output[i] - data->output_zero);
    }
}

uint32_t asc_model_work(int member)
{
    return member >= 0 && member < ASC_MODEL_N_MEMBERS ? asc_model_data[member].work : 0;
}

uint32_t asc_model_frames_read(const AscModel *model)
{
    const AscMember *member = member_of(model);
    uint32_t least = ASC_MODEL_N_FRAMES;
    if (member == NULL) {
        return 0;
    }
    for (int s = 0; s < member->plan->n_steps; s++) {
        const AscStep *step = &member->plan->steps[s];
        const uint32_t next = (uint32_t)model->n_done[s] * step->stride;
        if (step->input == ASC_WINDOW && model->n_done[s] < step->n_columns) {
            const uint32_t first = next > step->left ? next - step->left : 0;
            least = first < least ? first : least;
        }
    }
    return least;
}
