/* Runs a model on samples from standard input: per sample SNNAS_TIMESTEPS frames in, then per timestep the spikes of
   every population (with SNNAS_TRACE) and, after the last one, the logits out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#ifdef SNNAS_TRACE
static const uint32_t words[SNNAS_POPULATIONS] = { SNNAS_WORDS };

void snnas_trace(uint32_t population, const uint32_t *spikes)
{
    if (fwrite(spikes, sizeof *spikes, words[population], stdout) != words[population]) exit(2);
}
#endif

int main(void)
{
    static snnas_value frame[SNNAS_FRAME];
#ifdef SNNAS_REPEATS
    static snnas_value last[SNNAS_FRAME];
#endif
    snnas_state *state = malloc(sizeof *state); /* of its own: a sanitizer sees what leaves it */
    static int64_t logits[SNNAS_CLASSES];
    if (state == NULL) return 2;
    for (;;) {
        snnas_init(state);
        for (uint32_t t = 0; t < SNNAS_TIMESTEPS; t++) {
            const size_t got = fread(frame, sizeof frame[0], SNNAS_FRAME, stdin);
            if (got == 0 && t == 0) {
                free(state);
                return fflush(stdout) == 0 ? 0 : 2;
            }
            if (got != SNNAS_FRAME) return 2;
#ifdef SNNAS_REPEATS
            snnas_step(state, t != 0 && memcmp(frame, last, sizeof frame) == 0 ? NULL : frame);
            memcpy(last, frame, sizeof frame);
#else
            snnas_step(state, frame);
#endif
        }
        snnas_logits(state, logits);
        if (fwrite(logits, sizeof logits[0], SNNAS_CLASSES, stdout) != SNNAS_CLASSES) return 2;
    }
}
