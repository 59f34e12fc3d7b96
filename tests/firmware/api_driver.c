/* Does what standard input says with two states and prints what each call returned. The samples are a fixed sequence of
   noise, the same for both states, each of which goes through it at its own pace.

       init S | push S N | step S BUDGET | classify S | show S | move S | null | untouched | misplaced */
#include "asc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static AscState states[2];
static uint32_t random_state[2] = {1, 1};

static int push(int which, size_t n)
{
    /* Exactly n samples on the heap, so that a sanitizer sees any further one that is read. */
    int16_t *samples = malloc(n * sizeof *samples);
    for (size_t i = 0; samples != NULL && i < n; i++) {
        random_state[which] = random_state[which] * 1664525u + 1013904223u;
        samples[i] = (int16_t)((int32_t)(random_state[which] >> 16) - 32768);
    }
    const int status = asc_push(&states[which], samples, n);
    free(samples);
    return status;
}

static void show(const AscState *state)
{
    const float *probabilities = asc_probabilities(state);
    printf("%u %d %d %s", (unsigned)asc_ready(state), asc_busy(state), asc_label_index(state),
           asc_label(state) == NULL ? "none" : asc_label(state));
    for (int label = 0; probabilities != NULL && label < ASC_MODEL_N_LABELS; label++)
        printf(" %.9g", (double)probabilities[label]);
    printf(" %u\n", (unsigned)state->n_dropped);
}

static void call_wrongly(AscState *state, const char *name)
{
    const int16_t sample = 0;
    printf("%s %d %d %d %d %u %d %d %d %d\n", name, asc_push(state, &sample, 1), asc_push(state, NULL, 0),
           asc_step(state, 1), asc_classify(state), (unsigned)asc_ready(state), asc_busy(state),
           asc_probabilities(state) == NULL, asc_label(state) == NULL, asc_label_index(state));
}

int main(void)
{
    char verb[16];
    int which;
    unsigned number;
    for (char line[64]; fgets(line, sizeof line, stdin) != NULL;) {
        which = 0;
        number = 0;
        if (sscanf(line, "%15s %d %u", verb, &which, &number) < 1)
            return 2;
        if (!strcmp(verb, "init"))
            printf("%d\n", asc_init(&states[which]));
        else if (!strcmp(verb, "push"))
            printf("%d\n", push(which, number));
        else if (!strcmp(verb, "step"))
            printf("%d\n", asc_step(&states[which], number));
        else if (!strcmp(verb, "classify"))
            printf("%d\n", asc_classify(&states[which]));
        else if (!strcmp(verb, "show"))
            show(&states[which]);
        else if (!strcmp(verb, "move")) {
            states[1 - which] = states[which];
            memset(&states[which], 0xa5, sizeof states[which]);
        } else if (!strcmp(verb, "misplaced")) {
            static int32_t place[sizeof(AscState) / 4 + 4];
            AscState *state = (AscState *)(void *)((char *)place + 1);
            call_wrongly(state, "misplaced");
            printf("%d %d\n", asc_init(state), asc_init_sized(&states[which], sizeof *state - 4));
            for (size_t i = 0; i < sizeof place / sizeof *place; i++)
                if (place[i] != 0)
                    return 3;
        } else if (!strcmp(verb, "null")) {
            call_wrongly(NULL, "null");
            printf("%d %d\n", asc_init(NULL), asc_push(&states[which], NULL, 5));
        } else if (!strcmp(verb, "untouched"))
            call_wrongly(&states[which], "untouched");
        else
            return 2;
    }
    return 0;
}
