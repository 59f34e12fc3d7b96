/* Choices that the compiler command line may make; each has a default that suits the target. */
#ifndef ASC_CONFIG_H
#define ASC_CONFIG_H

#include <limits.h>

#if CHAR_BIT != 8 || INT_MAX < 0x7fffffff
#error "asc needs bytes of 8 bits and an int of 32"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "asc is written for little-endian processors and was tested on no others"
#endif

/* 1: the front end computes in integers (parts without an FPU). 0: in float32. */
#ifndef ASC_FIXED_POINT
#if (defined(__arm__) && !(defined(__ARM_FP) && (__ARM_FP & 4))) || (defined(__riscv) && !defined(__riscv_flen)) || \
    (defined(__XTENSA__) && defined(__XTENSA_SOFT_FLOAT__))
#define ASC_FIXED_POINT 1
#else
#define ASC_FIXED_POINT 0
#endif
#endif

/* 1: no 32 x 32 -> 64 bit multiply in hardware (ARMv6-M): built from 16-bit products, with the same results. */
#ifndef ASC_NARROW_MULTIPLY
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define ASC_NARROW_MULTIPLY 1
#else
#define ASC_NARROW_MULTIPLY 0
#endif
#endif

/* a * b + c in one instruction where there is one; elsewhere fmaf() would be a slow function. */
#if defined(__GNUC__) && (defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA) || defined(__FMA__))
#define ASC_FMA(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define ASC_FMA(a, b, c) ((a) * (b) + (c))
#endif

#endif
