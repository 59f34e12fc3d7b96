/* From samples to log-mel frames, as the samples arrive.

   One frame is computed by the call that brings its last sample; no call computes more than its samples complete. */
#ifndef ASC_FRONTEND_H
#define ASC_FRONTEND_H

#include "asc_fft.h"

#include <stddef.h>

#if ASC_FIXED_POINT
typedef int16_t asc_db; /* decibels in 1 / 256 */
#else
typedef float asc_db; /* decibels */
#endif

typedef struct {
    int16_t samples[ASC_N_FFT]; /* those that the next frame needs, oldest first */
    int32_t n_samples;          /* how many of them have arrived */
    AscFftWork work;
} AscFrontend;

#ifdef __cplusplus
extern "C" {
#endif

/* Forgets all samples. */
void asc_frontend_reset(AscFrontend *frontend);

/* Takes samples until a frame is complete or there are no more, and returns how many it took. *complete says whether
   db was written: mel power in decibels of full scale, not clamped. */
size_t asc_frontend_push(AscFrontend *frontend, const int16_t *samples, size_t n, asc_db db[ASC_N_MELS], int *complete);

/* One frame at once. */
void asc_frontend_frame(const int16_t samples[ASC_N_FFT], AscFftWork *work, asc_db db[ASC_N_MELS]);

/* A level as the members' input tensor holds it. Rising levels never give falling values. */
int8_t asc_frontend_quantise(asc_db db);

/* The smallest value that the input tensor may hold beside this level: the level less ASC_TOP_DB, quantised. */
int8_t asc_frontend_floor(asc_db db);

#ifdef __cplusplus
}
#endif

#endif
