"""A program and a graph as text that a person can read, and follow by hand where they are small.

Deterministic: the same program gives the same text, numbers are rounded to six digits. At most 120 columns.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.graph.graph import (
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Graph,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Output,
    Pool,
    Scale,
    Threshold,
)
from snnas.hw_sim import limits
from snnas.hw_sim.entries import Entries, Matrix, values_of
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Population, Program, Shape, Synapse

COLUMNS = 120
FULL = 64  # weights up to which an array is printed whole


def dump(program: Program) -> str:
    """Header, the populations in the order of the schedule with their incoming synapses, and the timetable."""
    lines = [*_header(program), ""]
    for p in program.in_order:
        lines += [*_population(program, p), ""]
    lines += _timetable(program)
    return _text(lines)


def dump_graph(graph: Graph) -> str:
    """The nodes in the order of execution with their parameters and what feeds them."""
    shapes = graph.shapes()
    lines = [
        f"graph: {len(graph.nodes)} nodes, {len(graph.edges)} edges, {len(graph.delayed)} of them wait a timestep",
        f"input {_shape(shapes[graph.input])}, output {_shape(shapes[graph.output])}; dt = {graph.convention.dt:g} s",
        *_equations(graph),
        "several edges into a node are summed; weights are float32",
        "",
    ]
    for name in graph.order():
        sources = graph.sources(name)
        fed = [f"{s} (from t-1)" if (s, name) in graph.delayed else s for s in sources]
        before = f"{_shape(shapes[sources[0]])} -> " if sources and shapes[sources[0]] != shapes[name] else ""
        lines.append(f"{name}: {type(graph.nodes[name]).__name__} {before}{_shape(shapes[name])}")
        if fed:
            lines += _wrapped(f"  <- {', '.join(fed)}")
        lines += [f"  {line}" for line in _parameters(graph, name)]
    return _text(lines)


# ----------------------------------------------------------------------------------------------------------- program


def _header(program: Program) -> Iterator[str]:
    schedule = program.schedule
    low, high = program.input_range
    between = f"{low:g}..{high:g}, " if program.input_kind == "analogue" else ""
    roles = [p.role for p in program.populations]
    counted = ", ".join(f"{roles.count(role)} {role}" for role in ("neuron", "or", "relay") if role in roles)
    neurons = sum(p.size for p in program.populations)
    connections = sum(_connections(program, s) for s in program.synapses)
    r = program.readout
    yield "program"
    yield f"  input     {program.input_kind} {between}shape {_shape(program.input_shape)}"
    yield (
        f"  time      T = {program.timesteps} timesteps of P = {schedule.period} hardware steps; depth "
        f"{schedule.total_depth} steps; {_count(schedule.blank, 'blank timestep')} between samples"
    )
    yield f"  size      {_count(len(roles), 'population')} ({counted}), {_count(neurons, 'neuron')}"
    yield f"            {_count(len(program.synapses), 'synapse')}, {_count(connections, 'connection')}"
    for k in r.readings:
        late = f" {_count(k.distance, 'timestep')} late" if k.distance else ""
        read = {"sum": "summed over T", "last": "the last value", "max": "the largest value"}[r.read]
        yield (
            f"  readout   {k.src}{late} -> {r.classes} classes, on the host, {read}: "
            f"64 w s + b, w {_range(values_of(k.weight))}, b {_range(r.bias)}, scale {r.scale:.6g}"
        )
        yield from _matrix(k.weight, "            ")
    if len(r.response) > 1:
        yield f"            with a memory: 64 (w s)(t - j) times {_range(r.response)}, j timesteps later"
    yield "  neuron    v <- trunc(v (4096 - dv) / 4096), P times; v <- v + 64 a + bias; spike and v := 0 iff v > 64 vth"
    if any(p.current_decays for p in program.populations):
        yield "            (where du is given: u <- trunc(u (4095 - du) / 4096) + 64 a, and u takes the place of 64 a)"
    yield "  synapse   a += w 2^exponent for each spike, which arrives one hardware step later"


def _population(program: Program, p: Population) -> Iterator[str]:
    title = f"{p.id}: {p.role} {_shape(p.shape)}, {_count(p.size, 'neuron')}, depth {program.schedule.depth[p.id]}"
    yield title
    share = ((limits.DECAY_ONE - p.dv) / limits.DECAY_ONE) ** program.schedule.period
    keeps = f"{share:.4g} of v" if share > 1e-3 else "nothing"
    yield (
        f"  dv {p.dv} (a timestep keeps {keeps}), vth {p.vth}, scale {p.scale:.6g}, "
        f"bias {_range(p.bias)}{f' x 2^{p.bias_exponent}' if p.bias_exponent else ''}"
        f"{f', du {p.du} (a timestep keeps {(4095 - p.du) / 4096:.4g} of u)' if p.current_decays else ''}"
    )
    if p.bias.any():
        yield from _weights(p.bias, "    bias ")
    for h in program.host:
        if h.dst == p.id:
            gain = f", gain {h.gain:g}" if h.gain != 1 else ""
            yield f"  <- {INPUT} on the host: {_geometry(h.map, program.input_shape)}, w {_range(h.map.weight)}{gain}"
            yield from _weights(h.map.weight, "     ")
    for s in program.into(p.id):
        source = program.source_shape(s.src)
        yield from _wrapped(
            f"  <- {s.src}{' from t-1' if s.distance else ''}: {_geometry(s.map, source)}, exponent {s.exponent}, "
            f"w {_range(s.map.weight)}, {_count(_connections(program, s), 'connection')}"
        )
        yield from _sparse(s.map, "     ") if s.map.kind == "sparse" else _weights(s.map.weight, "     ")


def _connections(program: Program, s: Synapse) -> int:
    return int(fan_out(s.map, program.source_shape(s.src)).sum()) if s.src != CLOCK else int(s.map.weight.size)


def _geometry(linear: LinearMap, source: Shape) -> str:
    """The map's kind and shape; strides, pads, groups and pools where they are not the plain ones."""
    parts = [f"{linear.kind} {_shape(linear.weight.shape)}"]
    if linear.weight.ndim == 4:
        parts += [f"stride {_pair(linear.stride)}"] if linear.stride != (1, 1) else []
        parts += [f"pad {_pair(linear.pad)}"] if linear.pad != (0, 0) else []
        parts += [f"{linear.groups} groups"] if linear.groups != 1 else []
    for when, pools in (("before", linear.pre), ("after", linear.post)):
        for p in pools:
            parts.append(f"{when} it a sum over {_pair(p.kernel)} stride {_pair(p.stride)} pad {_pair(p.pad)}")
    return f"{_shape(source)} through {', '.join(parts)}"


def _timetable(program: Program) -> Iterator[str]:
    """Which population computes which timestep at which hardware step; of the next sample too, where it fits."""
    schedule, order = program.schedule, program.in_order
    names = max(len(p.id) for p in order) + 2
    wide = len(str(program.timesteps - 1)) + 2
    interval = (program.timesteps + schedule.blank) * schedule.period
    width = max(wide, len(str(2 * interval + schedule.total_depth)) + 1)
    steps = min(2 * interval + schedule.total_depth, (COLUMNS - names) // width)
    yield "schedule: timestep t of a population is computed at hardware step t P + depth; ' marks the next sample,"
    yield "          - a blank timestep (sources of delayed synapses are held silent), . a step of leaking only"
    yield "step".ljust(names) + "".join(str(k).rjust(width) for k in range(steps))
    for p in order:
        row = (_timetable_entry(program, k - schedule.depth[p.id], interval) for k in range(steps))
        yield (p.id.ljust(names) + "".join(entry.rjust(width) for entry in row)).rstrip()


def _timetable_entry(program: Program, step: int, interval: int) -> str:
    """step: hardware steps since the population's first."""
    if step < 0:
        return ""
    sample, within = divmod(step, interval)
    t, phase = divmod(within, program.schedule.period)
    if phase:
        return "."
    return "-" if t >= program.timesteps else f"{t}{chr(39) * min(sample, 1)}" if sample < 2 else ""


# ------------------------------------------------------------------------------------------------------------- graph


def _equations(graph: Graph) -> Iterator[str]:
    at = graph.convention
    share = "dt/tau" if at.decay == "euler" else "(1 - exp(-dt/tau))"
    reset = "v := v_reset" if at.reset == "zero" else "v := v - v_threshold"
    yield f"neuron: v <- v + {share} (v_leak - v + r I); spike and {reset} where v {at.compare} v_threshold"
    if graph.of_type((If, I)):
        yield "        If, I: v <- v + dt r I"
    if graph.of_type((CubaLif, CubaLi)):
        late = "; v sees the I before it" if at.current == "late" else ""
        yield f"        CubaLif, CubaLi: I <- I + {share} (w_in input - I), with tau_syn{late}"
    if at.readout:
        yield f"read:   the output's {graph.read}"


def _parameters(graph: Graph, name: str) -> Iterator[str]:
    match graph.nodes[name]:
        case Conv() as node:
            yield (
                f"weight {_shape(node.weight.shape)} {_range(node.weight)}, stride {_pair(node.stride)}, "
                f"pad {_pair(node.pad)}{f', {node.groups} groups' if node.groups != 1 else ''}"
            )
            yield from _weights(node.weight, "  ")
            yield from _bias(node.bias)
        case Linear() as node:
            yield f"weight {_shape(node.weight.shape)} {_range(node.weight)}"
            yield from _weights(node.weight, "  ")
            yield from _bias(node.bias)
        case Pool() as node:
            kind = "average" if node.average else "sum"
            yield f"{kind} over {_pair(node.kernel)}, stride {_pair(node.stride)}, pad {_pair(node.pad)}"
        case Delay() as node:
            yield f"waits {_count(node.steps, 'timestep')}"
        case Lif() as node:
            decay = conventions.decay_of(node.tau, graph.convention)
            yield (
                f"tau {_range(node.tau)} s (dt/tau {_range(decay)}), v_threshold {_range(node.v_threshold, 9)}, "
                f"r {_range(node.r)}, v_leak {_range(node.v_leak)}, v_reset {_range(node.v_reset)}"
            )
        case If() | CubaLif() | Threshold() | Li() | CubaLi() | I() | Scale() as node:
            yield ", ".join(f"{f.name} {_range(getattr(node, f.name), 9)}" for f in fields(node))
        case Input() | Output() | _:
            return


def _bias(bias: np.ndarray | None) -> Iterator[str]:
    if bias is not None and bias.any():
        yield f"bias {_shape(bias.shape)} {_range(bias)}"
        yield from _weights(bias, "  ")


# -------------------------------------------------------------------------------------------------------------- text


def _weights(array: np.ndarray, indent: str) -> Iterator[str]:
    """A small array whole: a line per kernel, its rows apart, or per row of a matrix; nothing where all are equal."""
    if array.ndim == 4 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.size > FULL or (array == array.flat[0]).all():
        return
    if array.ndim == 4:
        for o, i in np.ndindex(array.shape[:2]):
            rows = " | ".join(" ".join(_number(v) for v in row) for row in array[o, i])
            yield from _wrapped(f"{indent}[{o},{i}] {rows}")
    elif array.ndim == 2:
        for o, row in enumerate(array):
            yield from _wrapped(f"{indent}[{o}] {' '.join(_number(v) for v in row)}")
    else:
        yield from _wrapped(indent + " ".join(_number(v) for v in array.reshape(-1)))


def _matrix(matrix: Matrix, indent: str) -> Iterator[str]:
    if not isinstance(matrix, Entries):
        yield from _weights(matrix, indent)
    elif matrix.values.size <= FULL:
        yield from _rows(matrix.values, matrix.indices, matrix.indptr, indent)


def _sparse(linear: LinearMap, indent: str) -> Iterator[str]:
    if linear.indices is not None and linear.indptr is not None and linear.weight.size <= FULL:
        yield from _rows(linear.weight, linear.indices, linear.indptr, indent)


def _rows(values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, indent: str) -> Iterator[str]:
    """The rows of a small sparse matrix as column:weight."""
    for row, (start, end) in enumerate(itertools.pairwise(indptr)):
        entries = zip(indices[start:end], values[start:end], strict=True)
        if end > start:
            yield from _wrapped(f"{indent}[{row}] {' '.join(f'{c}:{_number(w)}' for c, w in entries)}")


def _number(value: float, digits: int = 6) -> str:
    """Six digits, and no minus before a zero."""
    return f"{float(value) + 0.0:.{digits}g}"


def _range(array: np.ndarray, digits: int = 6) -> str:
    if not array.size:
        return "nothing"
    low, high = (_number(v, digits) for v in (array.min(), array.max()))
    return low if low == high else f"{low}..{high}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(n) for n in shape)


def _pair(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _wrapped(line: str) -> list[str]:
    """At most 120 columns; what follows the first line is indented two further."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line.lstrip(), COLUMNS, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )


def _text(lines: list[str]) -> str:
    return "\n".join(
        line.rstrip() for part in lines for line in (_wrapped(part) if len(part) > COLUMNS else [part])
    ) + ("\n")
