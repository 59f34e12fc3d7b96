/* Unpacking of gaps on Cortex-M with Thumb-2: asc_unpack_as written out, two values per byte of positions, for it takes a
   good part of the time where pieces are narrow. What becomes of a tap is up to the kernel (ASC_STORE_TAP). */
#include "asc_taps.h"

#if ASC_UNPACKS_GAPS

/* What both halves of the loop do once the half byte is in r0: r0 weight, r1 values, r4 their end, r5 distances, less one,
   r6 how many, r7 group_bytes, r8 where the group is, r9 tap; r10 to r12 are the kernel's AscStored. */
#define VALUE(this, last)                   \
    "    cbz r0, 6" this "f\n"              \
    "    add r9, r0\n"                      \
    "    cmp r9, r6\n"                      \
    "    bhi 7" this "f\n"                  \
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
    "7" this ": sub r9, r6\n"               \
    "    add r8, r7\n"                      \
    "    cmp r9, r6\n"                      \
    "    bhi 7" this "b\n"                  \
    "    b 2" this "b\n"                    \
    ASC_STORE_TAP_RARELY(this)

/* What the loop starts from and ends with, in the order of the registers from r1 on. */
typedef struct {
    const int8_t *value;
    const uint8_t *position;
    uint32_t bits;
    const int8_t *end;
    const uint16_t *distances;
    uint32_t n_taps, group_bytes, address, tap;
    AscStored stored;
} Unpacking;

__attribute__((naked, noinline)) static void unpack_gaps(__attribute__((unused)) Unpacking *state)
{
    __asm__ volatile(
        "    push {r0, r4-r11, lr}\n"
        "    ldm r0, {r1-r12}\n"
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
        "11: pop {r0}\n"
        "    stm r0, {r1-r12}\n"
        "    pop {r4-r11, pc}\n"
        RARE("1", "5b")
        RARE("2", "4b"));
}

ASC_NOINLINE void asc_unpack(AscTapReader *from, const AscLayer *layer, const AscStep *step, uint32_t distance,
                             AscTaps *to)
{
    const uint32_t count = asc_next_count(from, layer);
    if (layer->encoding == ASC_BITS) {
        asc_unpack_as(from, ASC_BITS, count, step, distance, to);
    } else if (layer->encoding == ASC_ALL) {
        asc_unpack_as(from, ASC_ALL, count, step, distance, to);
    } else if (count > 0) {
        Unpacking state = {from->value, from->position, from->bits, from->value + count, step->taps - 1, step->n_taps,
                           step->group_bytes, to->corner + distance, 0, to->stored};
        unpack_gaps(&state);
        from->value = state.value;
        from->position = state.position;
        from->bits = state.bits;
        to->stored = state.stored;
    }
}

#else
typedef int asc_no_thumb2_unpacking; /* a translation unit may not be empty */
#endif
