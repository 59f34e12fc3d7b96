/* Files, arguments and the exit code of the host, by semihosting: Cortex-M (bkpt 0xab) and RISC-V (ebreak between two
   marker instructions). Operation numbers are those of "Semihosting for AArch32 and AArch64", which RISC-V shares. */
#ifndef ASC_SEMIHOSTING_H
#define ASC_SEMIHOSTING_H

#include <stdint.h>

enum { SH_OPEN = 1, SH_CLOSE = 2, SH_WRITE0 = 4, SH_WRITE = 5, SH_READ = 6, SH_CMDLINE = 0x15, SH_EXIT = 0x20 };

static inline uintptr_t semihosting(uintptr_t operation, const void *argument)
{
#if defined(__arm__)
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#elif defined(__riscv)
    register uintptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
    return a0;
#else
#error "semihosting is written for Arm and RISC-V"
#endif
}

#endif
