/* The members of the ensemble, run a bounded piece at a time over a window that nobody copies.

   This is the seam between the features and the networks: below it are generated tables (asc_model_data.c) and the
   kernels (asc_layers.c), above it is the public interface (asc.h). Generated constants come from
   asc_model_config.h:
     ASC_MODEL_N_MEMBERS, ASC_MODEL_N_LABELS, ASC_MODEL_N_MELS, ASC_MODEL_N_FRAMES   shapes, the same for all members
     ASC_MODEL_INPUT_SCALE (float), ASC_MODEL_INPUT_ZERO_POINT                       real = scale * (stored - zero point)
     ASC_MODEL_ARENA_BYTES                                                           what AscModel holds beside its state
     ASC_MODEL_BUNDLE                                                                a string that names what was exported
   No function here allocates, recurses or keeps state outside AscModel: two models in one program do not disturb each
   other. */
#ifndef ASC_MODEL_H
#define ASC_MODEL_H

#include "asc_model_config.h"

#include <stdint.h>

/* A window of quantised features, read in place. Frame i of the window (0 = oldest) is the column
   columns + ((first + i) % capacity) * ASC_MODEL_N_MELS, lowest band first. A member sees max(stored, floor): the
   clamp to top_db below the loudest value, applied while reading because only a whole window knows its loudest. */
typedef struct {
    const int8_t *columns; /* [capacity][ASC_MODEL_N_MELS] */
    uint32_t capacity;     /* frames in the ring, at least ASC_MODEL_N_FRAMES */
    uint32_t first;        /* below capacity */
    int8_t floor;
} AscWindow;

/* One run of one member. Only the arena is large; it holds nothing between one member's last step and the next
   asc_model_begin, when its owner may use it for something else. */
typedef struct {
    uint32_t arena[(ASC_MODEL_ARENA_BYTES + 3) / 4];
    uint16_t n_written[ASC_MODEL_N_BUFFERS]; /* columns that each buffer has received since asc_model_begin */
    uint16_t first_held[ASC_MODEL_N_BUFFERS]; /* the oldest column that each buffer still holds */
    uint16_t n_done[ASC_MODEL_N_STEPS];      /* columns that each operator has finished */
    uint16_t start;                          /* where the search for the next step to run begins */
    int16_t member;                          /* the member under way, -1: none */
} AscModel;

enum { ASC_MODEL_DONE = 0, ASC_MODEL_MORE = 1, ASC_MODEL_ERROR = -1 };

#ifdef __cplusplus
extern "C" {
#endif

/* Starts a member. Returns 0, or ASC_MODEL_ERROR for a null pointer or a member that does not exist. */
int asc_model_begin(AscModel *model, int member);

/* Runs the member under way: at least one piece, then more until about `budget` multiplications are spent. A piece is
   one operator over a few columns and never more than ASC_MODEL_LARGEST_PIECE multiplications. The window may not
   change between the first and the last step of a member, apart from where frames are kept that are not part of it.
   Returns ASC_MODEL_MORE while there is more to do, ASC_MODEL_DONE once the output is complete (and again for each
   further call), ASC_MODEL_ERROR for a null pointer, an impossible window or when no member is under way. */
int asc_model_step(AscModel *model, const AscWindow *window, uint32_t budget);

/* Copies the finished member's output tensor as it stands in TFLite's int8, [ASC_MODEL_N_LABELS].
   Returns 0, or ASC_MODEL_ERROR if the member is not finished. */
int asc_model_output(const AscModel *model, int8_t output[ASC_MODEL_N_LABELS]);

/* An output tensor of this member as real numbers: probabilities, if the network ends in a softmax. */
void asc_model_dequantise(int member, const int8_t output[ASC_MODEL_N_LABELS], float real[ASC_MODEL_N_LABELS]);

/* Multiplications that one run of this member takes (of non-zero weights; for estimates and progress bars). */
uint32_t asc_model_work(int member);

/* Frames of the window, counted from its oldest, that the member under way will not read again: their columns may be
   overwritten. Only grows while a member runs. */
uint32_t asc_model_frames_read(const AscModel *model);

extern const char *const asc_model_labels[ASC_MODEL_N_LABELS];   /* in the order of the output tensor */
extern const char *const asc_model_members[ASC_MODEL_N_MEMBERS]; /* as the bundle names them */

#ifdef __cplusplus
}
#endif

#endif
