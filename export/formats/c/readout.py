"""The readout as C: what a host makes of the spikes, in whole numbers (``hw_sim/readout.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.member import Member
from snnas.export.formats.c.packing import array, rows, smallest
from snnas.export.formats.c.plan import ROWS, Plan, up, words
from snnas.export.formats.c.runtime import row, row_at
from snnas.hw_sim.entries import Entries, row_sums
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.readout import constant, weights_in_time

INT = 1 << 31


@dataclass(frozen=True, slots=True)
class Read:
    """The C of a readout."""

    arrays: tuple[str, ...]
    state: tuple[Member, ...]
    """Members of the state."""
    begin: str
    """Of ``snnas_init``, the rest being zero."""
    step: str
    """Of ``snnas_step``; SPIKES(n) stands for the spikes of unit n."""
    answer: str
    """Of ``snnas_logits``."""
    functions: str = ""


def readout(plan: Plan) -> Read:
    """Spikes are counted where all timesteps count alike; else each timestep's sums are weighed."""
    return _counted(plan) if plan.program.readout.counts_spikes else _weighed(plan)


def _weights(plan: Plan) -> tuple[list[str], str, int]:
    """The arrays, the functions ``read_<n>(spikes, sums)``, and the rows of four classes."""
    fours = up(plan.program.readout.classes, ROWS) // ROWS
    arrays, functions = [], ""
    for n, (unit, weight, _) in enumerate(plan.readings):
        head = f"/* What the spikes of {plan.units[unit].population.id} bring to the classes. */\n"
        if isinstance(weight, Entries):
            made, body = _listed(n, weight)
            arrays += made
            functions += head + body
            continue
        kind, packed = rows(weight.T, WEIGHT_BITS)
        arrays.append(array(kind, f"r{n}", packed))
        at = row_at(f"r{n}", "32u * i + snnas_lowest(f)", fours, WEIGHT_BITS)
        lines = "".join(f"            {line}\n" for line in row(WEIGHT_BITS, 1, "a", "w", fours, "1u"))
        functions += f"""{head}static void read_{n}(const uint32_t *s, uint32_t *a)
{{
    for (uint32_t i = 0; i < {words(weight.shape[1])}u; i++)
        for (uint32_t f = s[i]; f != 0; f &= f - 1u) {{
            const {kind} *w = {at};
{lines}        }}
}}

"""
    return arrays, functions, fours


def _listed(n: int, weight: Entries) -> tuple[list[str], str]:
    """By neuron: the classes that a spike reaches, and by how much."""
    order = np.argsort(weight.indices, kind="stable")
    starts = np.searchsorted(weight.indices[order], np.arange(weight.columns + 1))
    tables = {f"r{n}": weight.values[order], f"i{n}_read": starts, f"j{n}_read": weight.rows[order]}
    body = f"""static void read_{n}(const uint32_t *s, uint32_t *a)
{{
    for (uint32_t i = 0; i < {words(weight.columns)}u; i++)
        for (uint32_t f = s[i]; f != 0; f &= f - 1u) {{
            const uint32_t k = 32u * i + snnas_lowest(f);
            for (int32_t e = i{n}_read[k]; e < i{n}_read[k + 1u]; e++) {{
                const uint32_t w = (uint32_t)r{n}[e];
                a[j{n}_read[e]] += w;
            }}
        }}
}}

"""
    return [_table(name, values) for name, values in tables.items()], body


def _counted(plan: Plan) -> Read:
    program = plan.program
    r, steps = program.readout, program.timesteps
    arrays, functions, fours = _weights(plan)
    most = sum(int(row_sums(w).max()) for _, w, _ in plan.readings)
    wide = most * steps >= INT  # then each timestep's sums are added to 64 bits
    response = np.broadcast_to(r.response[0], (r.classes,))
    arrays += [_table("response", response * 64), _table("constant", constant(r, steps))]
    members = [Member("uint32_t", "sums_read", (fours * ROWS,))]
    members += [Member("int64_t", "sums_all", (r.classes,))] if wide else []
    step = ""
    for n, (unit, _, late) in enumerate(plan.readings):
        when = f"if (t->step + {late}u < {steps}u) " if late else ""
        step += f"    {when}read_{n}(SPIKES({unit}), t->sums_read);\n"
    if wide:
        step += f"    for (uint32_t c = 0; c < {r.classes}u; c++) {{\n"
        step += "        t->sums_all[c] += (int32_t)t->sums_read[c];\n        t->sums_read[c] = 0;\n    }\n"
    value = "t->sums_all[c]" if wide else "(int64_t)(int32_t)t->sums_read[c]"
    answer = f"    for (uint32_t c = 0; c < {r.classes}u; c++) logits[c] = {value} * response[c] + constant[c];\n"
    return Read(tuple(arrays), tuple(members), "", step, answer, functions)


def _weighed(plan: Plan) -> Read:
    program = plan.program
    r, steps = program.readout, program.timesteps
    arrays, functions, fours = _weights(plan)
    largest = r.read == "max"
    held = 64 * (r.response if largest else weights_in_time(r, steps))
    across = held.shape[1]
    arrays.append(_table("weight_in_time", held))
    members = [Member("uint32_t", "sums_read", (fours * ROWS,))]
    members.append(Member("int64_t", "answers", ((steps if largest else 1) * r.classes,)))
    at = f"{{j}} * {across}u + c" if across > 1 else "{j}"
    step = ""
    for n, (unit, _, late) in enumerate(plan.readings):
        then = f"t->step + {late}u" if late else "t->step"
        step += f"    if ({then} < {steps}u) {{\n"
        step += f"        for (uint32_t c = 0; c < {fours * ROWS}u; c++) t->sums_read[c] = 0;\n"
        step += f"        read_{n}(SPIKES({unit}), t->sums_read);\n"
        step += f"        for (uint32_t c = 0; c < {r.classes}u; c++) {{\n"
        step += "            const int64_t x = (int32_t)t->sums_read[c];\n"
        if largest:
            step += f"            for (uint32_t j = 0; j < {len(held)}u && {then} + j < {steps}u; j++)\n"
            to = f"t->answers[({then} + j) * {r.classes}u + c]"
            step += f"                {to} += x * weight_in_time[{at.format(j='j')}];\n"
        else:
            step += f"            t->answers[c] += x * weight_in_time[{at.format(j=f'({then})')}];\n"
        step += "        }\n    }\n"
    begin = ""
    if largest:
        arrays.append(_table("bias_read", r.bias))
        row = f"j * {r.classes}u" if len(r.bias) > 1 else "0u"
        begin = f"""    for (uint32_t j = 0; j < {steps}u; j++)
        for (uint32_t c = 0; c < {r.classes}u; c++) t->answers[j * {r.classes}u + c] = bias_read[{row} + c];
"""
        answer = f"""    for (uint32_t c = 0; c < {r.classes}u; c++) {{
        logits[c] = t->answers[c];
        for (uint32_t j = 1; j < {steps}u; j++) {{
            const int64_t y = t->answers[j * {r.classes}u + c];
            if (y > logits[c]) logits[c] = y;
        }}
    }}
"""
    else:
        arrays.append(_table("constant", constant(r, steps)))
        answer = f"    for (uint32_t c = 0; c < {r.classes}u; c++) logits[c] = t->answers[c] + constant[c];\n"
    return Read(tuple(arrays), tuple(members), begin, step, answer, functions)


def _table(name: str, values: np.ndarray) -> str:
    return array(smallest(values)[1], name, values)
