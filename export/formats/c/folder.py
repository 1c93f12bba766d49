"""What lies in a C export: the model, its test with recorded samples, and how to build them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snnas.export.formats.c.encoder import encoder_texts, signal_of
from snnas.export.formats.c.golden import golden_texts, with_exits
from snnas.export.formats.c.host import pixel
from snnas.export.formats.c.plan import Plan
from snnas.hw_sim.c.model import CModel
from snnas.hw_sim.early_exit import rule_of, stops
from snnas.hw_sim.files import write_text
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import Trace

SOURCES = ("model.h", "model.c", "golden.h", "golden.c", "test_main.c", "Makefile", "README.md")

MAKEFILE = """# make test: builds and runs the recorded samples here
# make model.o CC=arm-none-eabi-gcc TARGET="-mcpu=cortex-m4 -mthumb": for a microcontroller
TARGET ?=
CFLAGS ?= -O2
WARNINGS = -std=c99 -Wall -Wextra -Wconversion -Werror -pedantic

test: test_model
\t./test_model

test_model: model.c golden.c test_main.c model.h golden.h
\t$(CC) $(TARGET) $(CFLAGS) $(WARNINGS) -DSNNAS_TRACE model.c golden.c test_main.c -o $@

model.o: model.c model.h
\t$(CC) $(TARGET) $(CFLAGS) $(WARNINGS) -ffreestanding -c model.c -o $@

clean:
\trm -f test_model model.o

.PHONY: test clean
"""


def write_c(folder: Path, plan: Plan, model: CModel, given: np.ndarray, trace: Trace) -> None:
    """Writes ``SOURCES``. given: frames of the samples to record; trace: what the program did with them."""
    for name, text in texts_of(plan, model, given, trace).items():
        write_text(folder / name, text)


def texts_of(plan: Plan, model: CModel, given: np.ndarray, trace: Trace) -> dict[str, str]:
    """``SOURCES`` by name, and those of an encoder of signals: equal programs and samples give equal texts."""
    golden, rule = golden_texts(plan, given, trace), rule_of(plan.program)
    if rule is not None:
        golden = with_exits(golden, stops(plan.program, rule, trace.spikes))
    texts = {"model.h": model.header, "model.c": model.source, **golden, **encoder_texts(plan.program)}
    return texts | {"Makefile": MAKEFILE, "README.md": _readme(plan)}


def _early(program: Program) -> str:
    if rule_of(program) is None:
        return ""
    return (
        "\nThe loop may end early: `if (snnas_decided(&state)) break;` behind the step. What `snnas_class` says then "
        "is its\nanswer; `make test` asks it for each recorded sample.\n"
    )


def _signals(program: Program) -> str:
    if signal_of(program) is None:
        return ""
    return """
`encoder.h` and `encoder.c` make the frames from samples of the signal, `float` in the unit of the training data:

```c
#include "encoder.h"

static snnas_encoder encoder;
static float sample[SNNAS_CHANNELS];
snnas_encoder_init(&encoder);
for (uint32_t n = 0, t = 0; t < SNNAS_TIMESTEPS;) {
    uint32_t ready;
    if (n++ < SNNAS_SIGNAL) {
        read_sensor(sample);
        ready = snnas_encoder_push(&encoder, sample);
    } else {
        ready = snnas_encoder_hold(&encoder); /* the last frame reaches beyond the signal */
    }
    if (ready)
        for (uint32_t s = 0; s < SNNAS_FRAME_STEPS; s++, t++) {
            snnas_encoder_frame(&encoder, s, frame);
            snnas_step(&state, frame);
        }
}
```
"""


def _readme(plan: Plan) -> str:
    p = plan.program
    call, said = "snnas_step(&state, frame);         ", "the frame of timestep t; a still input is given every time"
    if p.host_integers is not None:
        call, said = "snnas_step(&state, t ? 0 : frame); ", "of a still input; else the frame of timestep t"
        frame = (
            f"`uint8_t frame[{plan.frame}]`: pixels {p.input_shape} in (C, H, W) order; a value x of the data set is "
            f"{pixel(p)},\nrounded to 0..255. A frame of 0 stands for the "
            "last one, and the first layer is not computed again."
        )
    elif p.input_kind == "analogue":
        parts = ", ".join(f"{u.population.id} {u.population.shape}" for u in plan.hosted)
        frame = (
            f"`int16_t frame[{plan.frame}]`: the currents that the host stage injects, in weight units, "
            f"(C, H, W) order: {parts}.\n"
            "`snnas.hw_sim.simulate.simulator.host_currents` computes them from `program.npz`; "
            "with `snnas export --host int` they are part of the C."
        )
    else:
        frame = f"`uint8_t frame[{plan.frame}]`: the input {p.input_shape} in (C, H, W) order; not 0 is a spike."
    sources = "model.c" if signal_of(p) is None else "model.c encoder.c"
    rows = "\n".join(
        f"| {u.index} | {u.population.id} | {' x '.join(map(str, u.population.shape))} | {u.population.role} |"
        for u in plan.units
    )
    return f"""# A spiking network in C

`model.h` and `model.c` hold the network of `program.npz`, spike for spike: C99, whole numbers, no libc, no heap, no
floats. `make test` runs the recorded samples of `golden.c` and exits with 0 where every population is as recorded.

```c
#include "model.h"

static snnas_state state;               /* any number of instances */
snnas_init(&state);
for (uint32_t t = 0; t < SNNAS_TIMESTEPS; t++)
    {call} /* {said} */
uint32_t found = snnas_class(&state);   /* or snnas_logits(&state, logits) */
```
{_early(p)}
{frame}

{p.timesteps} timesteps, {p.readout.classes} classes, weights of {p.weight_bits} bits in flash. With `-DSNNAS_TRACE` the
model calls your `snnas_trace` with every population's spikes:

| | population | C x H x W | |
|---|---|---|---|
{rows}
{_signals(p)}
gcc may turn loops into calls of `memset` and `memcpy`, which your libc has; without one, add
`-fno-tree-loop-distribute-patterns`. CMake: `add_library(snnas_model STATIC {sources})`.
"""
