/* The power spectrum of one Hann-windowed frame: int16 samples in, n_fft / 2 + 1 bins out.

   A real frame of n_fft samples is transformed as n_fft / 2 complex values, in place, radix 4 (a first pass of radix 2
   where the size asks for it). The window and the reordering are part of the first pass. The quarter wave
   asc_model_cosine serves as window and as twiddle factors alike. */
#ifndef ASC_FFT_H
#define ASC_FFT_H

#include "asc_config.h"
#include "asc_model_features.h"

#include <stdint.h>

#define ASC_N_BINS (ASC_N_FFT / 2 + 1)

#if ASC_FIXED_POINT

typedef union {
    int32_t z[ASC_N_FFT];       /* (n_fft / 2, 2): real and imaginary part */
    uint64_t power[ASC_N_BINS]; /* over the same memory, bin k over value k */
} AscFftWork;

/* Returns the number of bits s by which a quiet frame was raised, or -1 if the frame is silent (then power is not
   written). Full scale being 1, power = |X|^2 * 2^(38 + 2 s - 4 n), n being the passes of radix 4 after the first. */
int asc_fft_power(const int16_t samples[ASC_N_FFT], AscFftWork *work);

#else

typedef union {
    float z[ASC_N_FFT];      /* (n_fft / 2, 2): real and imaginary part */
    float power[ASC_N_BINS]; /* over the same memory, in order of frequency */
} AscFftWork;

/* Full scale being 1, power = |X|^2 * 2^34. */
void asc_fft_power(const int16_t samples[ASC_N_FFT], AscFftWork *work);

#endif
#endif
