"""The encoder in C as a model of its own, so that it runs wherever models do: natively and on emulated cores.

A timestep of it takes one sample, as bytes, or holds the last one; its one population says whether a frame is complete,
a word, and then the spikes of each of the frame's timesteps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.encoder import edges, encoder_texts, signal_of
from snnas.export.formats.c.plan import words
from snnas.export.formats.c.traces import as_words
from snnas.export.formats.signal_probes import probes
from snnas.hw_sim.c.model import CModel
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.program import Program

INSTANCE = "snnas_one"
SIGNALS = 8  # that it is tried on
WORDS = 1 << 24  # of what they say, at most, beyond the first signal

HEADER = """
#define SNNAS_TIMESTEPS {pushes}u
#define SNNAS_CLASSES 1u
#define SNNAS_POPULATIONS 1u
#define SNNAS_FRAME {bytes}u
/* As in an object of its own, which is how encoder.c is built. */
__attribute__((noinline)) void snnas_encoder_init(snnas_encoder *encoder);
__attribute__((noinline)) uint32_t snnas_encoder_push(snnas_encoder *encoder, const float *sample);
__attribute__((noinline)) uint32_t snnas_encoder_hold(snnas_encoder *encoder);
__attribute__((noinline)) void snnas_encoder_frame(const snnas_encoder *encoder, uint32_t step, uint8_t *frame);
typedef uint8_t snnas_value;
typedef struct {{
    snnas_encoder encoder;
    union {{ float values[SNNAS_CHANNELS]; uint8_t bytes[{bytes}]; }} sample;
    uint8_t frame[{frame}];
    uint32_t said[{said}], step;
}} snnas_state;
void snnas_init(snnas_state *state);
void snnas_step(snnas_state *state, const snnas_value *frame);
void snnas_logits(const snnas_state *state, int64_t *logits);
#ifdef SNNAS_TRACE
void snnas_trace(uint32_t population, const uint32_t *spikes);
#endif
"""

SOURCE = """
void snnas_init(snnas_state *state)
{{
    snnas_encoder_init(&state->encoder);
    state->step = 0;
}}

void snnas_step(snnas_state *state, const snnas_value *frame)
{{
    for (uint32_t k = 0; k < {bytes}u; k++) state->sample.bytes[k] = frame[k];
    const uint32_t ready = state->step++ < SNNAS_SIGNAL
                               ? snnas_encoder_push(&state->encoder, state->sample.values)
                               : snnas_encoder_hold(&state->encoder);
#ifdef SNNAS_TRACE
    for (uint32_t k = 0; k < {said}u; k++) state->said[k] = 0;
    state->said[0] = ready;
#endif
    for (uint32_t s = 0; ready != 0 && s < SNNAS_FRAME_STEPS; s++) {{
        snnas_encoder_frame(&state->encoder, s, state->frame);
#ifdef SNNAS_TRACE
        for (uint32_t k = 0; k < {frame}u; k++)
            state->said[1u + s * {each}u + (k >> 5)] |= (uint32_t)state->frame[k] << (k & 31u);
#endif
    }}
#ifdef SNNAS_TRACE
    snnas_trace(0, state->said);
#endif
}}

void snnas_logits(const snnas_state *state, int64_t *logits)
{{
    logits[0] = (int64_t)state->step;
}}
"""

TRYING = frozenset({"snnas_init", "snnas_step", "snnas_logits"})  # what is here to try it


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An encoder to be run: the model, what it takes, and what it must say."""

    model: CModel
    given: np.ndarray
    """uint8 (signals, samples, bytes of a sample)."""
    said: np.ndarray
    """uint32 (signals, samples, words)."""
    spikes: int
    """How many are compared."""
    alone: str
    """encoder.c in one text, with an ``INSTANCE`` of the encoder."""

    def require_equal(self, found: np.ndarray, where: str) -> None:
        """GateError where one spike differs. found: as ``said``."""
        differing = int(np.bitwise_count(found ^ self.said).sum())
        if differing:
            raise GateError(
                f"encoder.c: {differing} of {self.spikes} spikes differ {where}; this is a fault of ours, "
                "please report it"
            )


def instructions_of(functions: Mapping[str, int]) -> int:
    """Those of the encoder, and of what it calls of a compiler's floats, of an image's ``functions``."""
    return sum(taken for name, taken in functions.items() if name not in TRYING and not name.startswith("device_"))


def encoder_trial(program: Program, signals: int = SIGNALS) -> Trial | None:
    """How a program's encoder is tried; None where it has none."""
    signal, texts = signal_of(program), encoder_texts(program)
    if signal is None:
        return None
    channels, steps = program.input_shape[0] // signal.lines, signal.frame_steps
    _, lines, _, width = signal.shape(channels)
    each = words(lines * width)
    x = probes(signal, channels, max(1, min(signals, WORDS // (signal.length * (1 + steps * each)))))
    if signal.encoding == "latency":  # by the edges too, which are constants of the C alone
        met = edges(signal, channels)
        drawn = np.random.default_rng(1).integers(met.shape[1], size=x[1::4].shape)
        x[1::4] = met[np.arange(channels), drawn]
    wanted = signal.apply(x)
    spikes = wanted.reshape(len(x), -1, steps, lines * width)
    ready = (
        max(1, signal.window) - 1 + signal.stride * np.arange(spikes.shape[1])
    )  # the sample with which each is complete
    pushes = max(signal.length, int(ready[-1]) + 1)
    bits = np.zeros((*spikes.shape[:3], each * 32), np.uint8)
    bits[..., : lines * width] = spikes
    said = np.zeros((len(x), pushes, 1 + steps * each), np.uint32)
    said[:, ready, 0] = 1
    said[:, ready, 1:] = as_words(bits.reshape(len(x), -1, each * 32)).reshape(len(x), spikes.shape[1], -1)
    given = np.zeros((len(x), pushes, channels), np.float32)
    given[:, : signal.length] = x
    numbers = {"bytes": 4 * channels, "frame": lines * width, "said": said.shape[2], "each": each, "pushes": pushes}
    body = texts["encoder.c"].replace('#include "encoder.h"\n', "")
    model = CModel(
        header=texts["encoder.h"] + HEADER.format(**numbers),
        source='#include "model.h"\n' + body + SOURCE.format(**numbers),
        timesteps=pushes,
        classes=1,
        frame=4 * channels,
        value=np.uint8,
        words=(said.shape[2],),
        floats=True,
    )
    alone = f"{texts['encoder.h']}{body}\nsnnas_encoder {INSTANCE};\n"
    return Trial(model=model, given=given.view(np.uint8), said=said, spikes=int(wanted.size), alone=alone)
