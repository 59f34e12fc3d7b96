/* The inner loops of convolution: unpacked taps -> accumulators -> stored bytes.

   Plain C is for every target and defines the results; kernels for one kind of processor are chosen at compile
   time and give the same bits. -DASC_PLAIN_C=1 asks for plain C. */
#ifndef ASC_KERNEL_H
#define ASC_KERNEL_H

#include "asc_piece.h"
#include "asc_requant.h"

#include <string.h>

#ifndef ASC_PLAIN_C
#define ASC_PLAIN_C 0
#endif

#if defined(__GNUC__)
#define ASC_INLINE inline __attribute__((always_inline))
#define ASC_NOINLINE __attribute__((noinline)) /* so that its loop has the registers to itself */
#else
#define ASC_INLINE inline
#define ASC_NOINLINE
#endif

/* How an output channel's accumulators become stored bytes. In the order of registers in asc_kernel_mve.c. */
typedef struct {
    int32_t bias;
    int32_t multiplier;
    int shift;
    int32_t zero, low, high;
    int narrow; /* see AscLayer */
#if ASC_MODEL_HOST
    float factor, summand; /* see AscLayer */
#endif
} AscRequant;

/* Not for a host's tables, which a 32-bit Linux with a Thumb-2 compiler has too: Cortex-M reads its own encodings. Words are
   loaded from any address: not where the compiler is told that they may not be (-mno-unaligned-access). */
#if !ASC_PLAIN_C && !ASC_MODEL_HOST && defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && \
    defined(__ARM_FEATURE_UNALIGNED)
#define ASC_HAS_DSP 1
#else
#define ASC_HAS_DSP 0
#endif
#if ASC_HAS_DSP && defined(__ARM_FEATURE_MVE)
#define ASC_HAS_MVE 1
#else
#define ASC_HAS_MVE 0
#endif
#if !ASC_PLAIN_C && defined(__AVX512VNNI__) && defined(__AVX512BW__) && ASC_MODEL_TILE >= 64
#define ASC_HAS_VNNI 1
#else
#define ASC_HAS_VNNI 0
#endif
#if ASC_HAS_VNNI || (!ASC_PLAIN_C && defined(__AVX2__) && defined(__FMA__) && ASC_MODEL_TILE >= 32)
#define ASC_HAS_QUADS 1
#else
#define ASC_HAS_QUADS 0
#endif
#if !ASC_PLAIN_C && defined(__aarch64__) && defined(__ARM_NEON) && ASC_MODEL_TILE >= 64
#define ASC_HAS_NEON 1
#else
#define ASC_HAS_NEON 0
#endif

/* Times a constant, rounded and clamped, and plus a constant, rounded and clamped: either or both. TFLite's sum takes its
   inputs in 1 / 2^20 of a step of the larger scale. */
typedef struct {
    AscFactor operand, sum, product;
    int times, plus;
    int32_t zero, constant, middle_low, middle_high, summand, output_zero, low, high;
} AscAffine;

#if ASC_HAS_MVE
#include "asc_kernel_mve.h"
#elif ASC_HAS_DSP
#include "asc_kernel_dsp.h"
#elif ASC_HAS_QUADS
#include "asc_kernel_quads.h"
#elif ASC_HAS_NEON
#include "asc_kernel_neon.h"
#else
#include "asc_kernel_plain.h"
#endif

#if ASC_HAS_MVE || ASC_HAS_QUADS || ASC_HAS_NEON
void asc_affine(uint8_t *to, const uint8_t *from, uint32_t n, const AscAffine *affine);
#else
/* to[i] = the affine function of from[i], i < n. */
static inline void asc_affine(uint8_t *to, const uint8_t *from, uint32_t n, const AscAffine *affine)
{
    const AscAffine a = *affine;
    for (uint32_t i = 0; i < n; i++) {
        int32_t value = (int32_t)from[i] - a.zero;
        if (a.times) {
            value = asc_clamp(asc_times(value * a.constant, a.product), a.middle_low, a.middle_high);
        }
        if (a.plus) {
            value = asc_times(asc_times(value * (1 << 20), a.operand) + a.summand, a.sum);
        }
        to[i] = (uint8_t)asc_clamp(value + a.output_zero, a.low, a.high);
    }
}

#endif

#ifndef ASC_CONVOLVES
#define ASC_CONVOLVES 0
#endif

#if ASC_CONVOLVES
/* bytes[i] = the stored value of bias + sum over taps of weight * corner[distance + i], i < n. Accumulators stay in
   registers. */
void asc_convolve(uint8_t *bytes, uint32_t n, AscTaps *taps, const AscRequant *to);

/* Of each 2 x 2 stored bytes the largest, n_rows in a column. */
void asc_pool_bytes(uint8_t *to, uint32_t to_pitch, const uint8_t *from, uint32_t from_pitch, uint32_t n_columns,
                    uint32_t n_rows);
#elif ASC_HAS_MVE
void asc_pool_accumulators(int32_t *acc, uint32_t n_columns, uint32_t n_rows, uint32_t pitch);
#else
static inline int32_t asc_larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Of each 2 x 2 accumulators the largest: requantising never reverses an order, so the maximum may come first. From
   columns `pitch` apart to columns of n_rows without a gap. */
static inline void asc_pool_accumulators(int32_t *acc, uint32_t n_columns, uint32_t n_rows, uint32_t pitch)
{
    int32_t *to = acc;
    for (uint32_t c = 0; c < n_columns; c++) {
        const int32_t *a = acc + 2 * c * pitch;
        const int32_t *b = a + pitch;
        for (const int32_t *end = to + n_rows; to < end; a += 2, b += 2) {
            *to++ = asc_larger(asc_larger(a[0], a[1]), asc_larger(b[0], b[1]));
        }
    }
}
#endif

#if ASC_HAS_MVE || ASC_HAS_QUADS || ASC_HAS_NEON
/* Sixteen bytes of maxima over n_columns of n_rows and kernel_rows, a row of the output each; top + n_rows and kernel_rows are
   at most 16, row_stride is 1 or 2. Up to 32 bytes are written. */
void asc_maximum_of_short(uint8_t *to, const uint8_t *from, uint32_t n_columns, uint32_t pitch, uint32_t n_rows,
                          uint32_t top, uint32_t kernel_rows, uint32_t row_stride);
#endif

/* largest[i] = the larger of largest[i] and other[i], i < n, n a multiple of 4. other may be largest + 1. Up to twelve
   bytes more may be read and written. */
static inline void asc_maximum(uint8_t *largest, const uint8_t *other, uint32_t n)
{
#if ASC_HAS_MVE
    for (uint32_t i = 0; i < n; i += 16) {
        vst1q_u8(largest + i, vmaxq_u8(vld1q_u8(largest + i), vld1q_u8(other + i)));
    }
#elif ASC_HAS_DSP
    for (uint32_t i = 0; i < n; i += 4) {
        uint32_t a, b, scratch;
        __builtin_memcpy(&a, largest + i, 4);
        __builtin_memcpy(&b, other + i, 4);
        __asm__("usub8 %0, %1, %2\n    sel %1, %1, %2" : "=&r"(scratch), "+r"(a) : "r"(b) : "cc");
        __builtin_memcpy(largest + i, &a, 4);
    }
#elif ASC_HAS_NEON
    for (uint32_t i = 0; i < n; i += 16) {
        vst1q_u8(largest + i, vmaxq_u8(vld1q_u8(largest + i), vld1q_u8(other + i)));
    }
#elif ASC_HAS_QUADS
    for (uint32_t i = 0; i < n; i += 16) {
        __m128i *to = (__m128i *)(void *)(largest + i);
        const __m128i with = _mm_loadu_si128((const __m128i *)(const void *)(other + i));
        _mm_storeu_si128(to, _mm_max_epu8(_mm_loadu_si128(to), with));
    }
#else
    for (uint32_t i = 0; i < n; i++) {
        largest[i] = other[i] > largest[i] ? other[i] : largest[i];
    }
#endif
}

/* to[i] = from[i] (an int8) plus 128, but at least `least`, i < n. Up to three bytes more may be read and written. */
static inline void asc_offset_and_raise(uint8_t *to, const uint8_t *from, uint32_t n, uint8_t least)
{
#if ASC_HAS_DSP
    const uint32_t all_least = least * 0x01010101u;
    for (uint32_t i = 0; i < n; i += 4) {
        uint32_t word, scratch;
        __builtin_memcpy(&word, from + i, 4);
        word ^= 0x80808080u;
        __asm__("usub8 %0, %1, %2\n    sel %1, %1, %2" : "=&r"(scratch), "+r"(word) : "r"(all_least) : "cc");
        __builtin_memcpy(to + i, &word, 4);
    }
#else
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t value = from[i] ^ 0x80;
        to[i] = value > least ? value : least;
    }
#endif
}

/* Four bytes at any address. */
#if defined(__GNUC__) && (!defined(__arm__) || defined(__ARM_FEATURE_UNALIGNED))
#define ASC_COPY_WORD(to, from)               \
    do {                                      \
        uint32_t word;                        \
        __builtin_memcpy(&word, (from), 4);   \
        __builtin_memcpy((to), &word, 4);     \
    } while (0)
#else
#define ASC_COPY_WORD(to, from)               \
    do {                                      \
        (to)[0] = (from)[0];                  \
        (to)[1] = (from)[1];                  \
        (to)[2] = (from)[2];                  \
        (to)[3] = (from)[3];                  \
    } while (0)
#endif

/* n zeros, n a multiple of 4. */
static inline void asc_clear(uint8_t *bytes, uint32_t n)
{
    static const uint8_t zeros[4] = {0, 0, 0, 0};
    for (; n > 0; n -= 4, bytes += 4) {
        ASC_COPY_WORD(bytes, zeros);
    }
}

/* Copies n bytes; a target below its source may overlap it. Written out because small C libraries copy byte by byte. */
static inline void asc_copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
#if ASC_HAS_MVE
    __asm__ volatile("    wlstp.8 lr, %2, 2f\n"
                     "1:  vldrb.u8 q0, [%1], #16\n"
                     "    vstrb.8 q0, [%0], #16\n"
                     "    letp lr, 1b\n"
                     "2:\n"
                     : "+l"(to), "+l"(from)
                     : "r"(n)
                     : "q0", "lr", "memory");
    return;
#endif
#if defined(__GNUC__) && UINTPTR_MAX > 0xFFFFFFFFu
    for (; n >= 16; n -= 16, to += 16, from += 16) {
        struct {
            uint64_t both[2];
        } words;
        __builtin_memcpy(&words, from, 16);
        __builtin_memcpy(to, &words, 16);
    }
#endif
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        ASC_COPY_WORD(to, from);
    }
    for (; n > 0; n--) {
        *to++ = *from++;
    }
}

#endif
