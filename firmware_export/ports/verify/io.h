/* What the verification program needs of its surroundings: arguments, files, a place to print, the depth of the stack.
   io_host.c has it by stdio, io_semihosting.c from QEMU. */
#ifndef ASC_IO_H
#define ASC_IO_H

#include <stddef.h>
#include <stdint.h>

#define IO_STACK_PAINT 0x5ac0ffeeu

int verify_main(void);

/* Argument number `index` after the program's name, or null. Valid until the next call. */
const char *io_argument(int index);

/* A handle, or -1. */
int io_open(const char *path, int write);

/* Bytes read, fewer than n only at the end of the file. */
size_t io_read(int file, void *data, size_t n);

/* 0, or -1 if not all was written. */
int io_write(int file, const void *data, size_t n);

void io_close(int file);
void io_print(const char *text);

/* Bytes of stack in use at the deepest point so far; 0 where nobody painted it. */
uint32_t io_stack_used(void);

#if defined(__GNUC__)
__attribute__((noreturn))
#endif
void io_exit(int code);

#endif
