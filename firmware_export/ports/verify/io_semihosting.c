/* io.h on a bare machine under QEMU. */
#include "io.h"
#include "semihosting.h"

#include <string.h>

const char *io_argument(int index)
{
    static char line[512];
    uintptr_t block[2] = {(uintptr_t)line, sizeof line};
    if (semihosting(SH_CMDLINE, block) != 0)
        return NULL;
    char *word = line;
    for (int i = -1; i < index; i++) {
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
    word[strcspn(word, " ")] = 0;
    return *word ? word : NULL;
}

int io_open(const char *path, int write)
{
    const uintptr_t block[3] = {(uintptr_t)path, write ? 5 : 1, strlen(path)}; /* "wb", "rb" */
    return (int)semihosting(SH_OPEN, block);
}

size_t io_read(int file, void *data, size_t n)
{
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, n};
    return n - semihosting(SH_READ, block);
}

int io_write(int file, const void *data, size_t n)
{
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, n};
    return semihosting(SH_WRITE, block) == 0 ? 0 : -1;
}

void io_close(int file)
{
    const uintptr_t block[1] = {(uintptr_t)file};
    semihosting(SH_CLOSE, block);
}

void io_print(const char *text)
{
    semihosting(SH_WRITE0, text);
}

void io_exit(int code)
{
    const uintptr_t block[2] = {0x20026, (uintptr_t)code}; /* ADP_Stopped_ApplicationExit */
    for (;;)
        semihosting(SH_EXIT, block);
}
