/* A stand-in for the generated networks, to test what is around them: each member's output is a digest of the window
   as the member saw it. */
#ifndef ASC_MODEL_CONFIG_H
#define ASC_MODEL_CONFIG_H

#define ASC_MODEL_N_MEMBERS 2
#define ASC_MODEL_N_LABELS 3
#ifndef ASC_MODEL_N_FRAMES
#define ASC_MODEL_N_MELS 8
#define ASC_MODEL_N_FRAMES 20
#endif
#define ASC_MODEL_INPUT_SCALE 0.5f
#define ASC_MODEL_INPUT_ZERO_POINT 20
#define ASC_MODEL_ARENA_BYTES 16
#define ASC_MODEL_N_BUFFERS 1
#define ASC_MODEL_N_STEPS 1
#define ASC_MODEL_LARGEST_PIECE ASC_MODEL_N_MELS

#endif
