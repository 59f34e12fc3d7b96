/* See asc_kernel_dsp.h. */
#include "asc_kernel.h"

#if ASC_HAS_DSP && !ASC_HAS_MVE

#define UNSEEN __attribute__((unused)) /* the assembler uses it, which the compiler does not see */

/* One tap, eight outputs. r0 magnitude, r1 to r8 the sums of outputs 0 to 7, r9 to r11 scratch, r12 the mask, lr the list,
   which has moved on already: the address of this tap stands `back` bytes from there. */
#define TAP(pick, back)                       \
    "    ldr r10, [r9], #4\n"                 \
    "    ldr r11, [r9], #4\n"                 \
    "    str r9, [lr, #" back "]\n"           \
    "    " pick " r9, r12, r10\n"             \
    "    umlal r1, r4, r9, r0\n"              \
    "    " pick " r10, r12, r10, ror #16\n"   \
    "    umlal r3, r2, r10, r0\n"             \
    "    " pick " r9, r12, r11\n"             \
    "    umlal r5, r8, r9, r0\n"              \
    "    " pick " r11, r12, r11, ror #16\n"   \
    "    umlal r7, r6, r11, r0\n"

/* All taps of one sign, two per round; an odd number begins with the second. */
#define TAPS(pick, step, back)                \
    "    tst lr, #8\n"                        \
    "    bne 2f\n"                            \
    "1:  ldrd r0, r9, [lr], #" step "\n"      \
    "    cbz r0, 3f\n"                        \
    TAP(pick, back)                           \
    "2:  ldrd r0, r9, [lr], #" step "\n"      \
    TAP(pick, back)                           \
    "    b 1b\n"                              \
    "3:\n"

/* On the stack: acc, n_tiles, last_negative, first_positive; nine saved registers; offset. */
__attribute__((naked, noinline)) void asc_dsp_tiles(UNSEEN int32_t *acc, UNSEEN uint32_t n_tiles,
                                                    UNSEEN AscTap *last_negative, UNSEEN AscTap *first_positive,
                                                    UNSEEN int32_t offset)
{
    __asm__ volatile(
        "    push {r0-r11, lr}\n"
        "    movw r12, #0x00ff\n"
        "    movt r12, #0xff00\n"
        "0:  adr lr, 9f\n"
        "    ldm lr, {r1-r8}\n"
        "    ldr lr, [sp, #8]\n"
        TAPS("bic", "-8", "12")
        "    ldr lr, [sp, #12]\n"
        TAPS("and", "8", "-4")
        "    ldr r9, [sp, #52]\n"
        "    add r1, r9, r1\n"
        "    add r2, r9, r2, lsl #8\n"
        "    add r3, r9, r3\n"
        "    add r4, r9, r4, lsl #8\n"
        "    add r5, r9, r5\n"
        "    add r6, r9, r6, lsl #8\n"
        "    add r7, r9, r7\n"
        "    add r8, r9, r8, lsl #8\n"
        "    ldrd r0, r9, [sp]\n"
        "    stm r0!, {r1-r8}\n"
        "    subs r9, #1\n"
        "    strd r0, r9, [sp]\n"
        "    bne 0b\n"
        "    add sp, #16\n"
        "    pop {r4-r11, pc}\n"
        "    .balign 4\n"
        "9:  .word 0, 0, 0, 0, 0, 0, 0, 0\n");
}

/* bytes[i] = acc[i] / 256 times the factor, from 0 to 255, for n rounded up to 8. What a result below 0 is rounded to does
   not matter, so both of TFLite's roundings are one addition: (64 + 64 * 2^s) / 2^(s + 7) of a step. */
__attribute__((naked, noinline)) static void requantise_relu(UNSEEN const int32_t *acc, UNSEEN uint8_t *bytes,
                                                             UNSEEN uint8_t *end, UNSEEN int32_t multiplier,
                                                             UNSEEN int32_t rounding, UNSEEN int32_t shift)
{
    __asm__ volatile(
        "    push {r4-r11, lr}\n"
        "    ldrd r12, lr, [sp, #36]\n"
        "1:  ldm r0!, {r4-r11}\n"
        "    smmla r4, r4, r3, r12\n"
        "    smmla r5, r5, r3, r12\n"
        "    smmla r6, r6, r3, r12\n"
        "    smmla r7, r7, r3, r12\n"
        "    smmla r8, r8, r3, r12\n"
        "    smmla r9, r9, r3, r12\n"
        "    smmla r10, r10, r3, r12\n"
        "    smmla r11, r11, r3, r12\n"
        "    asr r4, lr\n"
        "    asr r5, lr\n"
        "    asr r6, lr\n"
        "    asr r7, lr\n"
        "    asr r8, lr\n"
        "    asr r9, lr\n"
        "    asr r10, lr\n"
        "    asr r11, lr\n"
        "    pkhbt r4, r4, r6, lsl #16\n"
        "    pkhbt r5, r5, r7, lsl #16\n"
        "    pkhbt r8, r8, r10, lsl #16\n"
        "    pkhbt r9, r9, r11, lsl #16\n"
        "    usat16 r4, #8, r4\n"
        "    usat16 r5, #8, r5\n"
        "    usat16 r8, #8, r8\n"
        "    usat16 r9, #8, r9\n"
        "    orr r4, r4, r5, lsl #8\n"
        "    orr r8, r8, r9, lsl #8\n"
        "    str r4, [r1], #4\n" /* not strd: bytes may stand anywhere */
        "    str r8, [r1], #4\n"
        "    cmp r1, r2\n"
        "    blo 1b\n"
        "    pop {r4-r11, pc}\n");
}

void asc_dsp_requantise_relu(const int32_t *acc, uint8_t *bytes, uint32_t n, int32_t multiplier, int shift)
{
    const int32_t rounding = 64 + (shift < 0 ? 64 << -shift : 0);
    requantise_relu(acc, bytes, bytes + n, multiplier, rounding, 7 - shift);
}

static void add_products(int32_t *sums, AscTap *from, const AscTap *end, int32_t sign)
{
    for (; from < end; from++) {
        const uint8_t *input = (const uint8_t *)(uintptr_t)from->address;
        const int32_t weight = sign * (int32_t)(from->magnitude >> 8);
        for (int i = 0; i < 8; i++) {
            sums[i] += weight * (int32_t)input[i];
        }
        from->address += 8;
    }
}

void asc_dsp_accumulate_wide(int32_t *acc, uint32_t n, AscTaps *taps, int32_t bias)
{
    for (uint32_t at = 0; at < n; at += 8) {
        for (int i = 0; i < 8; i++) {
            acc[at + (uint32_t)i] = bias;
        }
        add_products(acc + at, taps->begin + 1, taps->stored.last_negative + 1, -1);
        add_products(acc + at, taps->stored.first_positive, taps->end, 1);
    }
}

#else
typedef int asc_no_dsp_kernel; /* a translation unit may not be empty */
#endif
