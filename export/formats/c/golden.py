"""golden.c: recorded samples and what the program made of them, for a test that runs wherever the model does.

Of a population's spikes at a timestep it keeps a checksum: the test says which population parts from the program, at
which timestep of which sample, in a thousandth of the memory.
"""

from __future__ import annotations

import re

import numpy as np

from snnas.export.formats.c.packing import array
from snnas.export.formats.c.plan import Plan, words
from snnas.export.formats.c.traces import as_words, expected
from snnas.hw_sim.early_exit import Exits
from snnas.hw_sim.simulate.simulator import Trace

BYTES = 1 << 17  # of recorded frames, beyond which fewer samples are kept
FNV_BASE, FNV_PRIME = 2166136261, 16777619

TEST = """/* Runs the model on the samples of golden.c: 0 where every population and logit is as recorded. */
#include "golden.h"

#if defined(__STDC_HOSTED__) && __STDC_HOSTED__
#include <stdio.h>
#define SAY(...) printf(__VA_ARGS__)
#else
#define SAY(...) (void)0
#endif

static const uint32_t words[SNNAS_POPULATIONS] = { GOLDEN_WORDS };
static uint32_t sample, timestep, wrong;

void snnas_trace(uint32_t population, const uint32_t *spikes)
{
    uint32_t sum = 2166136261u;
    for (uint32_t k = 0; k < words[population]; k++) sum = (sum ^ spikes[k]) * 16777619u;
    if (sum != golden_spikes[(sample * SNNAS_TIMESTEPS + timestep) * SNNAS_POPULATIONS + population]) {
        if (wrong == 0)
            SAY("population %u differs: sample %u, timestep %u\\n", (unsigned)population, (unsigned)sample,
                (unsigned)timestep);
        wrong++;
    }
}

int main(void)
{
    static snnas_state state;
    static snnas_value frame[SNNAS_FRAME];
    int64_t logits[SNNAS_CLASSES];
    for (sample = 0; sample < GOLDEN_SAMPLES; sample++) {
        snnas_init(&state);
        for (timestep = 0; timestep < SNNAS_TIMESTEPS; timestep++) {
            golden_frame(sample, timestep, frame);
            snnas_step(&state, GOLDEN_STEP(frame));
        }
        snnas_logits(&state, logits);
        for (uint32_t c = 0; c < SNNAS_CLASSES; c++)
            if (logits[c] != golden_logits[sample * SNNAS_CLASSES + c]) {
                if (wrong == 0) SAY("logit %u of sample %u differs\\n", (unsigned)c, (unsigned)sample);
                wrong++;
            }
    }
    SAY("%u samples, %u differences\\n", (unsigned)GOLDEN_SAMPLES, (unsigned)wrong);
    return wrong != 0;
}
"""


ASKED = """            if (ended == 0 && snnas_decided(&state) != 0) {
                ended = timestep + 1u;
                if (ended != golden_ends[sample] || snnas_class(&state) != golden_classes[sample]) {
                    if (wrong == 0) SAY("sample %u ends after %u timesteps\\n", (unsigned)sample, (unsigned)ended);
                    wrong++;
                }
            }
"""


def golden_texts(plan: Plan, given: np.ndarray, trace: Trace) -> dict[str, str]:
    """golden.h, golden.c and test_main.c. given: as ``traces.frames`` makes it; trace: what the program did."""
    analogue = plan.program.input_kind == "analogue"
    kind = "uint8_t" if plan.integers else "int16_t"
    still = analogue and bool((given == given[:, :1]).all())
    kept = given[:, :1] if still else given
    each = kept[0].size * kept.itemsize if analogue else kept.shape[1] * words(plan.frame) * 4
    samples = max(1, min(len(given), BYTES // each))
    kept = kept[:samples]
    sums = _checksums(plan, expected(plan, {n: s[:samples] for n, s in trace.spikes.items()}))
    step = "(timestep ? 0 : (frame))" if still and plan.integers else "(frame)"
    sizes = ", ".join(f"{words(u.population.size)}u" for u in plan.units)
    header = f"""#ifndef SNNAS_GOLDEN_H
#define SNNAS_GOLDEN_H

#include "model.h"

#define GOLDEN_SAMPLES {samples}u
#define GOLDEN_WORDS {sizes}
/* What a timestep is given: a still frame once, where the model keeps it. */
#define GOLDEN_STEP(frame) {step}

extern const uint32_t golden_spikes[];
extern const int64_t golden_logits[];
void golden_frame(uint32_t sample, uint32_t timestep, snnas_value *frame);

#endif
"""
    if analogue:
        data = array(kind, "recorded", kept)
        at = "sample" if still else "(sample * SNNAS_TIMESTEPS + timestep)"
        unused = "    (void)timestep;\n" if still else ""
        take = f"{unused}    for (uint32_t k = 0; k < SNNAS_FRAME; k++) frame[k] = recorded[{at} * SNNAS_FRAME + k];\n"
    else:
        data = array("uint32_t", "recorded", _bits(kept))
        at = f"(sample * SNNAS_TIMESTEPS + timestep) * {words(plan.frame)}u + (k >> 5)"
        take = "    for (uint32_t k = 0; k < SNNAS_FRAME; k++)\n"
        take += f"        frame[k] = (snnas_value)(recorded[{at}] >> (k & 31u) & 1u);\n"
    public = array("uint32_t", "golden_spikes", sums) + array("int64_t", "golden_logits", trace.logits[:samples])
    source = f"""#include "golden.h"

{data}
{public.replace("static const", "const")}
void golden_frame(uint32_t sample, uint32_t timestep, snnas_value *frame)
{{
{take}}}
"""
    return {"golden.h": header, "golden.c": source, "test_main.c": TEST}


def with_exits(texts: dict[str, str], exits: Exits) -> dict[str, str]:
    """The texts of a model with an early exit: the test asks too when each inference may end, and with which class."""
    samples = int(re.findall(r"GOLDEN_SAMPLES (\d+)u", texts["golden.h"])[0])
    ends = array("uint32_t", "golden_ends", exits.timesteps[:samples])
    ends += array("uint32_t", "golden_classes", exits.predictions[:samples])
    header = texts["golden.h"].replace(
        "void golden_frame", "extern const uint32_t golden_ends[], golden_classes[];\nvoid golden_frame"
    )
    stepped = "            snnas_step(&state, GOLDEN_STEP(frame));\n"
    test = texts["test_main.c"].replace(stepped, stepped + ASKED)
    test = test.replace("        snnas_init(&state);\n", "        uint32_t ended = 0;\n        snnas_init(&state);\n")
    return {
        **texts,
        "golden.h": header,
        "golden.c": texts["golden.c"] + ends.replace("static const", "const"),
        "test_main.c": test,
    }


def _bits(frames: np.ndarray) -> np.ndarray:
    """Uint32 words of 0/1 frames (B, T, frame)."""
    filled = np.pad(frames, ((0, 0), (0, 0), (0, words(frames.shape[2]) * 32 - frames.shape[2])))
    return as_words(filled)


def _checksums(plan: Plan, spikes: np.ndarray) -> np.ndarray:
    """Of each population's words (B, T, words): (B, T, populations)."""
    sums, at = [], 0
    for u in plan.units:
        found = np.full(spikes.shape[:2], FNV_BASE, np.uint64)
        for word in range(at, at + words(u.population.size)):
            found = (found ^ spikes[:, :, word]) * np.uint64(FNV_PRIME) & np.uint64(0xFFFFFFFF)
        sums.append(found)
        at += words(u.population.size)
    return np.stack(sums, axis=2)
