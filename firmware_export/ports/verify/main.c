/* Runs the exported code on files, on the host or on a bare machine, so that somebody else can compare the answers.

       frames PCM OUT            each frame's levels (asc_db), lowest band first
       windows IN OUT MEMBER     int8 windows [frame][band] -> int8 outputs [window][member][label]; MEMBER: a number, or
                                 "all"
       classify PCM OUT HOP      from samples to answers: after each HOP new frames, the window that the members saw
                                 (int8 [frame][band]), int8 outputs [member][label], float32 probabilities [label]
   Sizes and the depth of the stack are printed at the end, one "name value" per line. */
#include "asc.h"
#include "io.h"

#include <string.h>

/* Entered between the parts of the work, for the counting plugin. */
#define PHASE(name)                                   \
    __attribute__((noinline)) void asc_phase_##name(void); \
    void asc_phase_##name(void)                       \
    {                                                 \
        __asm__ volatile("");                         \
    }
PHASE(frontend)
PHASE(network)
PHASE(rest)

enum { BLOCK = 480, STEP_BUDGET = 100000 }; /* 10 ms at 48 kHz; multiplications */

static AscState state;
static int16_t block[BLOCK];

static void print_number(const char *name, uint32_t value)
{
    char text[48], digits[12];
    size_t n = 0, length = strlen(name);
    memcpy(text, name, length);
    text[length++] = ' ';
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        text[length++] = digits[--n];
    text[length++] = '\n';
    text[length] = 0;
    io_print(text);
}

static int number(const char *text)
{
    int value = 0;
    for (; text != NULL && *text >= '0' && *text <= '9'; text++)
        value = 10 * value + (*text - '0');
    return value;
}

static int fail(const char *text)
{
    io_print(text);
    return 1;
}

static int frames(int in, int out)
{
    size_t n;
    asc_frontend_reset(&state.frontend);
    while ((n = io_read(in, block, sizeof block) / sizeof *block) > 0)
        for (size_t i = 0; i < n;) {
            asc_db db[ASC_N_MELS];
            int complete;
            asc_phase_frontend();
            i += asc_frontend_push(&state.frontend, block + i, n - i, db, &complete);
            asc_phase_rest();
            if (complete && io_write(out, db, sizeof db) != 0)
                return fail("error: the output cannot be written\n");
        }
    return 0;
}

static int windows(int in, int out, const char *which)
{
    const int all = strcmp(which, "all") == 0;
    const int first = all ? 0 : number(which), last = all ? ASC_MODEL_N_MEMBERS - 1 : first;
    const size_t n_bytes = ASC_N_FRAMES * ASC_N_MELS;
    const AscWindow window = {state.columns, ASC_N_FRAMES, 0, INT8_MIN};
    while (io_read(in, state.columns, n_bytes) == n_bytes)
        for (int member = first; member <= last; member++) {
            int8_t output[ASC_MODEL_N_LABELS];
            asc_model_begin(&state.model, member);
            int status;
            do {
                asc_phase_network();
                status = asc_model_step(&state.model, &window, STEP_BUDGET);
                asc_phase_rest();
            } while (status == ASC_MODEL_MORE);
            if (status != ASC_MODEL_DONE || asc_model_output(&state.model, output) != 0)
                return fail("error: a member cannot be run\n");
            if (io_write(out, output, sizeof output) != 0)
                return fail("error: the output cannot be written\n");
        }
    return 0;
}

/* The window as the members see it: in order, and clamped. */
static int write_window(int out, const AscWindow *window)
{
    for (uint32_t i = 0; i < ASC_N_FRAMES; i++) {
        int8_t column[ASC_N_MELS];
        memcpy(column, window->columns + (window->first + i) % window->capacity * ASC_N_MELS, sizeof column);
        for (int band = 0; band < ASC_N_MELS; band++)
            column[band] = column[band] > window->floor ? column[band] : window->floor;
        if (io_write(out, column, sizeof column) != 0)
            return -1;
    }
    return 0;
}

static int classify(int in, int out, uint32_t hop)
{
    size_t n;
    asc_init(&state);
    while ((n = io_read(in, block, sizeof block) / sizeof *block) > 0) {
        asc_phase_frontend();
        const int status = asc_push(&state, block, n);
        asc_phase_rest();
        if (status != ASC_DONE)
            return fail("error: samples were dropped\n");
        if (asc_ready(&state) < hop || asc_ready(&state) == 0)
            continue;
        asc_phase_network();
        const int answer = asc_classify(&state);
        asc_phase_rest();
        if (answer != ASC_DONE)
            return fail("error: the window cannot be classified\n");
        if (write_window(out, &state.window) != 0 || io_write(out, state.outputs, sizeof state.outputs) != 0 ||
            io_write(out, asc_probabilities(&state), sizeof state.probabilities) != 0)
            return fail("error: the output cannot be written\n");
        io_print("\"");
        io_print(asc_label(&state));
        io_print("\"\n");
    }
    return 0;
}

int verify_main(void)
{
    char mode[16] = "", path[256];
    const char *text = io_argument(0);
    if (text != NULL)
        strncat(mode, text, sizeof mode - 1);
    if ((text = io_argument(1)) == NULL || strlen(text) >= sizeof path)
        return fail("error: no input file\n");
    strcpy(path, text);
    const int in = io_open(path, 0);
    if ((text = io_argument(2)) == NULL || in < 0)
        return fail("error: the input file cannot be read\n");
    const int out = io_open(text, 1);
    if (out < 0)
        return fail("error: the output file cannot be written\n");
    text = io_argument(3);
    int status = 2;
    if (strcmp(mode, "frames") == 0)
        status = frames(in, out);
    else if (strcmp(mode, "windows") == 0 && text != NULL)
        status = windows(in, out, text);
    else if (strcmp(mode, "classify") == 0)
        status = classify(in, out, (uint32_t)number(text));
    else
        io_print("error: wanted frames IN OUT, windows IN OUT MEMBER or classify IN OUT HOP\n");
    io_close(in);
    io_close(out);
    print_number("state_bytes", sizeof state);
    print_number("stack_bytes", io_stack_used());
    return status;
}
