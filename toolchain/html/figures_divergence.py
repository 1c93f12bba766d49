"""What the integer program does differently from the float graph: spike counts, per population and timestep.

Counts, not spikes: an export keeps the program's spikes and of the float graph how many there were.
"""

from __future__ import annotations

import math

import numpy as np

from snnas.toolchain.html.material import Material, Missing
from snnas.toolchain.output.heat import TIMESTEPS, heat
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table
from snnas.toolchain.output.report import percent
from snnas.toolchain.output.svg import Key, Plane, left_out, legend, picked, thinned

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # {population: spikes per timestep of the float graph, the program}


def section(material: Material) -> Raw:
    """Spike counts of the float graph and of the program on the recorded samples, per population and timestep."""
    program = material.program
    node_of = program.meta.get("node_of", {})
    graph: dict[str, list[int]] = material.manifest["graph_spikes"]
    pairs: Pairs = {}
    for population in program.in_order:
        node = node_of.get(population.id, population.id) if isinstance(node_of, dict) else population.id
        if population.role != "relay" and node in graph and len(graph[node]) == program.timesteps:
            ours = material.spikes(population.id).sum(axis=(0, 2)).astype(np.float64)
            parted = population.id in program.meta.get("parts", {})  # of a node of several populations, their sum
            name = node if parted else population.id
            before = pairs[name][1] if name in pairs else 0.0
            pairs[name] = (np.array(graph[node], dtype=np.float64), before + ours)
    if not pairs:
        raise Missing("The manifest holds no spike counts of the float graph: export again with --force")
    before, after = (sum(float(p[k].sum()) for p in pairs.values()) for k in (0, 1))
    accuracy, samples = material.report["accuracy"], len(material.golden["logits"])
    words = f"On the {samples} recorded samples the float graph fires {before:,.0f} times (measured), the program "
    words += f"{after:,.0f} times (simulated): {_signed(before, after)} %. These are counts: equal counts do not mean "
    words += "equal spikes. "
    words += f"On the whole test split {accuracy['flips']} of {accuracy['samples']} predictions changed"
    if "flips_to_wrong" in accuracy:
        words += f", {accuracy['flips_to_wrong']} from right to wrong and {accuracy['flips_to_right']} the other way"
    words += f"; accuracy went from {percent(accuracy['training'])} to {percent(accuracy['on_target'])}."
    return join(note(words), el("div", _differences(pairs), _totals(pairs), class_="grid"))


def _signed(before: float, after: float, digits: int = 1) -> str:
    """The relative difference in percent, with its sign."""
    if before == after:
        return "0"
    said = f"{100 * (after - before) / before:+.{digits}f}" if before else "new"
    return said[1:] if said.strip("+-0.") == "" else said


def _differences(pairs: Pairs) -> Raw:
    names = picked(list(pairs))
    steps = len(next(iter(pairs.values()))[0])
    drawn = thinned(steps, TIMESTEPS)

    def cell(k: int, t: int, wide: float) -> tuple[str, str, str | None]:
        a, b = (float(side[t]) for side in pairs[names[k]])
        digits = 1 if wide >= 36 else 0 if wide >= 22 else None
        said = None if digits is None else _signed(a, b, digits)
        return _tint(a, b), f"{names[k]}, timestep {t}: {a:,.0f} and {b:,.0f}", said

    rows = [
        (name, *(f"{a[t]:,.0f} | {b[t]:,.0f}" for t in drawn), _signed(float(a.sum()), float(b.sum())))
        for name, (a, b) in pairs.items()
    ]
    head = ("float | program", *(f"t = {t}" for t in drawn), "all, %")
    title = "Spike counts: program against float graph"
    shown = heat(title, "Relative difference in percent", names, drawn, cell)
    notes = "Relative difference in percent, per timestep (across). + : the program fires more often."
    few = left_out(len(names), len(pairs), "populations")
    fewer = left_out(len(drawn), steps, "timesteps")
    return figure(title, shown, notes, few, fewer, data=table(head, rows, label="spike counts"))


def _tint(before: float, after: float) -> str:
    """A class: which way, and in four steps how far (0.1, 1, 3 %)."""
    if before == after:
        return "s0"
    share = abs(after - before) / before if before else math.inf
    step = 1 + sum(share >= edge for edge in (0.001, 0.01, 0.03))
    return f"{'p' if after > before else 'm'}{step}"


def _totals(pairs: Pairs) -> Raw:
    before, after = (np.sum([p[k] for p in pairs.values()], axis=0).tolist() for k in (0, 1))
    steps = list(range(len(before)))
    plane = Plane((0, max(1, len(steps) - 1)), (0, max(1.0, *before, *after) * 1.08), left=52)
    plane.axes("timestep", "spikes, all populations", whole=True)
    plane.line(steps, before, "c2", kind=2, marks=len(steps) <= 40)
    plane.line(steps, after, "c1", marks=len(steps) <= 40)
    rows = [(str(t), f"{a:,.0f}", f"{b:,.0f}", _signed(a, b, 2)) for t, a, b in zip(steps, before, after, strict=True)]
    title = "Spikes per timestep"
    drawn = plane.draw(title, "Float graph and program")
    names = legend(Key("float graph (measured)", "c2", 2), Key("program (simulated)", "c1"))
    head = ("timestep", "float graph", "program", "difference, %")
    return figure(title, join(names, drawn), data=table(head, rows, label=title))
