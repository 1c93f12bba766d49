/* Runs the recorded samples of golden.c on a Cortex-M4 and says over semihosting what came of it. */
#include "golden.h"

extern uint32_t data_begin[], data_end[], data_load[], bss_begin[], bss_end[], stack_top[];
void reset(void);
static void fault(void);

/* The first words of flash: the stack, reset, and fourteen faults; no interrupt is used. */
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_top, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
};

static const uint32_t words[SNNAS_POPULATIONS] = { GOLDEN_WORDS };
static uint32_t sample, timestep, wrong;

void snnas_trace(uint32_t population, const uint32_t *spikes)
{
    uint32_t sum = 2166136261u;
    for (uint32_t k = 0; k < words[population]; k++) sum = (sum ^ spikes[k]) * 16777619u;
    wrong += sum != golden_spikes[(sample * SNNAS_TIMESTEPS + timestep) * SNNAS_POPULATIONS + population];
}

/* An operation of the debugger, or of QEMU: 4 writes a text, 0x18 ends the emulator. */
static void semihosting(uint32_t operation, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void number(uint32_t value, const char *unit)
{
    char text[11];
    char *at = text + sizeof text - 1;
    *at = 0;
    do *--at = (char)('0' + value % 10u);
    while ((value /= 10u) != 0);
    semihosting(4, (uintptr_t)at);
    semihosting(4, (uintptr_t)unit);
}

static void fault(void)
{
    semihosting(4, (uintptr_t)"a fault: does the model fit the memory of cortex_m4.ld?\n");
    for (;;) {}
}

/* The core counts its own cycles (DWT). */
#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)

static uint32_t run(void)
{
    static snnas_state state;
    static snnas_value frame[SNNAS_FRAME];
    int64_t logits[SNNAS_CLASSES];
    uint32_t cycles = 0;
    snnas_init(&state);
    for (timestep = 0; timestep < SNNAS_TIMESTEPS; timestep++) {
        golden_frame(sample, timestep, frame);
        const uint32_t before = DWT_CYCCNT;
        snnas_step(&state, GOLDEN_STEP(frame));
        cycles += DWT_CYCCNT - before;
    }
    snnas_logits(&state, logits);
    for (uint32_t c = 0; c < SNNAS_CLASSES; c++) wrong += logits[c] != golden_logits[sample * SNNAS_CLASSES + c];
    return cycles;
}

void reset(void)
{
    uint32_t cycles = 0;
    for (uint32_t *to = data_begin, *from = data_load; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
    DEMCR |= 1u << 24;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
    for (sample = 0; sample < GOLDEN_SAMPLES; sample++) cycles += run();
    number(GOLDEN_SAMPLES, " samples, ");
    number(wrong, " differences, ");
    number(cycles / GOLDEN_SAMPLES, " cycles a sample, checks of the spikes included\n");
    semihosting(0x18, wrong == 0 ? 0x20026u : 0x20023u);
    for (;;) {}
}
