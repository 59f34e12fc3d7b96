/* Framing, mel bands and decibels. See asc_frontend.h. */
#include "asc_frontend.h"

#include <string.h>

void asc_frontend_reset(AscFrontend *frontend)
{
    frontend->n_samples = 0;
}

size_t asc_frontend_push(AscFrontend *frontend, const int16_t *samples, size_t n, asc_db db[ASC_N_MELS], int *complete)
{
    const size_t missing = (size_t)(ASC_N_FFT - frontend->n_samples), taken = n < missing ? n : missing;
    memcpy(frontend->samples + frontend->n_samples, samples, taken * sizeof *samples);
    frontend->n_samples += (int32_t)taken;
    *complete = frontend->n_samples == ASC_N_FFT;
    if (*complete) {
        asc_frontend_frame(frontend->samples, &frontend->work, db);
        frontend->n_samples = ASC_N_FFT - ASC_HOP_LENGTH;
        memmove(frontend->samples, frontend->samples + ASC_HOP_LENGTH,
                (ASC_N_FFT - ASC_HOP_LENGTH) * sizeof *samples);
    }
    return taken;
}

#if ASC_FIXED_POINT

/* 1024 * log2(x), x > 0, to 0.0003: a straight line between the 33 points of asc_model_log2. */
static int32_t log2_1024(uint64_t x)
{
    int32_t whole = 63;
    for (int32_t step = 32; step > 0; step /= 2)
        if (!(x >> (64 - step))) {
            x <<= step;
            whole -= step;
        }
    const uint32_t fraction = (uint32_t)(x >> 32) & 0x7fffffffu; /* the leading one removed, in 2^-31 */
    const uint32_t i = fraction >> 26, between = (fraction >> 13) & 0x1fffu;
    const uint32_t low = asc_model_log2[i], high = asc_model_log2[i + 1];
    return whole * 1024 + (int32_t)((low * (0x2000u - between) + high * between) >> 19);
}

/* power * weight, power having up to 48 bits. */
static inline uint64_t weighted(uint64_t power, uint32_t weight)
{
#if ASC_NARROW_MULTIPLY
    const uint32_t low = (uint32_t)power;
    return (low & 0xffffu) * weight + ((uint64_t)((low >> 16) * weight) << 16) +
           ((uint64_t)((uint32_t)(power >> 32) * weight) << 32);
#else
    return (uint64_t)(uint32_t)power * weight + ((uint64_t)((uint32_t)(power >> 32) * weight) << 32);
#endif
}

void asc_frontend_frame(const int16_t samples[ASC_N_FFT], AscFftWork *work, asc_db db[ASC_N_MELS])
{
    const int shift = asc_fft_power(samples, work);
    const uint16_t *weight = asc_model_mel_weights;
    for (int band = 0; band < ASC_N_MELS; band++) {
        const uint64_t *power = work->power + asc_model_mel_first[band];
        const uint16_t *end = weight + asc_model_mel_length[band];
        uint64_t sum = 0;
        if (shift >= 0)
            for (const uint16_t *w = weight; w < end; w++)
                sum += weighted(*power++, *w);
        weight = end;
        int32_t level = ASC_AMIN_DB_256;
        if (sum > 0) /* 12330 / 4096 = 10 log10(2) */
            level = (((log2_1024(sum) - 2048 * shift) * 12330) >> 14) + asc_model_mel_offset[band];
        db[band] = (asc_db)(level < ASC_AMIN_DB_256 ? ASC_AMIN_DB_256 : level);
    }
}

static int8_t quantise(int32_t db_256)
{
    const int32_t q = (db_256 * ASC_INPUT_FACTOR + ASC_INPUT_OFFSET) >> ASC_INPUT_SHIFT;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

int8_t asc_frontend_floor(asc_db db)
{
    return ASC_HAS_TOP_DB ? quantise(db - ASC_TOP_DB_256) : -128;
}

#else

/* log2(x) to 1.5e-5, x being positive and normal: the exponent, and a polynomial for a mantissa between sqrt(1/2) and
   sqrt(2). */
static inline float log2_fast(float x)
{
    union {
        float value;
        uint32_t bits;
    } mantissa = {x};
    const int32_t offset = (int32_t)(mantissa.bits - 0x3f3504f3u) >> 23;
    mantissa.bits -= (uint32_t)offset << 23;
    const float t = mantissa.value - 1.0f;
    float sum = ASC_FMA(0.25266030f, t, -0.39457550f);
    sum = ASC_FMA(sum, t, 0.48668618f);
    sum = ASC_FMA(sum, t, -0.72024179f);
    sum = ASC_FMA(sum, t, 1.44257801f);
    return ASC_FMA(sum, t, (float)offset);
}

void asc_frontend_frame(const int16_t samples[ASC_N_FFT], AscFftWork *work, asc_db db[ASC_N_MELS])
{
    asc_fft_power(samples, work);
    const float *weight = asc_model_mel_weights;
    for (int band = 0; band < ASC_N_MELS; band++) {
        const float *power = work->power + asc_model_mel_first[band];
        const float *end = weight + asc_model_mel_length[band];
        float sum = 0.0f;
        for (; weight < end; weight++)
            sum = ASC_FMA(*weight, *power++, sum);
        db[band] = 3.01029996f * log2_fast(sum > ASC_AMIN ? sum : ASC_AMIN) + ASC_DB_OFFSET;
    }
}

static int8_t quantise(float db)
{
    /* Raised by 128.5 and cut off: rounding to the nearest without libm. */
    const float raised = db * ASC_INPUT_FACTOR + ASC_INPUT_OFFSET;
    return (int8_t)(raised < 0.0f ? -128 : raised >= 255.0f ? 127 : (int32_t)raised - 128);
}

int8_t asc_frontend_floor(asc_db db)
{
    return ASC_HAS_TOP_DB ? quantise(db - ASC_TOP_DB) : -128;
}

#endif

int8_t asc_frontend_quantise(asc_db db)
{
    return quantise(db);
}
