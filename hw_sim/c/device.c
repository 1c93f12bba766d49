/* What an image holds beside the model: memory that the emulator fills and reads, and its entries. */
#include "model.h"

snnas_state device_state;
snnas_value device_frame[SNNAS_FRAME];
int64_t device_logits[SNNAS_CLASSES];

void device_init(void);
void device_step(void);
#ifdef SNNAS_REPEATS
void device_again(void);
#endif
void device_logits_out(void);
#ifdef SNNAS_EARLY_EXIT
uint32_t device_answer;
void device_decided(void);
void device_class(void);
#endif
void _start(void);

#ifdef SNNAS_TRACE
static const uint32_t words[SNNAS_POPULATIONS] = { SNNAS_WORDS };
uint32_t device_spikes[SNNAS_ALL_WORDS];

void snnas_trace(uint32_t population, const uint32_t *spikes)
{
    uint32_t at = 0;
    for (uint32_t p = 0; p < population; p++) at += words[p];
    for (uint32_t k = 0; k < words[population]; k++) device_spikes[at + k] = spikes[k];
}
#endif

void device_init(void) { snnas_init(&device_state); }

void device_step(void) { snnas_step(&device_state, device_frame); }

#ifdef SNNAS_REPEATS
void device_again(void) { snnas_step(&device_state, 0); }
#endif

void device_logits_out(void) { snnas_logits(&device_state, device_logits); }

#ifdef SNNAS_EARLY_EXIT
void device_decided(void) { device_answer = snnas_decided(&device_state); }

void device_class(void) { device_answer = snnas_class(&device_state); }
#endif

void _start(void)
{
    for (;;) {
        device_init();
        device_step();
#ifdef SNNAS_REPEATS
        device_again();
#endif
#ifdef SNNAS_EARLY_EXIT
        device_decided();
        device_class();
#endif
        device_logits_out();
    }
}
