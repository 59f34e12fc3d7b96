/* Unpacking of gaps on Cortex-M with Thumb-2: asc_unpack_as written out, two values per byte of positions, for it takes a
   good part of the time where pieces are narrow. What becomes of a tap is up to the kernel (ASC_STORE_TAP). */
#include "asc_taps.h"

#if ASC_UNPACKS_GAPS

/* What both halves of the loop do once the half byte is in r0: r0 weight; r1 to r3 and r5 to r7 are the AscTapReader, with
   the end of the distances in r5; r4 the end of the values, r8 where the group is, r9 the tap, counted down from the end of
   its group so that 0 is the last in it; r10 to r12 are the kernel's AscStored. */
#define VALUE(this, last)                   \
    "    cbz r0, 6" this "f\n"              \
    "    adds r9, r0\n"                     \
    "    bgt 7" this "f\n"                  \
    "2" this ": ldrsb r0, [r1], #1\n"       \
    "    ldrh lr, [r5, r9, lsl #1]\n"       \
    "    add lr, r8\n"                      \
    ASC_STORE_TAP(this)                     \
    "    cmp r1, r4\n"                      \
    "    " last "\n"

/* Out of the way: fifteen zeros and no value; on to the next group. */
#define RARE(this, next)                    \
    "6" this ": add r9, #15\n"              \
    "    b " next "\n"                      \
    "7" this ": add r8, r7\n"               \
    "    subs r9, r6\n"                     \
    "    bgt 7" this "b\n"                  \
    "    b 2" this "b\n"                    \
    ASC_STORE_TAP_RARELY(this)

__attribute__((naked, noinline)) static void unpack_gaps(__attribute__((unused)) AscTapReader *reader,
                                                         __attribute__((unused)) AscStored *stored,
                                                         __attribute__((unused)) const int8_t *end,
                                                         __attribute__((unused)) uint32_t address)
{
    __asm__ volatile(
        "    push {r0, r1, r4-r11, lr}\n"
        "    ldm r1, {r10-r12}\n"
        "    mov r4, r2\n"
        "    mov r8, r3\n"
        "    ldm r0, {r1-r3, r5-r7}\n"
        "    add r5, r5, r6, lsl #1\n"
        "    rsb r9, r6, #0\n"
        "    cmp r3, #1\n"
        "    beq 4f\n"
        "    and r0, r3, #15\n"
        "    b 10f\n"
        "4:  ldrb r3, [r2], #1\n"
        "    and r0, r3, #15\n"
        VALUE("1", "beq 9f")
        "5:  lsr r0, r3, #4\n"
        "10:\n"
        VALUE("2", "bne 4b")
        "    mov r3, #1\n"
        "    b 11f\n"
        "9:  lsr r3, #4\n"
        "    orr r3, #0x10\n"
        "11: pop {r0, r4}\n"
        "    stm r0, {r1-r3}\n"
        "    stm r4, {r10-r12}\n"
        "    pop {r4-r11, pc}\n"
        RARE("1", "5b")
        RARE("2", "4b"));
}

static ASC_NOINLINE void unpack_rarely(AscTapReader *from, uint8_t encoding, uint32_t count, uint32_t n_positions,
                                       AscTaps *to)
{
    if (encoding == ASC_BITS) {
        asc_unpack_as(from, ASC_BITS, count, n_positions, to);
    } else {
        asc_unpack_as(from, ASC_ALL, count, n_positions, to);
    }
}

void asc_unpack(AscTapReader *from, const AscLayer *layer, uint32_t n_positions, AscTaps *to)
{
    const uint32_t count = asc_next_count(from, layer);
    if (layer->encoding != ASC_GAPS) {
        unpack_rarely(from, layer->encoding, count, n_positions, to);
    } else if (count > 0) {
        unpack_gaps(from, &to->stored, from->value + count, to->corner);
    }
}

#else
typedef int asc_no_thumb2_unpacking; /* a translation unit may not be empty */
#endif
