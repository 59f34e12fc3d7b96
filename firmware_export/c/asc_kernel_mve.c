/* See asc_kernel_mve.h. */
#include "asc_kernel.h"

#if ASC_HAS_MVE

#define UNSEEN __attribute__((unused)) /* the assembler uses it, which the compiler does not see */

/* A tap's part of vector v of the sums: four inputs more, times the weight. Two vectors of inputs take turns. */
#define INPUTS_0 "q6"
#define INPUTS_1 "q7"
#define INPUTS_2 "q6"
#define INPUTS_3 "q7"
#define INPUTS_4 "q6"
#define INPUTS_5 "q7"
#define PRODUCTS(v, weight, address)                           \
    "    vldrb.u32 " INPUTS_##v ", [" address ", #4*" #v "]\n" \
    "    vmla.s32 q" #v ", " INPUTS_##v ", " weight "\n"
#define FIRST(v) PRODUCTS(v, "r4", "r5")
#define SECOND(v) PRODUCTS(v, "r6", "r7")
#define START(v) "    vdup.32 q" #v ", r10\n"
#define STORE(v) "    vstrw.32 q" #v ", [r0], #16\n"
#define EACH_1(OF) OF(0)
#define EACH_2(OF) EACH_1(OF) OF(1)
#define EACH_3(OF) EACH_2(OF) OF(2)
#define EACH_4(OF) EACH_3(OF) OF(3)
#define EACH_5(OF) EACH_4(OF) OF(4)
#define EACH_6(OF) EACH_5(OF) OF(5)

/* r4 and r5 are a tap's weight and address, r6 and r7 the next one's; r8 is `at`, r9 the list of taps. */
#define TILES(N)                                                                                          \
    __attribute__((naked, noinline)) void asc_mve_tiles_of_##N(                                           \
        UNSEEN int32_t *acc, UNSEEN uint32_t n_tiles, UNSEEN const AscTap *taps, UNSEEN uint32_t n_pairs, \
        UNSEEN uint32_t at, UNSEEN int32_t bias)                                                          \
    {                                                                                                     \
        __asm__ volatile("    push {r4-r10, lr}\n"                                                        \
                         "    vpush {d8-d15}\n"                                                           \
                         "    ldr r8, [sp, #96]\n"                                                        \
                         "    ldr r10, [sp, #100]\n"                                                      \
                         "1:  mov r9, r2\n" EACH_##N(START)                                               \
                         "    wls lr, r3, 3f\n"                                                           \
                         "2:  ldm r9!, {r4-r7}\n"                                                         \
                         "    add r5, r8\n" EACH_##N(FIRST)                                               \
                         "    add r7, r8\n" EACH_##N(SECOND)                                              \
                         "    le lr, 2b\n"                                                                \
                         "3:\n" EACH_##N(STORE)                                                           \
                         "    add r8, #4*" #N "\n"                                                        \
                         "    subs r1, #1\n"                                                              \
                         "    bne 1b\n"                                                                   \
                         "    vpop {d8-d15}\n"                                                            \
                         "    pop {r4-r10, pc}\n");                                                       \
    }

TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

/* Sixteen at a time, then four. What a negative result is rounded to does not matter: it becomes 0. VLD4 puts every
   fourth sum into a vector of its own; narrowing takes them back into one, in their order. */
__attribute__((naked, noinline)) void asc_mve_requantise_relu(UNSEEN const int32_t *acc, UNSEEN uint8_t *bytes,
                                                              UNSEEN uint32_t n, UNSEEN const AscRequant *to)
{
    __asm__ volatile("    push {r4, lr}\n"
                     "    ldrd r3, r4, [r3, #4]\n"
                     "    lsr r12, r2, #4\n"
                     "    and r2, #15\n"
                     "    wls lr, r12, 2f\n"
                     "1:  vld40.32 {q0, q1, q2, q3}, [r0]\n"
                     "    vld41.32 {q0, q1, q2, q3}, [r0]\n"
                     "    vld42.32 {q0, q1, q2, q3}, [r0]\n"
                     "    vld43.32 {q0, q1, q2, q3}, [r0]!\n"
                     "    vqrdmulh.s32 q0, q0, r3\n"
                     "    vqrdmulh.s32 q2, q2, r3\n"
                     "    vqrdmulh.s32 q1, q1, r3\n"
                     "    vqrdmulh.s32 q3, q3, r3\n"
                     "    vrshl.s32 q0, r4\n"
                     "    vrshl.s32 q2, r4\n"
                     "    vrshl.s32 q1, r4\n"
                     "    vrshl.s32 q3, r4\n"
                     "    vqmovunb.s32 q0, q0\n"
                     "    vqmovunt.s32 q0, q2\n"
                     "    vqmovunb.s32 q1, q1\n"
                     "    vqmovunt.s32 q1, q3\n"
                     "    vqmovnb.u16 q0, q0\n"
                     "    vqmovnt.u16 q0, q1\n"
                     "    vstrb.8 q0, [r1], #16\n"
                     "    le lr, 1b\n"
                     "2:  vmov.i32 q2, #0\n"
                     "    vmov.i32 q3, #255\n"
                     "    wlstp.32 lr, r2, 4f\n"
                     "3:  vldrw.u32 q0, [r0], #16\n"
                     "    vqrdmulh.s32 q0, q0, r3\n"
                     "    vrshl.s32 q0, r4\n"
                     "    vmax.s32 q0, q0, q2\n"
                     "    vmin.s32 q0, q0, q3\n"
                     "    vstrb.32 q0, [r1], #4\n"
                     "    letp lr, 3b\n"
                     "4:  pop {r4, pc}\n");
}

/* TFLite rounds halves away from zero: one less for negative values that will be shifted. r5 multiplier, r6 shift to the
   right, r7 zero, r8 low, r9 high, r10 shift to the left. */
__attribute__((naked, noinline)) void asc_mve_requantise(UNSEEN const int32_t *acc, UNSEEN uint8_t *bytes,
                                                         UNSEEN uint32_t n, UNSEEN const AscRequant *to)
{
    __asm__ volatile("    push {r4-r10, lr}\n"
                     "    vpush {d8-d9}\n"
                     "    ldm r3, {r4-r9}\n"
                     "    bic r10, r6, r6, asr #31\n"
                     "    and r6, r6, r6, asr #31\n"
                     "    vdup.32 q2, r8\n"
                     "    vdup.32 q3, r9\n"
                     "    vdup.32 q4, r6\n"
                     "    dlstp.32 lr, r2\n"
                     "1:  vldrw.u32 q0, [r0], #16\n"
                     "    vshl.s32 q0, r10\n"
                     "    vqrdmulh.s32 q0, q0, r5\n"
                     "    vand q1, q0, q4\n"
                     "    vshr.s32 q1, q1, #31\n"
                     "    vqadd.s32 q0, q0, q1\n"
                     "    vrshl.s32 q0, r6\n"
                     "    vadd.i32 q0, q0, r7\n"
                     "    vmax.s32 q0, q0, q2\n"
                     "    vmin.s32 q0, q0, q3\n"
                     "    vstrb.32 q0, [r1], #4\n"
                     "    letp lr, 1b\n"
                     "    vpop {d8-d9}\n"
                     "    pop {r4-r10, pc}\n");
}

/* Over the columns, then over the rows, one more down each time: through memory, 32 bytes of it. */
void asc_maximum_of_short(uint8_t *to, const uint8_t *from, uint32_t n_columns, uint32_t pitch, uint32_t n_rows,
                          uint32_t top, uint32_t kernel_rows, uint32_t row_stride)
{
    uint8x16_t largest = vld1q_u8(from);
    for (uint32_t column = 1; column < n_columns; column++) {
        from += pitch;
        largest = vmaxq_u8(largest, vld1q_u8(from));
    }
    vst1q_u8(to, vdupq_n_u8(0));
    vst1q_u8(to + 16, vdupq_n_u8(0));
    vstrbq_p_u8(to + top, largest, vctp8q(n_rows));
    largest = vld1q_u8(to);
    for (uint32_t more = 1; more < kernel_rows; more++) {
        largest = vmaxq_u8(largest, vld1q_u8(to + more));
    }
    if (row_stride == 2) {
        vstrbq_u16(to, vreinterpretq_u16_u8(largest));
    } else {
        vst1q_u8(to, largest);
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

/* Rows of a column two by two: r4 and r5 are where two neighbouring columns are, q0 and q1 the even and the odd rows. Up
   to three maxima too many are written, over what has been read. */
__attribute__((naked, noinline)) void asc_pool_accumulators(UNSEEN int32_t *acc, UNSEEN uint32_t n_columns,
                                                            UNSEEN uint32_t n_rows, UNSEEN uint32_t pitch)
{
    __asm__ volatile("    push {r4-r8, lr}\n"
                     "    mov r6, r0\n"
                     "    lsl r3, #2\n"
                     "    add r7, r2, #3\n"
                     "    lsr r7, #2\n"
                     "1:  mov r4, r6\n"
                     "    add r5, r6, r3\n"
                     "    add r6, r5, r3\n"
                     "    mov r8, r0\n"
                     "    dls lr, r7\n"
                     "2:  vld20.32 {q0, q1}, [r4]\n"
                     "    vld21.32 {q0, q1}, [r4]!\n"
                     "    vld20.32 {q2, q3}, [r5]\n"
                     "    vld21.32 {q2, q3}, [r5]!\n"
                     "    vmax.s32 q0, q0, q1\n"
                     "    vmax.s32 q2, q2, q3\n"
                     "    vmax.s32 q0, q0, q2\n"
                     "    vstrw.32 q0, [r8], #16\n"
                     "    le lr, 2b\n"
                     "    add r0, r0, r2, lsl #2\n"
                     "    subs r1, #1\n"
                     "    bne 1b\n"
                     "    pop {r4-r8, pc}\n");
}

#else
typedef int asc_no_mve_kernel; /* a translation unit may not be empty */
#endif
