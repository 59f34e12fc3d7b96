/* The smallest complete firmware: what an export adds to a program is what this one occupies. */
#include "asc.h"
#include "io.h"

static AscState state;
volatile int16_t asc_microphone;
volatile int asc_answer;

int verify_main(void)
{
    asc_init(&state);
    for (;;) {
        const int16_t sample = asc_microphone;
        asc_push(&state, &sample, 1);
        if (asc_busy(&state) || asc_ready(&state) >= ASC_FRAMES_PER_SECOND)
            if (asc_step(&state, 100000) == ASC_DONE)
                asc_answer = asc_label_index(&state);
    }
}
