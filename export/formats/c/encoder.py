"""encoder.h and encoder.c: from samples of a signal to the spikes that the network takes, one sample at a time.

What ``hw_sim/signals.py`` computes, spike for spike. Of level and latency floats are compared and nothing else: where
a value of a frame fires only falls as the value rises, so that the steps have edges, which are found here. Of delta one
float is subtracted or added at a time, which no compiler contracts.
"""

from __future__ import annotations

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import Program
from snnas.hw_sim.signals import SignalInput, fires_at

SOURCES = ("encoder.h", "encoder.c")

HEADER = """/* From samples of a signal to the spikes that model.h takes, written by snnas. C99, freestanding: no libc,
   no heap. A core without a unit for floats takes them from its compiler's runtime.

   snnas_encoder_init; then snnas_encoder_push with every sample. Where that says that a frame is complete,
   snnas_encoder_frame and snnas_step for each of the SNNAS_FRAME_STEPS timesteps of it.
   {about} */
#ifndef SNNAS_ENCODER_H
#define SNNAS_ENCODER_H

#include <stdint.h>

#define SNNAS_CHANNELS {channels}u
#define SNNAS_SIGNAL {length}u /* samples of a signal */
#define SNNAS_FRAME_STEPS {steps}u

typedef struct {{
{members}
}} snnas_encoder;

void snnas_encoder_init(snnas_encoder *encoder);
/* The next sample, SNNAS_CHANNELS values: 1 where a frame is complete, else 0. */
uint32_t snnas_encoder_push(snnas_encoder *encoder, const float *sample);
/* Behind the last sample, where a frame reaches beyond it: that sample's row again. */
uint32_t snnas_encoder_hold(snnas_encoder *encoder);
/* What snnas_step takes at timestep `step` of the frame. */
void snnas_encoder_frame(const snnas_encoder *encoder, uint32_t step, uint8_t *frame);

#endif
"""

SOURCE = """#include "encoder.h"
{guard}
{constants}
void snnas_encoder_init(snnas_encoder *encoder)
{{
    encoder->due = {window}u;
    encoder->next = encoder->last = 0;
{begin}}}

/* A row is there; the oldest is the next to go. */
static uint32_t snnas_taken(snnas_encoder *encoder)
{{
    encoder->last = encoder->next;
    encoder->next = encoder->next + 1u < {window}u ? encoder->next + 1u : 0u;
    if (--encoder->due != 0) return 0;
    encoder->due = {hop}u;
    return 1;
}}

uint32_t snnas_encoder_push(snnas_encoder *encoder, const float *sample)
{{
    {kind} *row = encoder->rows[encoder->next];
{encode}
    return snnas_taken(encoder);
}}

uint32_t snnas_encoder_hold(snnas_encoder *encoder)
{{
    for (uint32_t k = 0; k < {row}u; k++) encoder->rows[encoder->next][k] = encoder->rows[encoder->last][k];
    return snnas_taken(encoder);
}}

void snnas_encoder_frame(const snnas_encoder *encoder, uint32_t step, uint8_t *frame)
{{
    uint32_t at = encoder->next;
    for (uint32_t k = 0; k < {window}u; k++) {{
        for (uint32_t c = 0; c < {row}u; c++) {{
{give}
        }}
        at = at + 1u < {window}u ? at + 1u : 0u;
    }}
}}
"""

# FLT_EVAL_METHOD 0: an operation has the precision of its type, in one rounding; 16: of floats likewise.
GUARD = """#include <float.h>

#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "floats must be computed in single precision: of an x87, -msse2 -mfpmath=sse"
#endif
"""

DELTA = """    for (uint32_t c = 0; c < SNNAS_CHANNELS; c++) {
        float *reference = &encoder->reference[c];
        if (encoder->begun == 0) *reference = sample[c];
        const float above = sample[c] - *reference, below = *reference - sample[c];
        row[c] = (uint8_t)(above >= threshold[c]);
        row[SNNAS_CHANNELS + c] = (uint8_t)(below >= threshold[c]);
        if (row[c] != 0)
            *reference += threshold[c];
        else if (row[SNNAS_CHANNELS + c] != 0)
            *reference -= threshold[c];
    }
    encoder->begun = 1u;"""

LEVEL = """    for (uint32_t k = 0; k < {levels}u; k++)
        for (uint32_t c = 0; c < SNNAS_CHANNELS; c++)
            row[k * SNNAS_CHANNELS + c] = (uint8_t)(sample[c] >= level[c][k]);"""

HELD = "    for (uint32_t c = 0; c < SNNAS_CHANNELS; c++) row[c] = sample[c];"

SPIKES = """            (void)step;
            frame[c * {window}u + k] = encoder->rows[at][c];"""

FIRES = """            const float value = encoder->rows[at][c];
            const uint32_t by_now = step + 1u >= SNNAS_FRAME_STEPS || value >= edge[c][step];
            const uint32_t before = step != 0 && value >= edge[c][step - 1u];
            frame[c * {window}u + k] = (uint8_t)(by_now & (before ^ 1u));"""

ABOUT = {
    "delta": "Spikes, up and then down: a value is a threshold above, or below, a reference, which follows it.",
    "level": "Spikes: a value reaches a level; the lowest level of all channels first.",
    "latency": "Spikes: every value of a frame fires once in it, the higher the earlier.",
}


def signal_of(program: Program) -> SignalInput | None:
    """What a program's metadata say of signals, where an encoder makes spikes of them."""
    plain = program.meta.get("signal")
    signal = None if plain is None else SignalInput.of(plain, "program")
    return signal if signal is not None and signal.spikes else None


def encoder_texts(program: Program) -> dict[str, str]:
    """``SOURCES`` by name; nothing where no encoder makes spikes of signals."""
    signal = signal_of(program)
    if signal is None:
        return {}
    channels, width = program.input_shape[0] // signal.lines, max(1, signal.window)
    row = channels * signal.lines
    latency = signal.encoding == "latency"
    kind = "float" if latency else "uint8_t"
    members = ["uint32_t due, next, last;", f"{kind} rows[{width}][{row}];"]
    match signal.encoding:
        case "delta":
            members += ["uint32_t begun;", f"float reference[{channels}];"]
            constants, encode = _table("threshold", np.array(_each(signal.thresholds, channels))), DELTA
        case "level":
            constants = _table("level", np.array(_each(signal.reached, channels)))
            encode = LEVEL.format(levels=signal.levels)
        case _:
            constants, encode = _table("edge", edges(signal, channels)), HELD
    longer = "runs slower or faster" if signal.stretched else "is cut, or held (snnas_encoder_hold)"
    about = f"{ABOUT[signal.encoding]}\n   A signal of another length than SNNAS_SIGNAL {longer}, as its training was."
    header = HEADER.format(
        about=about,
        channels=channels,
        length=signal.length,
        steps=signal.frame_steps,
        members="\n".join(f"    {line}" for line in members),
    )
    source = SOURCE.format(
        guard=GUARD if signal.encoding == "delta" else "",
        constants=constants,
        window=width,
        hop=signal.stride,
        kind=kind,
        row=row,
        encode=encode,
        begin="    encoder->begun = 0;\n" if signal.encoding == "delta" else "",
        give=(FIRES if latency else SPIKES).format(window=width),
    )
    return {"encoder.h": header, "encoder.c": source}


def edges(signal: SignalInput, channels: int) -> np.ndarray:
    """Of latency: the least value that has fired by each step but the last, float32 (C, S - 1)."""
    ends = np.array(_each(signal.ends, channels), np.float32)
    steps = np.arange(signal.steps - 1)
    low, high = (np.repeat(ends[:, k : k + 1], len(steps), axis=1) for k in (0, 1))

    def fired(at: np.ndarray) -> np.ndarray:
        return np.asarray(fires_at(_value(at), low, high, signal.steps) <= steps)

    below, reached = _place(low), _place(high)  # the lower end fires last, the upper one first
    while (reached - below > 1).any():
        middle = (below + reached) // 2
        there = fired(middle)
        below, reached = np.where(there, below, middle), np.where(there, middle, reached)
    return _value(reached)


def _place(value: np.ndarray) -> np.ndarray:
    """The place of a float32 among all, int64: neighbours differ by 1."""
    bits = value.view(np.int32).astype(np.int64)
    return np.asarray(np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF)))


def _value(place: np.ndarray) -> np.ndarray:
    bits = np.where(place >= 0, place, -place | 0x80000000).astype(np.uint32)
    return bits.view(np.float32)


def _each(constants: tuple[object, ...], channels: int) -> tuple[object, ...]:
    if len(constants) != channels:
        raise InvalidFileError(
            f"program: signal has constants of {len(constants)} channels, expected {channels}; export it again"
        )
    return constants


def _table(name: str, values: np.ndarray) -> str:
    """A constant of a channel, or several; float32, exactly."""
    rows = np.asarray(values, np.float32)
    if rows.ndim == 1:
        return f"static const float {name}[{len(rows)}] = {{ {', '.join(map(_float, rows))} }};\n"
    lines = ",\n".join("    { " + ", ".join(map(_float, row)) + " }" for row in rows)
    return f"static const float {name}[{len(rows)}][{rows.shape[1]}] = {{\n{lines}\n}};\n"


def _float(value: np.float32) -> str:
    return f"{float(value).hex()}f"
