/* The ring of frames and the order of events. See asc.h. */
#include "asc.h"

#include <string.h>

#define INITIALISED 0x61736331u

struct aligned {
    char first;
    AscState state;
};

static int is_place(const AscState *state)
{
    return state != NULL && (uintptr_t)state % offsetof(struct aligned, state) == 0;
}

static int usable(const AscState *state)
{
    return is_place(state) && state->initialised == INITIALISED;
}

static void forget_sound(AscState *state)
{
    asc_frontend_reset(&state->frontend);
    state->head = state->n_held = state->n_new = state->n_since = 0;
    state->lost = 0;
}

int asc_init_sized(AscState *state, size_t n_bytes)
{
    if (!is_place(state) || n_bytes != sizeof *state)
        return ASC_ERROR;
    forget_sound(state);
    state->n_dropped = 0;
    state->member = -1;
    state->has_result = 0;
    state->initialised = INITIALISED;
    return ASC_DONE;
}

/* Whether the ring has a place for one more frame outside the window that is being classified. */
static int has_room(const AscState *state)
{
    if (state->member < 0)
        return 1;
    uint32_t room = ASC_SPARE_FRAMES;
    if (state->member == ASC_MODEL_N_MEMBERS - 1)
        room += asc_model_frames_read(&state->model);
    return state->n_since < room;
}

static void keep_frame(AscState *state, const asc_db db[ASC_N_MELS])
{
    int8_t *column = state->columns + state->head * ASC_N_MELS;
    asc_db loudest = db[0];
    for (int band = 0; band < ASC_N_MELS; band++) {
        column[band] = asc_frontend_quantise(db[band]);
        loudest = db[band] > loudest ? db[band] : loudest;
    }
    state->floors[state->head] = asc_frontend_floor(loudest);
    state->head = state->head + 1 == ASC_RING_FRAMES ? 0 : state->head + 1;
    state->n_held += state->n_held < ASC_RING_FRAMES;
    state->n_new += state->n_new < UINT32_MAX;
    state->n_since++;
}

static int drop(AscState *state, size_t n)
{
    const uint32_t most = UINT32_MAX - state->n_dropped;
    state->n_dropped += n < most ? (uint32_t)n : most;
    state->lost = 1;
    return ASC_DROPPED;
}

int asc_push(AscState *state, const int16_t *samples, size_t n)
{
    if (!usable(state) || (samples == NULL && n > 0))
        return ASC_ERROR;
    if (state->lost && state->member >= 0)
        return drop(state, n);
    while (n > 0) {
        asc_db db[ASC_N_MELS];
        int complete;
        const size_t taken = asc_frontend_push(&state->frontend, samples, n, db, &complete);
        samples += taken;
        n -= taken;
        if (complete && !has_room(state))
            return drop(state, n + ASC_HOP_LENGTH);
        if (complete)
            keep_frame(state, db);
    }
    return ASC_DONE;
}

uint32_t asc_ready(const AscState *state)
{
    return usable(state) && state->n_held >= ASC_N_FRAMES ? state->n_new : 0;
}

int asc_busy(const AscState *state)
{
    return usable(state) && state->member >= 0;
}

static void begin(AscState *state)
{
    const uint32_t first = (state->head + ASC_RING_FRAMES - ASC_N_FRAMES) % ASC_RING_FRAMES;
    int8_t floor = INT8_MIN;
    for (uint32_t i = 0; i < ASC_N_FRAMES; i++) {
        const int8_t other = state->floors[(first + i) % ASC_RING_FRAMES];
        floor = other > floor ? other : floor;
    }
    state->window = (AscWindow){state->columns, ASC_RING_FRAMES, first, floor};
    state->n_new = state->n_since = 0;
    state->member = 0;
    asc_model_begin(&state->model, 0);
}

static void finish(AscState *state)
{
    float sum[ASC_MODEL_N_LABELS] = {0};
    for (int member = 0; member < ASC_MODEL_N_MEMBERS; member++) {
        float real[ASC_MODEL_N_LABELS];
        asc_model_dequantise(member, state->member_outputs[member], real);
        for (int label = 0; label < ASC_MODEL_N_LABELS; label++)
            sum[label] += real[label];
    }
    for (int label = 0; label < ASC_MODEL_N_LABELS; label++)
        state->probabilities[label] = sum[label] / (float)ASC_MODEL_N_MEMBERS;
    memcpy(state->outputs, state->member_outputs, sizeof state->outputs);
    state->has_result = 1;
    state->member = -1;
    if (state->lost)
        forget_sound(state);
}

int asc_step(AscState *state, uint32_t budget)
{
    if (!usable(state))
        return ASC_ERROR;
    if (state->member < 0) {
        if (asc_ready(state) == 0)
            return ASC_NOT_READY;
        begin(state);
    }
    state->window.columns = state->columns; /* the state may have been moved */
    const int status = asc_model_step(&state->model, &state->window, budget);
    if (status != ASC_MODEL_DONE)
        return status == ASC_MODEL_MORE ? ASC_MORE : ASC_ERROR;
    asc_model_output(&state->model, state->member_outputs[state->member]);
    if (++state->member < ASC_MODEL_N_MEMBERS) {
        asc_model_begin(&state->model, state->member);
        return ASC_MORE;
    }
    finish(state);
    return ASC_DONE;
}

int asc_classify(AscState *state)
{
    int status;
    do
        status = asc_step(state, UINT32_MAX);
    while (status == ASC_MORE);
    return status;
}

const float *asc_probabilities(const AscState *state)
{
    return usable(state) && state->has_result ? state->probabilities : NULL;
}

int asc_label_index(const AscState *state)
{
    const float *probabilities = asc_probabilities(state);
    int best = probabilities == NULL ? -1 : 0;
    for (int label = 1; best >= 0 && label < ASC_MODEL_N_LABELS; label++)
        if (probabilities[label] > probabilities[best])
            best = label;
    return best;
}

const char *asc_label(const AscState *state)
{
    const int best = asc_label_index(state);
    return best < 0 ? NULL : asc_model_labels[best];
}
