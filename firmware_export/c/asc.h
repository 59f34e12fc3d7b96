/* Acoustic scene classification: samples in, a scene out.

       static AscState state;                                   (its size stands in the size report)
       asc_init(&state);
       for (;;) {
           if (a block of n samples has arrived)                (at ASC_SAMPLE_RATE_HZ, mono, int16)
               asc_push(&state, block, n);
           if (asc_busy(&state) || asc_ready(&state) >= ASC_FRAMES_PER_SECOND)
               if (asc_step(&state, 100000) == ASC_DONE)
                   use(asc_label(&state), asc_probabilities(&state));
       }

   The loop may wait for sound only while asc_busy() is 0: a classification takes many steps, and with one small step
   for each block it would end too late. (A loop that has to wait takes a larger budget: see asc_step.)

   All memory is in AscState: no allocation, no other variables, so that several states do not know of each other, and
   one may be moved or copied between two calls. Calls with the same state may not overlap in time (an interrupt should
   collect samples, not push them). Every call with wrong arguments or at the wrong time returns what is said below and
   changes nothing. */
#ifndef ASC_H
#define ASC_H

#include "asc_frontend.h"
#include "asc_model.h"

#include <stddef.h>
#include <stdint.h>

#if ASC_N_MELS != ASC_MODEL_N_MELS || ASC_N_FRAMES != ASC_MODEL_N_FRAMES
#error "asc_model_features.h and asc_model_config.h come from different bundles: export again"
#endif

#define ASC_RING_FRAMES (ASC_N_FRAMES + ASC_SPARE_FRAMES)
#define ASC_FRAMES_PER_SECOND ((ASC_SAMPLE_RATE_HZ + ASC_HOP_LENGTH / 2) / ASC_HOP_LENGTH)

enum {
    ASC_DONE = 0,
    ASC_MORE = 1,      /* asc_step: call again */
    ASC_NOT_READY = 2, /* no window that was not classified before */
    ASC_DROPPED = 3,   /* asc_push: samples were lost */
    ASC_ERROR = -1     /* a null or misaligned pointer, or a state that asc_init has not seen */
};

typedef struct {
    uint32_t initialised;
    uint32_t head;      /* where the next frame goes in the ring */
    uint32_t n_held;    /* complete frames in the ring without a gap */
    uint32_t n_new;     /* frames without a gap that no classification has begun with; stops at its largest value */
    uint32_t n_since;   /* frames that arrived since the classification under way began */
    uint32_t n_dropped; /* samples lost since asc_init; stops at its largest value */
    int32_t member;     /* the member under way, -1: no classification under way */
    int32_t lost;       /* samples were dropped: the ring starts anew when the classification ends */
    int32_t has_result;
    AscWindow window; /* what is being classified */
    int8_t member_outputs[ASC_MODEL_N_MEMBERS][ASC_MODEL_N_LABELS];  /* of the classification under way */
    int8_t outputs[ASC_MODEL_N_MEMBERS][ASC_MODEL_N_LABELS];         /* of the last finished one */
    float probabilities[ASC_MODEL_N_LABELS];                         /* of the last finished one */
    int8_t columns[ASC_RING_FRAMES * ASC_N_MELS];                    /* [frame][band], quantised, not clamped */
    int8_t floors[ASC_RING_FRAMES];                                  /* each frame's loudest band less top_db */
    AscFrontend frontend;
    AscModel model;
} AscState;

#ifdef __cplusplus
extern "C" {
#endif

/* What asc_init calls. */
int asc_init_sized(AscState *state, size_t n_bytes);

/* Must come first; may come again at any time to forget all. ASC_DONE or ASC_ERROR: also where the caller was compiled
   with another ASC_SPARE_FRAMES, or for another kind of floating point, than asc.c, and so takes an AscState for longer
   or shorter than it is. */
static inline int asc_init(AscState *state)
{
    return asc_init_sized(state, sizeof *state);
}

/* Takes n samples, n >= 0. Computes each frame in the call that brings its last sample: one call computes at most
   1 + n / ASC_HOP_LENGTH frames (110 000 instructions each on a Cortex-M4F). While a window is being classified,
   ASC_SPARE_FRAMES more frames find room, and more as the last member lets go of the window. After that samples are
   dropped until the classification ends, and the next window begins with the samples that follow: no window ever has
   a gap.
   ASC_DONE, ASC_DROPPED or ASC_ERROR (samples may be null if n is 0). */
int asc_push(AscState *state, const int16_t *samples, size_t n);

/* 0: no complete window yet. Otherwise, the frames by which the newest window is newer than the last one classified
   (or under way); before the first, all frames without a gap. 0 for a null pointer. */
uint32_t asc_ready(const AscState *state);

/* 1 while a classification is under way. */
int asc_busy(const AscState *state);

/* Works on the classification under way, or begins one with the newest window, for about `budget` multiplications (at
   least one piece: one operator over a few columns). A classification takes the sum of asc_model_work() over the
   members, and no step goes on into the next member: with one step for each of the B blocks of a second, it ends within
   a second from a budget of sum / (B - ASC_MODEL_N_MEMBERS) on.
   ASC_DONE when the classification is finished, ASC_MORE, ASC_NOT_READY if there is none under way and no new frame, or
   ASC_ERROR. */
int asc_step(AscState *state, uint32_t budget);

/* All the steps at once. ASC_DONE, ASC_NOT_READY or ASC_ERROR. */
int asc_classify(AscState *state);

/* The mean of the members' probabilities [ASC_MODEL_N_LABELS] for the last finished classification, valid until the next
   one finishes; null before the first. */
const float *asc_probabilities(const AscState *state);

/* The most probable label (the first of equals); null before the first classification. */
const char *asc_label(const AscState *state);

/* Its place in asc_model_labels; -1 before the first classification. */
int asc_label_index(const AscState *state);

#ifdef __cplusplus
}
#endif

#endif
