/* The integer transform, for parts without an FPU. See asc_fft.h.

   32-bit values, 16-bit factors. After the first pass the values are raised until the largest has 30 bits, so that quiet
   frames lose nothing; every later pass takes the mean of four instead of the sum, and no magnitude grows beyond
   sqrt(2) * 2^30. Right shifts of negative numbers are arithmetic, as in every compiler these parts have. */
#include "asc_fft.h"

#if ASC_FIXED_POINT

#define HALF (ASC_N_FFT / 2)
#define QUARTER (ASC_N_FFT / 4)

/* floor(x * w / 2^17), -2^15 <= w <= 2^15. */
static inline int32_t scaled(int32_t x, int32_t w)
{
#if ASC_NARROW_MULTIPLY
    return ((x >> 16) * w + (((x & 0xffff) * w) >> 16)) >> 1;
#else
    return (int32_t)(((int64_t)x * w) >> 17);
#endif
}

/* sin(pi i / n_fft) * 2^15, for i up to 2 * n_fft, a whole turn. */
static inline int32_t sine(int i)
{
    const int half = i <= ASC_N_FFT ? i : i - ASC_N_FFT;
    const int32_t value = asc_model_sine[half <= HALF ? half : ASC_N_FFT - half];
    return i <= ASC_N_FFT ? value : -value;
}

/* Of 2 pi i / n_fft, for i up to 3/4 of a turn. */
static inline int32_t twiddle_cos(int i)
{
    return sine(2 * i + HALF);
}

static inline int32_t twiddle_sin(int i)
{
    return sine(2 * i);
}

/* sample * sine^2 * 2^13. A Hann window is the square of a sine; squaring it here keeps small values exact. */
static inline int32_t windowed(int32_t sample, int i)
{
    const int32_t factor = asc_model_sine[i];
    return scaled(sample * factor, factor);
}

static void first_pass(const int16_t *x, int32_t *z)
{
    int n = 0; /* the complex values are taken in the order of base-4 digits reversed */
    for (int32_t *out = z; out < z + ASC_N_FFT; out += 2 * ASC_FFT_FIRST_RADIX) {
        const int16_t *in = x + 2 * n;
        const int i = 2 * n; /* the window's falling half is read backwards */
#if ASC_FFT_FIRST_RADIX == 4
        const int32_t ar = windowed(in[0], i), ai = windowed(in[1], i + 1);
        const int32_t br = windowed(in[QUARTER], QUARTER + i);
        const int32_t bi = windowed(in[QUARTER + 1], QUARTER + i + 1);
        const int32_t cr = windowed(in[HALF], HALF - i), ci = windowed(in[HALF + 1], HALF - i - 1);
        const int32_t dr = windowed(in[HALF + QUARTER], QUARTER - i);
        const int32_t di = windowed(in[HALF + QUARTER + 1], QUARTER - i - 1);
        out[0] = ar + br + cr + dr;
        out[1] = ai + bi + ci + di;
        out[2] = ar - cr + bi - di;
        out[3] = ai - ci - br + dr;
        out[4] = ar - br + cr - dr;
        out[5] = ai - bi + ci - di;
        out[6] = ar - cr - bi + di;
        out[7] = ai - ci + br - dr;
        int digit = HALF / 16;
#else
        const int32_t ar = windowed(in[0], i), ai = windowed(in[1], i + 1);
        const int32_t br = windowed(in[HALF], HALF - i), bi = windowed(in[HALF + 1], HALF - i - 1);
        out[0] = ar + br;
        out[1] = ai + bi;
        out[2] = ar - br;
        out[3] = ai - bi;
        int digit = HALF / 8;
#endif
        while (n & digit && n & (2 * digit)) {
            n -= 3 * digit;
            digit /= 4;
        }
        n += digit;
    }
}

/* Shifts all values left by the same number of bits, as far as they go, and returns that number; -1 if all are zero. */
static int raise_values(int32_t *z)
{
    int32_t bits = 0, any = 0;
    for (int i = 0; i < ASC_N_FFT; i++) {
        any |= z[i];
        bits |= z[i] < 0 ? ~z[i] : z[i];
    }
    if (any == 0)
        return -1;
    int shift = 0;
    while (shift < 29 && !(bits & (0x20000000 >> shift)))
        shift++;
    for (int i = 0; i < ASC_N_FFT; i++)
        z[i] *= 1 << shift;
    return shift;
}

/* Joins groups of four transforms of `size` complex values each into one of 4 * size, divided by 4. */
static void radix4_pass(int32_t *z, int size)
{
    const int step = QUARTER / size;
    for (int k = 0; k < size; k++) {
        const int32_t c1 = twiddle_cos(k * step), s1 = twiddle_sin(k * step);
        const int32_t c2 = twiddle_cos(2 * k * step), s2 = twiddle_sin(2 * k * step);
        const int32_t c3 = twiddle_cos(3 * k * step), s3 = twiddle_sin(3 * k * step);
        int32_t *p0 = z + 2 * k, *p1 = p0 + 2 * size, *p2 = p1 + 2 * size, *p3 = p2 + 2 * size;
        for (; p0 < z + ASC_N_FFT; p0 += 8 * size, p1 += 8 * size, p2 += 8 * size, p3 += 8 * size) {
            const int32_t ar = p0[0] >> 2, ai = p0[1] >> 2;
            const int32_t br = scaled(p1[0], c1) + scaled(p1[1], s1), bi = scaled(p1[1], c1) - scaled(p1[0], s1);
            const int32_t cr = scaled(p2[0], c2) + scaled(p2[1], s2), ci = scaled(p2[1], c2) - scaled(p2[0], s2);
            const int32_t dr = scaled(p3[0], c3) + scaled(p3[1], s3), di = scaled(p3[1], c3) - scaled(p3[0], s3);
            p0[0] = ar + cr + br + dr;
            p0[1] = ai + ci + bi + di;
            p1[0] = ar - cr + bi - di;
            p1[1] = ai - ci - br + dr;
            p2[0] = ar + cr - br - dr;
            p2[1] = ai + ci - bi - di;
            p3[0] = ar - cr - bi + di;
            p3[1] = ai - ci + br - dr;
        }
    }
}

/* x * x / 2^16, rounded down in its parts. */
static inline uint64_t squared(int32_t x)
{
    const uint32_t a = x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
#if ASC_NARROW_MULTIPLY
    const uint32_t high = a >> 16, low = a & 0xffffu, cross = high * low;
    return ((uint64_t)(high * high) << 16) + cross + cross + ((low * low) >> 16);
#else
    return ((uint64_t)a * a) >> 16;
#endif
}

/* From the transform of the complex values (even samples real, odd ones imaginary) to the power of the real frame.
   Bins k and n_fft / 2 - k come from the same two values and replace them. */
static void split_power(AscFftWork *work)
{
    int32_t *z = work->z;
    const int32_t first = (z[0] >> 1) + (z[1] >> 1), last = (z[0] >> 1) - (z[1] >> 1);
    for (int k = 1; k <= QUARTER; k++) {
        const int32_t ar = z[2 * k] >> 2, ai = z[2 * k + 1] >> 2;
        const int32_t br = z[ASC_N_FFT - 2 * k] >> 2, bi = z[ASC_N_FFT - 2 * k + 1] >> 2;
        const int32_t c = twiddle_cos(k), s = twiddle_sin(k);
        const int32_t er = ar + br, ei = ai - bi, dr = (ar - br) * 2, di = (ai + bi) * 2;
        /* `scaled` divides by 4 and `d` is doubled: t is half of what it should be. */
        const int32_t tr = (scaled(di, c) - scaled(dr, s)) * 2, ti = -(scaled(dr, c) + scaled(di, s)) * 2;
        work->power[k] = squared(er + tr) + squared(ei + ti);
        work->power[HALF - k] = squared(er - tr) + squared(ei - ti);
    }
    work->power[0] = squared(first);
    work->power[HALF] = squared(last);
}

int asc_fft_power(const int16_t samples[ASC_N_FFT], AscFftWork *work)
{
    first_pass(samples, work->z);
    const int shift = raise_values(work->z);
    if (shift < 0)
        return shift;
    for (int size = ASC_FFT_FIRST_RADIX; size < HALF; size *= 4)
        radix4_pass(work->z, size);
    split_power(work);
    return shift;
}

#endif
