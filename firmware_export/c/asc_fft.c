/* The float32 transform, for parts with an FPU. See asc_fft.h. */
#include "asc_fft.h"

#if !ASC_FIXED_POINT

#include <string.h>

#define HALF (ASC_N_FFT / 2)
#define QUARTER (ASC_N_FFT / 4)

#if ASC_FFT_FIRST_RADIX == 4

/* The window times two is 1 - cos, 1 + sin, 1 + cos, 1 - sin a quarter of the frame apart: two cosines serve four samples. */
static void first_pass(const int16_t *x, float *z)
{
    int n = 0; /* the complex values are taken in the order of base-4 digits reversed */
    for (float *out = z; out < z + ASC_N_FFT; out += 8) {
        const int16_t *in = x + 2 * n;
        const float c0 = asc_model_cosine[2 * n], c1 = asc_model_cosine[2 * n + 1];
        const float s0 = asc_model_cosine[QUARTER - 2 * n], s1 = asc_model_cosine[QUARTER - 2 * n - 1];
        const float ar = (1.0f - c0) * (float)in[0], ai = (1.0f - c1) * (float)in[1];
        const float br = (1.0f + s0) * (float)in[QUARTER], bi = (1.0f + s1) * (float)in[QUARTER + 1];
        const float cr = (1.0f + c0) * (float)in[2 * QUARTER], ci = (1.0f + c1) * (float)in[2 * QUARTER + 1];
        const float dr = (1.0f - s0) * (float)in[3 * QUARTER], di = (1.0f - s1) * (float)in[3 * QUARTER + 1];
        const float er = ar + cr, ei = ai + ci, fr = ar - cr, fi = ai - ci;
        const float gr = br + dr, gi = bi + di, hr = br - dr, hi = bi - di;
        out[0] = er + gr;
        out[1] = ei + gi;
        out[2] = fr + hi;
        out[3] = fi - hr;
        out[4] = er - gr;
        out[5] = ei - gi;
        out[6] = fr - hi;
        out[7] = fi + hr;
        int digit = HALF / 16;
        while (n & digit && n & (2 * digit)) {
            n -= 3 * digit;
            digit /= 4;
        }
        n += digit;
    }
}

#else

/* cos(2 pi i / n_fft) for i up to n_fft / 2. */
static float cosine(int i)
{
    return i <= QUARTER ? asc_model_cosine[i] : -asc_model_cosine[2 * QUARTER - i];
}

static void first_pass(const int16_t *x, float *z)
{
    int n = 0; /* the complex values are taken in the order of base-4 digits reversed */
    for (float *out = z; out < z + ASC_N_FFT; out += 4) {
        const int16_t *in = x + 2 * n;
        const float c0 = cosine(2 * n), c1 = cosine(2 * n + 1);
        const float ar = (1.0f - c0) * (float)in[0], ai = (1.0f - c1) * (float)in[1];
        const float br = (1.0f + c0) * (float)in[HALF], bi = (1.0f + c1) * (float)in[HALF + 1];
        out[0] = ar + br;
        out[1] = ai + bi;
        out[2] = ar - br;
        out[3] = ai - bi;
        int digit = HALF / 8;
        while (n & digit && n & (2 * digit)) {
            n -= 3 * digit;
            digit /= 4;
        }
        n += digit;
    }
}

#endif

/* Joins groups of four transforms of `size` complex values each into one of 4 * size. */
static void radix4_pass(float *z, int size)
{
    const int step = QUARTER / size;
    for (int k = 0; k < size; k++) {
        const float c1 = asc_model_cosine[k * step], s1 = asc_model_cosine[QUARTER - k * step];
        const float c2 = ASC_FMA(c1, c1, -(s1 * s1)), s2 = 2.0f * (c1 * s1);
        const float c3 = ASC_FMA(c1, c2, -(s1 * s2)), s3 = ASC_FMA(c1, s2, s1 * c2);
        float *p0 = z + 2 * k, *p1 = p0 + 2 * size, *p2 = p1 + 2 * size, *p3 = p2 + 2 * size;
        for (; p0 < z + ASC_N_FFT; p0 += 8 * size, p1 += 8 * size, p2 += 8 * size, p3 += 8 * size) {
            const float br = ASC_FMA(p1[0], c1, p1[1] * s1), bi = ASC_FMA(p1[1], c1, -(p1[0] * s1));
            const float cr = ASC_FMA(p2[0], c2, p2[1] * s2), ci = ASC_FMA(p2[1], c2, -(p2[0] * s2));
            const float dr = ASC_FMA(p3[0], c3, p3[1] * s3), di = ASC_FMA(p3[1], c3, -(p3[0] * s3));
            const float er = p0[0] + cr, ei = p0[1] + ci, fr = p0[0] - cr, fi = p0[1] - ci;
            const float gr = br + dr, gi = bi + di, hr = br - dr, hi = bi - di;
            p0[0] = er + gr;
            p0[1] = ei + gi;
            p1[0] = fr + hi;
            p1[1] = fi - hr;
            p2[0] = er - gr;
            p2[1] = ei - gi;
            p3[0] = fr - hi;
            p3[1] = fi + hr;
        }
    }
}

/* From the transform of the complex values (even samples real, odd ones imaginary) to the power of the real frame.
   Bins k and n_fft / 2 - k come from the same two values. The power of bin k replaces values that were used before:
   bins up to n_fft / 4 at index k, those above at n_fft / 2 + k until they are moved down. */
static void split_power(float *z)
{
    const float first = 2.0f * (z[0] + z[1]), last = 2.0f * (z[0] - z[1]);
    for (int k = 1; k <= QUARTER; k++) {
        const float ar = z[2 * k], ai = z[2 * k + 1], br = z[ASC_N_FFT - 2 * k], bi = z[ASC_N_FFT - 2 * k + 1];
        const float c = asc_model_cosine[k], s = asc_model_cosine[QUARTER - k];
        const float er = ar + br, ei = ai - bi, dr = ar - br, di = ai + bi;
        const float tr = ASC_FMA(c, di, -(s * dr)), ti = -ASC_FMA(c, dr, s * di);
        const float xr = er + tr, xi = ei + ti, yr = er - tr, yi = ei - ti;
        z[k] = ASC_FMA(xr, xr, xi * xi);
        z[ASC_N_FFT - k] = ASC_FMA(yr, yr, yi * yi);
    }
    memcpy(z + QUARTER, z + HALF + QUARTER, QUARTER * sizeof *z);
    z[0] = first * first;
    z[HALF] = last * last;
}

void asc_fft_power(const int16_t samples[ASC_N_FFT], AscFftWork *work)
{
    first_pass(samples, work->z);
    for (int size = ASC_FFT_FIRST_RADIX; size < HALF; size *= 4)
        radix4_pass(work->z, size);
    split_power(work->z);
}

#endif
