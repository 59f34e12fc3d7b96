/* Reset of a bare RV32 machine under QEMU: stack and FPU, zeros, stack painted, main, exit. Everything lies in RAM. */
#include "io.h"

extern uint32_t link_zero_start[], link_zero_end[], link_stack_bottom[], link_stack_top[];

void run(void);

__attribute__((naked, section(".vectors"), used)) void reset(void)
{
    __asm__ volatile(".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
                     "la sp, link_stack_top\nla t0, fault\n.option arch, +zicsr\ncsrw mtvec, t0\n"
#ifdef __riscv_flen
                     "li t0, 0x2000\ncsrs mstatus, t0\n"
#endif
                     "j run");
}

__attribute__((used, aligned(4))) static void fault(void)
{
    io_exit(99);
}

__attribute__((noreturn, used)) void run(void)
{
    for (uint32_t *word = link_zero_start; word < link_zero_end; word++)
        *word = 0;
    uint32_t *here;
    __asm__ volatile("mv %0, sp" : "=r"(here));
    for (uint32_t *word = link_stack_bottom; word < here - 8; word++)
        *word = IO_STACK_PAINT;
    io_exit(verify_main());
}

uint32_t io_stack_used(void)
{
    const uint32_t *word = link_stack_bottom;
    while (word < link_stack_top && *word == IO_STACK_PAINT)
        word++;
    return (uint32_t)((uintptr_t)link_stack_top - (uintptr_t)word);
}
