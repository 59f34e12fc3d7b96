/* The tables that a network consists of.

   A plan (buffers and steps) is shape only and is shared by all members of one architecture; an AscLayer has one
   member's numbers for one step. All tables are const and generated.

   Inside a network a value is stored as its int8 plus 128, in a byte: the steps from the zero point of a ReLU's output
   are then plainly 0 to 255. */
#ifndef ASC_TABLES_H
#define ASC_TABLES_H

#include "asc_model.h"

#include <stddef.h>

#ifndef ASC_MODEL_HOST
#define ASC_MODEL_HOST 0 /* 1: the tables have what only a machine with megabytes to spare can afford */
#endif

/* Where a map's columns stand in the arena: channel planes of whole columns, lowest row first. Between two columns
   lie row_pad bytes of fill that the taps above the one and below the other share. */
typedef struct {
    uint32_t at;        /* byte of plane 0, slot 0, row 0; row_pad bytes of fill stand before it */
    uint16_t n_planes;  /* channels */
    uint16_t n_rows;    /* of each column */
    uint16_t n_slots;   /* columns that can be held */
    uint16_t n_columns; /* real columns that will be written in all */
    uint8_t row_pad;
    uint8_t pad_left;  /* columns of fill before the first */
    uint8_t n_writers;   /* steps that write into it, each its own planes */
    uint8_t last_reader; /* the last step that reads it */
} AscBuffer;

enum {
    ASC_CONV,    /* sparse convolution of stride 1, or depthwise; with pool 2, of each 2 x 2 the maximum */
    ASC_DENSE,   /* fully connected */
    ASC_MAX,     /* maximum over a rectangle */
    ASC_AVERAGE, /* mean over a rectangle */
    ASC_STAGE,   /* copy with padding, from the window or a buffer; for strided convolutions dealt out to phases */
    ASC_FLATTEN, /* a map as a vector, channels innermost */
    ASC_AFFINE,  /* times a constant and plus a constant, per channel */
    ASC_ADD,     /* sum of two maps */
    ASC_RESCALE, /* another scale, zero point or clamp */
    ASC_SOFTMAX
};

enum { ASC_WINDOW = 255 }; /* as an input: the window of features */

/* One operator. Output column c reads the input columns from c * stride - left on, `reach` of them. A dense layer counts
   input columns: each is added to sums, which stand in its second input. */
typedef struct {
    uint8_t kind;
    uint8_t input, second_input; /* buffers */
    uint8_t output;
    uint16_t input_plane; /* first plane in the input buffer */
    uint16_t first_plane; /* first plane in the output buffer */
    uint16_t n_planes;    /* output planes */
    uint16_t n_rows;      /* output rows */
    uint16_t n_columns;   /* output columns in all */
    uint16_t chunk;       /* output columns made at a time */
    uint16_t reach;
    uint8_t stride, left;
    uint8_t kernel_rows, row_stride, top;
    uint8_t pool;
    uint8_t row_phases, column_phases;
    uint8_t depthwise; /* output channels per input channel, 0: ordinary convolution */
    /* Convolution: position p of an output's weights is byte p / n_taps * group_bytes + taps[p % n_taps] from the
       kernel's corner. Dense: n_taps are the values of one input column. */
    uint16_t n_taps;
    uint32_t n_positions; /* per output; dense: per input column */
    uint32_t group_bytes;
    uint32_t plane_bytes; /* from an input channel to the next */
    const uint16_t *taps;
} AscStep;

enum { ASC_GAPS, ASC_BITS, ASC_ALL, ASC_READY }; /* encodings of positions, see asc_conv.c */
enum { ASC_TIMES = 1, ASC_PLUS = 2 };  /* encodings of ASC_AFFINE: what there is */

/* A member's numbers for one step. Which of them are used depends on the step's kind. */
typedef struct {
    const int8_t *values;       /* non-zero weights, one output after the other */
    const uint8_t *positions;   /* where they stand */
    const uint8_t *counts;      /* values per output (dense: per column), a byte each; or two, low first, if wide_counts */
    const int32_t *bias;        /* per output, the input's zero point accounted for; others: see asc_layers.c */
    const int32_t *multipliers; /* per output: real factor = multiplier / 2^31 * 2^shift */
    const int8_t *shifts;
    uint32_t n_values;
    uint8_t encoding, wide_counts;
    uint8_t zero;        /* of the input, plus 128; not of convolutions and dense layers, whose bias has it */
    uint8_t output_zero; /* of the output, plus 128 */
    uint8_t low, high;  /* clamp of the output, plus 128 */
    uint8_t narrow; /* sums of products stay below 2^23, shifts are right by at most 20, results fit 16 bits */
#if ASC_MODEL_HOST
    const uint32_t *distances; /* ASC_READY: of each value from the kernel's corner; four values at a time, padded */
    const float *factors; /* per output a factor and a summand that do what multiplier and shift do, less 128; or zeros */
#endif
} AscLayer;

typedef struct {
    const AscBuffer *buffers;
    const AscStep *steps;
    uint8_t n_buffers, n_steps;
    uint16_t acc_values; /* accumulators that one piece needs, in whole tiles: they stand at the arena's start */
    uint16_t max_taps;   /* non-zero weights of one output at most: behind the accumulators is room for them */
} AscPlan;

typedef struct {
    const AscPlan *plan;
    const AscLayer *layers; /* one per step */
    const uint8_t *fills;   /* per buffer: the byte that stands for padding */
    uint32_t work;          /* multiplications of one run */
    float output_scale;
    int16_t output_zero;
} AscMember;

extern const AscMember asc_model_data[ASC_MODEL_N_MEMBERS];

#endif
