/* See asc_kernel_mve.h. */
#include "asc_kernel.h"

#if ASC_HAS_MVE

#define UNSEEN __attribute__((unused)) /* the assembler uses it, which the compiler does not see */

/* Vector v of the sums: four inputs more, times the weight. Two vectors of inputs take turns. */
#define PRODUCTS(v, inputs)                          \
    "    vldrb.u32 " inputs ", [r7, #4*" #v "]\n"    \
    "    vmla.s32 q" #v ", " inputs ", r6\n"
#define EACH_2(OF) OF(0) OF(1)
#define EACH_4(OF) EACH_2(OF) OF(2) OF(3)
#define EACH_6(OF) EACH_4(OF) OF(4) OF(5)
#define START(v) "    vdup.32 q" #v ", r8\n"
#define STORE(v) "    vstrw.32 q" #v ", [r0], #16\n"
#define PRODUCTS_2 PRODUCTS(0, "q6") PRODUCTS(1, "q7")
#define PRODUCTS_4 PRODUCTS_2 PRODUCTS(2, "q6") PRODUCTS(3, "q7")
#define PRODUCTS_6 PRODUCTS_4 PRODUCTS(4, "q6") PRODUCTS(5, "q7")

/* n_tiles times 4 * N sums from output `at` on. r4 is `at`, r5 the tap; r6 and r7 are its weight and address. */
#define TILES(N)                                                                                         \
    __attribute__((naked, noinline)) static void tiles_of_##N(                                           \
        UNSEEN int32_t *acc, UNSEEN uint32_t n_tiles, UNSEEN const AscTap *taps, UNSEEN uint32_t n_taps, \
        UNSEEN uint32_t at, UNSEEN int32_t bias)                                                         \
    {                                                                                                    \
        __asm__ volatile("    push {r4-r8, lr}\n"                                                        \
                         "    vpush {d8-d15}\n"                                                          \
                         "    ldrd r4, r8, [sp, #88]\n"                                                  \
                         "1:  mov r5, r2\n" EACH_##N(START)                                              \
                         "    wls lr, r3, 3f\n"                                                          \
                         "2:  ldrd r6, r7, [r5], #8\n"                                                   \
                         "    add r7, r4\n" PRODUCTS_##N                                                 \
                         "    le lr, 2b\n"                                                               \
                         "3:\n" EACH_##N(STORE)                                                          \
                         "    add r4, #4*" #N "\n"                                                       \
                         "    subs r1, #1\n"                                                             \
                         "    bne 1b\n"                                                                  \
                         "    vpop {d8-d15}\n"                                                           \
                         "    pop {r4-r8, pc}\n");                                                       \
    }

TILES(2)
TILES(4)
TILES(6)

void asc_accumulate(int32_t *acc, uint32_t n, AscTaps *taps, const AscRequant *to)
{
    const uint32_t n_taps = (uint32_t)(taps->stored.end - taps->begin);
    const uint32_t n_large = (n + 7) / 24;
    const uint32_t at = 24 * n_large;
    if (n_large > 0) {
        tiles_of_6(acc, n_large, taps->begin, n_taps, 0, to->bias);
    }
    if (n > at + 8) {
        tiles_of_4(acc + at, 1, taps->begin, n_taps, at, to->bias);
    } else if (n > at) {
        tiles_of_2(acc + at, 1, taps->begin, n_taps, at, to->bias);
    }
}

/* What a negative result is rounded to does not matter: it becomes 0. */
__attribute__((naked, noinline)) static void requantise_relu(UNSEEN const int32_t *acc, UNSEEN uint8_t *bytes,
                                                             UNSEEN uint32_t n, UNSEEN int32_t multiplier,
                                                             UNSEEN int32_t shift)
{
    __asm__ volatile("    push {r4, lr}\n"
                     "    ldr r4, [sp, #8]\n"
                     "    vmov.i32 q2, #0\n"
                     "    vmov.i32 q3, #255\n"
                     "    dlstp.32 lr, r2\n"
                     "1:  vldrw.u32 q0, [r0], #16\n"
                     "    vqrdmulh.s32 q0, q0, r3\n"
                     "    vrshl.s32 q0, r4\n"
                     "    vmax.s32 q0, q0, q2\n"
                     "    vmin.s32 q0, q0, q3\n"
                     "    vstrb.32 q0, [r1], #4\n"
                     "    letp lr, 1b\n"
                     "    pop {r4, pc}\n");
}

/* TFLite rounds halves away from zero: one less for negative values that will be shifted. */
void asc_requantise(const int32_t *acc, uint8_t *bytes, uint32_t n, const AscRequant *to)
{
    if (to->shift <= 0 && to->zero == 0 && to->low == 0 && to->high == 255) {
        requantise_relu(acc, bytes, n, to->multiplier, to->shift);
        return;
    }
    const int left = to->shift > 0 ? to->shift : 0;
    const int right = to->shift < 0 ? to->shift : 0;
    const int32x4_t low = vdupq_n_s32(to->low);
    const int32x4_t high = vdupq_n_s32(to->high);
    const int32x4_t negative_bit = vdupq_n_s32(right);
    for (uint32_t i = 0; i < n; i += 4) {
        int32x4_t value = vshlq_r_s32(vld1q_s32(acc + i), left);
        value = vqrdmulhq_n_s32(value, to->multiplier);
        value = vqaddq_s32(value, vshrq_n_s32(vandq_s32(value, negative_bit), 31));
        value = vaddq_n_s32(vrshlq_n_s32(value, right), to->zero);
        value = vminq_s32(vmaxq_s32(value, low), high);
        vstrbq_s32((int8_t *)bytes + i, value);
    }
}

static inline int32x4_t times(int32x4_t x, AscFactor factor)
{
    x = vqrdmulhq_n_s32(x, factor.multiplier);
    x = vaddq_s32(x, vandq_s32(vshrq_n_s32(x, 31), vdupq_n_s32(factor.negative)));
    return vrshlq_n_s32(x, -factor.shift);
}

static inline int32x4_t clamp(int32x4_t x, int32_t low, int32_t high)
{
    return vminq_s32(vmaxq_s32(x, vdupq_n_s32(low)), vdupq_n_s32(high));
}

void asc_affine(uint8_t *to, const uint8_t *from, uint32_t n, const AscAffine *affine)
{
    const AscAffine a = *affine;
    for (uint32_t i = 0; i < n; i += 4) {
        const mve_pred16_t there = vctp32q(n - i);
        int32x4_t value = vsubq_n_s32(vreinterpretq_s32_u32(vldrbq_z_u32(from + i, there)), a.zero);
        if (a.times) {
            value = clamp(times(vmulq_n_s32(value, a.constant), a.product), a.middle_low, a.middle_high);
        }
        if (a.plus) {
            value = times(vaddq_n_s32(times(vshlq_n_s32(value, 20), a.operand), a.summand), a.sum);
        }
        vstrbq_p_s32((int8_t *)to + i, clamp(vaddq_n_s32(value, a.output_zero), a.low, a.high), there);
    }
}

/* Rows of a column two by two: r4 and r7 are where two neighbouring columns are, q2 and q3 the even and the odd rows. */
__attribute__((naked, noinline)) void asc_pool_accumulators(UNSEEN int32_t *acc, UNSEEN uint32_t n_columns,
                                                            UNSEEN uint32_t n_rows, UNSEEN uint32_t pitch)
{
    __asm__ volatile("    push {r4-r8, lr}\n"
                     "    mov r4, #0\n"
                     "    vidup.u32 q2, r4, #8\n"
                     "    mov r4, #4\n"
                     "    vadd.i32 q3, q2, r4\n"
                     "    mov r5, r0\n"
                     "1:  mov r4, r5\n"
                     "    add r7, r5, r3, lsl #2\n"
                     "    add r5, r7, r3, lsl #2\n"
                     "    mov r8, r0\n"
                     "    dlstp.32 lr, r2\n"
                     "2:  vldrw.u32 q0, [r4, q2]\n"
                     "    vldrw.u32 q1, [r4, q3]\n"
                     "    add r4, #32\n"
                     "    vmax.s32 q0, q0, q1\n"
                     "    vldrw.u32 q1, [r7, q2]\n"
                     "    vmax.s32 q0, q0, q1\n"
                     "    vldrw.u32 q1, [r7, q3]\n"
                     "    add r7, #32\n"
                     "    vmax.s32 q0, q0, q1\n"
                     "    vstrw.32 q0, [r8], #16\n"
                     "    letp lr, 2b\n"
                     "    add r0, r0, r2, lsl #2\n"
                     "    subs r1, #1\n"
                     "    bne 1b\n"
                     "    pop {r4-r8, pc}\n");
}

#else
typedef int asc_no_mve_kernel; /* a translation unit may not be empty */
#endif
