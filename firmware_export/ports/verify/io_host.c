/* io.h on the machine that compiled it. */
#define _POSIX_C_SOURCE 200809L
#include "io.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char **arguments;
static int n_arguments;
static FILE *files[4];

const char *io_argument(int index)
{
    return index + 1 < n_arguments ? arguments[index + 1] : NULL;
}

int io_open(const char *path, int write)
{
    for (int i = 0; i < 4; i++)
        if (files[i] == NULL) {
            files[i] = fopen(path, write ? "wb" : "rb");
            return files[i] == NULL ? -1 : i;
        }
    return -1;
}

size_t io_read(int file, void *data, size_t n)
{
    return fread(data, 1, n, files[file]);
}

int io_write(int file, const void *data, size_t n)
{
    return fwrite(data, 1, n, files[file]) == n ? 0 : -1;
}

void io_close(int file)
{
    fclose(files[file]);
    files[file] = NULL;
}

void io_print(const char *text)
{
    fputs(text, stdout);
}

uint32_t io_stack_used(void)
{
    return 0;
}

void io_exit(int code)
{
    exit(code);
}

int main(int argc, char **argv)
{
    arguments = argv;
    n_arguments = argc;
    return verify_main();
}
