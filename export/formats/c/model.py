"""model.h and model.c: the state, a timestep, the answer."""

from __future__ import annotations

import re
import textwrap

import numpy as np

from snnas.export.formats.c import early_exit, runtime
from snnas.export.formats.c.host import host, pixel
from snnas.export.formats.c.neurons import neurons, registers
from snnas.export.formats.c.plan import Plan, Unit, held, words
from snnas.export.formats.c.readout import Read, readout
from snnas.export.formats.c.rest import Rest
from snnas.export.formats.c.synapses import Synapses, synapses
from snnas.export.formats.c.work import rests

SCRATCH = ("counts", "sums")  # members that are written before they are read

HEADER = """/* A spiking network in whole numbers, written by snnas. C99, freestanding: no libc, no heap, no floats.

   snnas_init, then snnas_step for each of SNNAS_TIMESTEPS timesteps, then snnas_logits or snnas_class.
   Each state is an instance of its own. */
#ifndef SNNAS_MODEL_H
#define SNNAS_MODEL_H

#include <stdint.h>

"""


def model_text(plan: Plan) -> tuple[str, str]:
    """model.h and model.c."""
    made, read, stage = synapses(plan), readout(plan), host(plan)
    frames, begins = [], 0
    for u in plan.units:
        frames.append(begins)
        begins += u.population.size if u.hosted else 0
    cells = [neurons(u, first, plan.current) for u, first in zip(plan.units, frames, strict=True)]
    parts = [*stage.arrays, *made.arrays, *(t for c in cells for t in c.tables if t), *read.arrays]
    parts += early_exit.arrays(plan.program)
    functions = [
        *([stage.functions] if stage.functions else []),
        *made.functions,
        *(c.function for c in cells),
        *([read.functions] if read.functions else []),
    ]
    if _packs(plan):
        functions.append(_input(plan))
    members = _members(plan, made, read)
    functions += [_init(plan, members, read), _step(plan, read), _logits(read), _CLASS]
    functions += [text for text in (early_exit.function(plan.program),) if text]
    body = "\n".join(functions)
    source = '#include "model.h"\n\n' + runtime.used(body) + "\n" + "\n".join(parts) + "\n" + body
    return _header(plan, made, members), source


def _packs(plan: Plan) -> bool:
    return any(c.src < 0 for u in plan.units for c in u.connections)


def _members(plan: Plan, made: Synapses, read: Read) -> list[str]:
    """Of the state."""
    members = ["uint32_t step;"]
    members += [f"{plan.current} currents[{plan.currents}];"] if plan.integers else []
    members += [line for u in plan.units for line in registers(u)]
    members += [f"uint32_t awake_{u.index};" for u in plan.units if rests(plan, u)]
    members += [f"uint32_t {name};" for name in _kept(plan)]
    members += [f"uint32_t shared[{plan.shared}];"] if plan.shared else []
    members += [f"uint{bits}_t {name}[{n}];" for name, bits, n in _inputs(plan) if n]
    members += [f"snnas_count counts[{made.counts}];"] if made.counts else []
    members += [f"uint32_t sums[{made.sums}];"] if made.sums else []
    return members + list(read.state)


def _header(plan: Plan, made: Synapses, members: list[str]) -> str:
    p = plan.program
    analogue = p.input_kind == "analogue"
    if plan.integers:
        frame = f"Pixels, (C, H, W) = {p.input_shape}: a value x is {pixel(p)}, rounded to 0..255."
    elif analogue:
        frame = "Currents in weight units, the populations one after the other, each (C, H, W)."
    else:
        frame = f"Input neurons, (C, H, W) = {p.input_shape}; what is not 0 is a spike."
    value = "int16_t" if analogue and not plan.integers else "uint8_t"
    names = "".join(f" *   {u.index} {u.population.id} {u.population.shape}\n" for u in plan.units)
    return (
        HEADER
        + f"#define SNNAS_TIMESTEPS {p.timesteps}u\n#define SNNAS_CLASSES {p.readout.classes}u\n"
        + f"#define SNNAS_POPULATIONS {len(plan.units)}u\n"
        + f"/* {frame} */\n#define SNNAS_FRAME {plan.frame}u\ntypedef {value} snnas_value;\n"
        + ("#define SNNAS_REPEATS 1 /* a frame of 0 stands for the last one */\n" if plan.integers else "")
        + (f"typedef uint{16 if made.wide else 8}_t snnas_count;\n" if made.counts else "")
        + "\ntypedef struct {\n"
        + "".join(f"    {line}\n" for line in members)
        + "} snnas_state;\n\n"
        + "void snnas_init(snnas_state *state);\n"
        + "/* One timestep; after the last one it does nothing."
        + (" The first layer runs where a frame is given. */\n" if plan.integers else " */\n")
        + "void snnas_step(snnas_state *state, const snnas_value *frame);\n"
        + "void snnas_logits(const snnas_state *state, int64_t *logits);\n"
        + "/* The class of the largest logit, the first of equal ones. */\n"
        + "uint32_t snnas_class(const snnas_state *state);\n"
        + early_exit.declared(p)
        + "\n"
        + "#ifdef SNNAS_TRACE\n/* Yours: called once per population and timestep, in this order; a bit per neuron,\n"
        + f" * the lowest of the first word first, in (H, W, C) order.\n{names} */\n"
        + "void snnas_trace(uint32_t population, const uint32_t *spikes);\n#endif\n\n#endif\n"
    )


def _kept(plan: Plan) -> list[str]:
    """Spikes of several timesteps, the newest first."""
    sizes = [(f"spikes_{u.index}", u.history, u.population.size) for u in plan.units]
    sizes.append(("spikes_input", plan.input_history, int(np.prod(plan.program.input_shape))))
    return [f"{name}[{history + 1}][{held(n)}]" for name, history, n in sizes if history]


def _inputs(plan: Plan) -> list[tuple[str, int, int]]:
    """(name, bits, words) of the memory in which synaptic inputs are gathered, one population's at a time."""

    def most(wide: bool) -> int:
        return max(
            (u.layout.places // (u.lanes or 1) for u in plan.units if u.connections and (u.lanes == 0) == wide),
            default=0,
        )

    return [("inputs", 32, most(False)), ("wide_inputs", 64, most(True))]


def _spikes(plan: Plan, index: int, late: int = 0) -> str:
    history = plan.input_history if index < 0 else plan.units[index].history
    name = "input" if index < 0 else str(index)
    return f"t->spikes_{name}[{late}]" if history else f"t->shared + {plan.bits[index]}u"


def _input(plan: Plan) -> str:
    channels, height, width = plan.program.input_shape
    pixels = height * width
    if 1 < channels <= 4 and channels != 3 and pixels > 1:  # whole pixels in a word
        each = 32 // channels
        tests = "".join(
            f"            if (frame[{c * pixels}u] != 0) bits |= 0x{1 << 32 - channels + c:x}u;\n"
            for c in range(channels)
        )
        return f"""static void pack(const snnas_value *frame, uint32_t *out)
{{
    for (uint32_t left = {pixels}u; left != 0;) {{
        const uint32_t n = left < {each}u ? left : {each}u;
        uint32_t bits = 0;
        for (uint32_t k = n; k != 0; k--, frame++) {{
            bits >>= {channels};
{tests}        }}
        *out++ = bits >> (32u - {channels}u * n);
        left -= n;
    }}
}}
"""
    if channels > 1 and pixels > 1:
        return f"""static void pack(const snnas_value *frame, uint32_t *out)
{{
    uint32_t bits = 0, k = 0;
    for (uint32_t p = 0; p < {pixels}u; p++) {{
        for (uint32_t c = 0; c < {channels}u; c++) {{
            bits |= (frame[c * {pixels}u + p] != 0 ? 1u : 0u) << (k & 31u);
            k++;
            if ((k & 31u) == 0) {{ *out++ = bits; bits = 0; }}
        }}
    }}
    if ((k & 31u) != 0) *out = bits;
}}
"""
    return f"""static void pack(const snnas_value *frame, uint32_t *out)
{{
    for (uint32_t left = {plan.frame}u; left != 0;) {{
        const uint32_t n = left < 32u ? left : 32u;
        uint32_t bits = 0;
        for (uint32_t k = 0; k < n; k++) bits |= (frame[k] != 0 ? 1u : 0u) << k;
        *out++ = bits;
        frame += n;
        left -= n;
    }}
}}
"""


def _init(plan: Plan, members: list[str], read: Read) -> str:
    """Everything is 0 but what an answer begins with, and what is written before it is read."""
    text = ""
    for name, extents in re.findall(r" (\w+)((?:\[\d+\])*);", "".join(members)):
        if name not in SCRATCH:
            at = dict(zip("kj", re.findall(r"\d+", extents), strict=False))
            loops = "".join(f"for (uint32_t {k} = 0; {k} < {n}u; {k}++) " for k, n in at.items())
            text += f"    {loops}t->{name}{''.join(f'[{k}]' for k in at)} = 0;\n"
    for u in plan.units:
        resting = rests(plan, u)
        if resting and resting[0].begin:
            text += f"    t->awake_{u.index} = {resting[0].begin}u;\n"
    return f"void snnas_init(snnas_state *t)\n{{\n{text}{read.begin}}}\n"


def _step(plan: Plan, read: Read) -> str:
    text = "void snnas_step(snnas_state *t, const snnas_value *frame)\n{\n"
    text += f"    if (t->step >= {plan.program.timesteps}u) return;\n"
    if _packs(plan):
        text += f"    pack(frame, {_spikes(plan, -1)});\n"
    elif not plan.hosted:
        text += "    (void)frame;\n"
    if plan.integers:
        text += "    if (frame != 0) host(t, frame);\n"
    for u in plan.units:
        text += _unit(plan, u)
    step = read.step
    for unit, _, _ in plan.readings:
        step = step.replace(f"SPIKES({unit})", _spikes(plan, unit))
    text += step
    for name in _kept(plan):
        variable, slots, size = name.replace("]", "").split("[")
        text += f"    for (uint32_t d = {int(slots) - 1}; d != 0; d--)\n"
        text += f"        for (uint32_t k = 0; k < {size}u; k++) t->{variable}[d][k] = t->{variable}[d - 1u][k];\n"
    return text + "    t->step++;\n}\n"


def _unit(plan: Plan, u: Unit) -> str:
    gathered = "t->wide_inputs" if u.lanes == 0 else "t->inputs"
    currents = "t->currents" if plan.integers else "frame"
    resting = rests(plan, u)
    arrives = ""
    for c in u.connections:
        scratch = "t, " if c.map.pre or c.map.post else ""
        once = f"if (t->step >= {c.distance}u) " if c.distance and not resting else ""  # nothing is late before
        arrives += f"    {once}synapse_{c.index}({scratch}{_spikes(plan, c.src, c.distance)}, {gathered});\n"
    arguments = ["t", *([gathered] if u.connections else []), *([currents] if u.hosted else []), _spikes(plan, u.index)]
    update = f"    neurons_{u.index}({', '.join(arguments)});\n"
    text = _resting(plan, u, resting[0], arrives, update) if resting else arrives + update
    return text + f"#ifdef SNNAS_TRACE\n    snnas_trace({u.index}u, {_spikes(plan, u.index)});\n#endif\n"


def _resting(plan: Plan, u: Unit, found: Rest, arrives: str, update: str) -> str:
    """An update while spikes arrive, and after the last of them until every neuron rests."""
    awake = f"t->awake_{u.index}"
    some = (f"snnas_some({_spikes(plan, c.src, c.distance)}, {words(int(np.prod(plan.source(c.src))))}u) != 0"
            for c in u.connections)  # fmt: skip
    return f"""    if ({" || ".join(some)}) {{
        {awake} = {found.after + 1}u;
{textwrap.indent(arrives, "    ")}    }}
    if ({awake} != 0) {{
        {awake}--;
{textwrap.indent(update, "    ")}    }} else
        for (uint32_t k = 0; k < {words(u.population.size)}u; k++) ({_spikes(plan, u.index)})[k] = 0;
"""


def _logits(read: Read) -> str:
    return f"void snnas_logits(const snnas_state *t, int64_t *logits)\n{{\n{read.answer}}}\n"


_CLASS = """uint32_t snnas_class(const snnas_state *t)
{
    int64_t logits[SNNAS_CLASSES];
    uint32_t best = 0;
    snnas_logits(t, logits);
    for (uint32_t c = 1; c < SNNAS_CLASSES; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}
"""
