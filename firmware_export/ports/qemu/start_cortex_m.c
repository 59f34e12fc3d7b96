/* Vector table and reset of a bare Cortex-M under QEMU: FPU on, data and zeros in place, stack painted, main, exit. */
#include "io.h"

extern uint32_t link_data_start[], link_data_end[], link_data_load[], link_zero_start[], link_zero_end[];
extern uint32_t link_stack_bottom[], link_stack_top[];

void reset(void);

static void fault(void)
{
    io_exit(99);
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)link_stack_top, (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,          (uintptr_t)fault, (uintptr_t)fault,
};

static void copy(uint32_t *to, const uint32_t *from, const uint32_t *end)
{
    for (; to < end; to++)
        *to = *from++;
}

static void fill(uint32_t *to, const uint32_t *end, uint32_t value)
{
    for (; to < end; to++)
        *to = value;
}

__attribute__((noreturn, used)) void reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: coprocessors 10 and 11 */
    __asm__ volatile("dsb\nisb");
#endif
#if !defined(__ARM_FEATURE_UNALIGNED)
    *(volatile uint32_t *)0xe000ed14u |= 1u << 3; /* CCR.UNALIGN_TRP: what runs Cortex-M0+ code faults as a Cortex-M0+ */
#endif
    copy(link_data_start, link_data_load, link_data_end);
    fill(link_zero_start, link_zero_end, 0);
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    fill(link_stack_bottom, here - 8, IO_STACK_PAINT);
    io_exit(verify_main());
}

uint32_t io_stack_used(void)
{
    const uint32_t *word = link_stack_bottom;
    while (word < link_stack_top && *word == IO_STACK_PAINT)
        word++;
    return (uint32_t)((uintptr_t)link_stack_top - (uintptr_t)word);
}
