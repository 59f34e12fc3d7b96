/* A piece of a step, where its bytes are, and the operators that run it: each in a file of its own but for the simple
   ones, which share asc_layers.c. */
#ifndef ASC_PIECE_H
#define ASC_PIECE_H

#include "asc_tables.h"

/* A piece of a step: n output columns from output column `first` on. */
typedef struct {
    AscModel *model;
    const AscMember *member;
    const AscStep *step;
    const AscLayer *layer;
    const AscWindow *window;
    uint32_t first, n;
} AscPiece;

static inline uint32_t asc_pitch(const AscBuffer *buffer)
{
    return (uint32_t)buffer->n_rows + buffer->row_pad;
}

/* The byte of a plane's column, row 0. Columns are counted with the padding on the left; this one has to be held. */
static inline uint8_t *asc_at(AscModel *model, const AscBuffer *buffer, uint32_t held_from, uint32_t plane,
                              uint32_t column)
{
    return (uint8_t *)model->arena + buffer->at + (plane * buffer->n_slots + (column - held_from)) * asc_pitch(buffer);
}

static inline uint8_t *asc_input_at(const AscPiece *piece, uint32_t plane, uint32_t column)
{
    const uint8_t b = piece->step->input;
    return asc_at(piece->model, &piece->member->plan->buffers[b], piece->model->first_held[b],
                  piece->step->input_plane + plane, column);
}

/* The byte of an output plane of this step, the piece's own column i, row 0. */
static inline uint8_t *asc_output_at(const AscPiece *piece, uint32_t plane, uint32_t i)
{
    const uint8_t b = piece->step->output;
    const AscBuffer *buffer = &piece->member->plan->buffers[b];
    return asc_at(piece->model, buffer, piece->model->first_held[b], piece->step->first_plane + plane,
                  buffer->pad_left + piece->first + i);
}

/* Multiplications (or, where there are none, values) that a piece costs. */
uint32_t asc_piece_work(const AscPiece *piece);

/* Runs one piece of any kind: its input columns and the room for its output columns are there. */
void asc_run_piece(const AscPiece *piece);

/* The same for pieces of one kind. */
void asc_run_conv(const AscPiece *piece);
void asc_run_dense(const AscPiece *piece);
void asc_run_softmax(const AscPiece *piece);

#endif
