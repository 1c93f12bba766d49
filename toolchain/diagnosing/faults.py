"""The stored numbers of a program against what its graph says, population by population: which of them are wrong.

Rounding is no fault. What differs by more than the compiler's own conventions is one, and is named with its population
and its cause; ``switches`` turn it off in the hybrid simulator, which says what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnas.export.compiler.circuit import Group
from snnas.export.compiler.grids import grid_of
from snnas.export.compiler.resolution import resolution
from snnas.export.compiler.rounding import CLIPS
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.entries import Matrix, same_places, values_of
from snnas.hw_sim.program import INPUT, HostMap
from snnas.toolchain.diagnosing.hybrid import READOUT, Switches
from snnas.toolchain.diagnosing.pairing import Joint, Unit, Way
from snnas.toolchain.diagnosing.wrong_weights import Wrong, compare

if TYPE_CHECKING:
    from snnas.toolchain.results.records.diagnose import FaultKind

HALF_WAY = 33  # 1/64 units by which a threshold lies above its register's: half a current, and a hair
MORE = 48  # 1/64 units: a threshold farther from where the compiler puts it is off
WHOLE = 2e-5  # of a step: what counts as a whole number of them
FLOAT_STEPS = 1e5  # steps into which a float32 weight's range is cut, to compare it like an integer


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: for machines. cause: one of ``hybrid.CAUSES``. where: the synapse or host map, '' for the population's own.

    count: numbers that are wrong.
    """

    population: str
    kind: FaultKind
    cause: str
    text: str
    where: str = ""
    count: int = 1

    @property
    def switches(self) -> Switches:
        return frozenset({(self.population, self.cause)})


def find(joint: Joint) -> list[Fault]:
    """The faults of a program, in causal order. Of a fine-tuned one: of structure, leaks and ranges alone."""
    moved = finetuned(joint)
    found = [*_whole(joint)]
    for unit in joint.units:
        here = [*_scale(unit), *_connections(joint, unit, moved), *_dynamics(joint, unit, moved)]
        here += [] if moved or here else _few_bits(joint, unit)
        wrong_scale = [f for f in here if f.kind == "wrong scale"]
        found += wrong_scale or here
        found += _host(joint, unit)
    return found + list(_readout(joint, moved))


def finetuned(joint: Joint) -> bool:
    """Whether the program says that training has moved its weights away from the graph's."""
    return bool(joint.program.meta.get("finetuned"))


def _whole(joint: Joint) -> Iterator[Fault]:
    """What concerns the network, not one population of it."""
    program, meta = joint.program, joint.graph.meta
    first = joint.units[0].id
    if joint.subtract:
        yield Fault(
            first, "reset read wrongly", "reset", "the graph resets by subtracting its threshold, the program to zero"
        )
    steps = meta.get("timesteps")
    if type(steps) is int and steps != program.timesteps:
        yield Fault(first, "timesteps", "timing", f"the graph is meant for {steps} timesteps, not {program.timesteps}")
    given = meta.get("input_range")
    if program.input_kind == "analogue" and isinstance(given, list) and len(given) == 2:
        wanted = tuple(float(v) for v in given)
        if not np.allclose(wanted, program.input_range):
            low, high = program.input_range
            yield Fault(
                first, "input range", "input",
                f"compiled for inputs in {low:g}..{high:g}, the graph's lie in {wanted[0]:g}..{wanted[1]:g}",
            )  # fmt: skip
    for unit in joint.units:
        if unit.group is None:
            yield Fault(unit.id, "relay broken", "timing", "it does not pass on the spikes that it gets")


def steps(way: Way, unit: Unit) -> np.ndarray:
    """The graph's weights in steps of the stored integers."""
    assert way.link is not None
    assert way.synapse is not None
    return np.asarray(way.link.map.weight * (unit.population.scale / (1 << way.synapse.exponent)))


def _scale(unit: Unit) -> Iterator[Fault]:
    """One factor on threshold and weights alike: the scale itself is wrong, and with it the host's currents."""
    if unit.group is None or unit.population.role != "neuron" or not unit.maps:
        return
    p = unit.population
    wanted = unit.group.threshold * unit.state_unit
    factor = (64 * p.vth + HALF_WAY) / wanted
    if abs(factor - 1) < 0.05:
        return
    for way in unit.ways:
        if not way.alike:
            return
        real, stored = steps(way, unit), way.synapse.map.weight.astype(np.float64)  # type: ignore[union-attr]
        if np.abs(stored - factor * real).max(initial=0) > 2 or np.abs(factor * real).max(initial=0) < 8:
            return
    bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
    off = np.abs(bias - factor * unit.group.bias * unit.state_unit).max()
    biased = bool(p.bias.any())
    if biased and off > 0.02 * np.abs(bias).max() + (1 << p.bias_exponent):
        return
    if unit.ways or biased:
        yield Fault(
            unit.id, "wrong scale", "input",
            f"threshold, weights and bias are {factor:.3g} times what its scale says: its host currents are too "
            f"{'large' if factor < 1 else 'small'} by as much",
        )  # fmt: skip


def _connections(joint: Joint, unit: Unit, moved: bool) -> Iterator[Fault]:
    for way in unit.ways:
        yield from _timing(unit, way)
        if way.link is None or way.synapse is None:
            continue
        if not way.alike:
            yield Fault(unit.id, "geometry", "weights", f"{way.id} is another map than the graph's", way.id)
            continue
        allowed = limits.weight_range(joint.program.weight_bits)
        source = joint.program.source_shape(way.synapse.src)
        stored = way.synapse.map.weight.astype(np.float64)
        for wrong in compare(steps(way, unit), stored, allowed, source, moved=moved):
            yield _of_weights(unit.id, way.id, wrong)


def _few_bits(joint: Joint, unit: Unit) -> Iterator[Fault]:
    """Every weight is as near as its step lets it be, and the step is too coarse."""
    synapses = [w.synapse for w in unit.ways if w.synapse is not None]
    found = resolution(unit.population, [w.link for w in unit.ways if w.link is not None], synapses)
    if found is not None and found.few:
        text = f"{found.text(joint.program.weight_bits)}; export with samples that calibrate, and --ranges observed"
        yield Fault(unit.id, "few bits left", "weights", text)


def _of_weights(population: str, where: str, wrong: Wrong, cause: str = "weights") -> Fault:
    cause = "saturation" if wrong.kind == "weights saturated" else cause
    return Fault(population, wrong.kind, cause, wrong.text, where, wrong.count)


def _timing(unit: Unit, way: Way) -> Iterator[Fault]:
    if unit.group is None:
        return
    if way.integer is None and way.real is not None:
        yield Fault(unit.id, "synapse lost", "timing", f"its synapse from {way.real[0]} is missing", way.id)
    elif way.real is None and way.integer is not None:
        yield Fault(unit.id, "synapse added", "timing", f"the graph has no synapse from {way.integer[0]}", way.id)
    elif way.real is not None and way.integer is not None and way.real != way.integer:
        (source, late), (found, lateness) = way.real, way.integer
        if source != found:
            yield Fault(unit.id, "wrong source", "timing", f"comes from {found}, the graph's from {source}", way.id)
        else:
            kind: FaultKind = "delay lost" if lateness < late else "delay added"
            text = f"spikes of {source} come {lateness} timesteps late, the graph says {late}"
            yield Fault(unit.id, kind, "timing", text, way.id)


def _dynamics(joint: Joint, unit: Unit, moved: bool) -> Iterator[Fault]:
    g, p = unit.group, unit.population
    if g is None:
        return
    if p.role != g.role:
        yield Fault(unit.id, "wrong role", "leak", f"it is a {p.role}, the graph's is a {g.role}")
    if p.role != "neuron":
        return
    yield from _leak(unit, g, joint.program.schedule.period)
    if not moved:
        yield from _threshold(unit, g)
    if not moved or unit.clock is not None:  # training leaves the clock's weights alone
        yield from _bias(unit, g)


def _threshold(unit: Unit, g: Group) -> Iterator[Fault]:
    vth, scale = unit.population.vth, unit.population.scale
    above = g.threshold * unit.state_unit - 64 * vth  # 1/64 units
    on_grid = bool(unit.ways) and all(w.alike and _is_whole(steps(w, unit)) for w in unit.ways)
    grid = grid_of(unit.population, [w.synapse for w in unit.ways if w.synapse], hosted=bool(unit.maps))
    ties = list(_tie(unit, g.threshold * scale, max(grid, 64) / 64)) if on_grid else []
    if on_grid and grid:
        meant = np.floor(g.threshold * unit.state_unit / grid)
        alike = 64 * vth // grid == meant  # the same currents fire
        off = 0 if alike or ties else vth - int(meant * grid + grid // 2) // 64
    elif on_grid:
        off = round(-above / 64) if not -33 <= above <= 65 else 0
    else:
        off = round((HALF_WAY - above) / 64) if abs(HALF_WAY - above) > MORE else 0
    yield from ties
    if off:
        share = 64 * off / (g.threshold * unit.state_unit)
        yield Fault(
            unit.id, "threshold off", "threshold",
            f"threshold off by {off:+d} unit{'s' if abs(off) > 1 else ''} ({share:+.2%}): vth is {vth}, expected "
            f"{vth - off}",
        )  # fmt: skip


def _is_whole(values: np.ndarray) -> bool:
    return float(np.abs(values - np.rint(values)).max(initial=0)) <= WHOLE * max(1.0, float(np.abs(values).max()))


def _tie(unit: Unit, units: float, grid: float) -> Iterator[Fault]:
    """Whole weights and a threshold on a whole current: then it matters which of ``>`` and ``>=`` is meant.

    grid: from one current to the next, in weight units.
    """
    whole, vth = round(units / grid) * grid, unit.population.vth
    if abs(units - whole) > 1e-3 or not whole - grid <= vth < whole + grid:
        return
    meant_at = units < whole  # a hair below: v = whole fires
    if meant_at == (vth >= whole):
        said, does = (">=", ">") if meant_at else (">", ">=")
        yield Fault(
            unit.id, "comparison", "threshold",
            f"the graph fires at v {said} threshold, the program at v {does}: vth is {vth}, expected "
            f"{vth - grid if meant_at else vth + grid:.0f}",
        )  # fmt: skip


def _leak(unit: Unit, g: Group, period: int) -> Iterator[Fault]:
    p = unit.population
    expected = min(round(limits.DECAY_ONE * (1 - (1 - g.alpha) ** (1 / period))), limits.DECAY_MAX)
    if abs(p.dv - expected) > 1:
        leaks = 1 - (1 - p.dv / limits.DECAY_ONE) ** period
        if period > 1 and abs(p.dv - limits.DECAY_ONE * g.alpha) <= 1:
            why = f"the whole leak at each of {period} hardware steps: it is not shared between them"
        elif g.alpha > 0 and p.dv > 0:
            why = f"as if dt were {leaks / g.alpha:.3g} times as long, or tau as short"
        else:
            why = "it leaks, the graph's does not" if g.alpha == 0 else "it does not leak at all"
        text = f"dv is {p.dv}, expected {expected}; a timestep takes {leaks:.1%} of v, the graph says {g.alpha:.1%}: "
        yield Fault(unit.id, "dt or tau wrong", "leak", text + why)
    du = max(round(limits.DECAY_ONE * g.decay) - 1, 0)
    if abs(p.du - du) > 1:
        keeps = 1 - (p.du + 1) / limits.DECAY_ONE
        yield Fault(
            unit.id, "synaptic tau wrong", "leak",
            f"du is {p.du}, expected {du}; a timestep keeps {keeps:.1%} of the current, the graph says "
            f"{1 - g.decay:.1%}",
        )  # fmt: skip


def _bias(unit: Unit, g: Group) -> Iterator[Fault]:
    p = unit.population
    register = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent) * np.ones(p.shape)
    clock = np.zeros(p.shape) if unit.clock is None else 64.0 * unit.clock
    drive = np.zeros(p.shape) if g.drive is None else g.drive * unit.state_unit
    by_clock = g.drive is None and unit.clock is not None
    stored = {"bias": register + clock if by_clock else register, "constant current": clock}
    real = {"bias": g.bias * unit.state_unit, "constant current": drive}
    half = {"bias": 33.0 if by_clock else 0.5 * (1 << p.bias_exponent) + 0.01, "constant current": 33.0}
    for name in ("bias",) if g.drive is None else ("bias", "constant current"):
        off = np.abs(stored[name] - real[name])
        if float(off.max()) <= half[name]:
            continue
        count, units = int((off > half[name]).sum()), limits.BIAS_MANTISSA_MAX
        kind: FaultKind
        full = (np.abs(p.bias) == units) * np.ones(p.shape, dtype=bool)
        if name == "bias" and (full & (off > half[name])).sum() == count:
            kind, text = "bias saturated", f"bias clipped at {units} << {p.bias_exponent}"
        elif not stored[name].any():
            kind, text = "bias lost", f"its {name} is missing"
        elif np.abs(stored[name] + real[name]).max() <= half[name]:
            kind, text = "bias sign flipped", f"its {name} has the wrong sign"
        else:
            kind, text = "bias wrong", f"its {name} is not the graph's"
        at = tuple(int(n) for n in np.unravel_index(int(off.argmax()), p.shape))
        text += f": {count:,} of {p.size:,} neurons; at {at} {stored[name][at] / 64:.5g} weight units, expected "
        yield Fault(unit.id, kind, "bias", text + f"{real[name][at] / 64:.5g}", count=count)


def _host(joint: Joint, unit: Unit) -> Iterator[Fault]:
    maps: dict[str, HostMap] = {h.id: h for h in unit.maps}
    for link in unit.links:
        stored = maps.pop(link.id, None)
        if stored is None:
            yield Fault(unit.id, "host map lost", "input", "its host map is missing", link.id)
            continue
        weight = stored.map.weight.astype(np.float64) * stored.gain
        if weight.shape != link.map.weight.shape:
            yield Fault(unit.id, "geometry", "input", "its host map is another than the graph's", link.id)
            continue
        step = max(float(np.abs(link.map.weight).max()), 1e-30) / FLOAT_STEPS
        whole = (-1 << 62, 1 << 62)
        for wrong in compare(link.map.weight / step, weight / step, whole, joint.program.input_shape):
            yield _of_weights(unit.id, link.id, wrong, "input")
    for name in maps:
        yield Fault(unit.id, "host map added", "input", f"the graph has no path from {INPUT}", name)


def _readout(joint: Joint, moved: bool) -> Iterator[Fault]:
    r, real, steps = joint.program.readout, joint.circuit.readout, joint.program.timesteps
    ours, theirs = ({(k.src, k.distance): k.weight for k in readings} for readings in (r.readings, real.readings))
    if set(ours) != set(theirs):
        yield Fault(READOUT, "wrong source", "readout", f"reads {_read(ours)}, the graph's reads {_read(theirs)}")
        return
    if r.classes != len(real.constant):
        yield Fault(READOUT, "geometry", "readout", f"{r.classes} classes, expected {len(real.constant)}")
        return
    response = real.response(steps)
    if r.read != real.read or r.response.shape != response.shape:
        yield Fault(READOUT, "geometry", "readout", f"its {r.read} is read, the graph's {real.read} is")
        return
    finest = float(np.abs(r.response).max()) / float(np.abs(response).max())
    off = np.abs(r.response - response * finest)
    if float(off.max()) > 1:
        yield Fault(READOUT, "dt or tau wrong", "readout", "what it keeps from timestep to timestep is not the graph's")
    allowed = (limits.WEIGHT_MIN, limits.WEIGHT_MAX)
    for (name, late), weight in theirs.items():
        if not same_places(ours[name, late], weight):
            yield Fault(READOUT, "geometry", "readout", f"what it reads of {name} are other neurons than the graph's")
            continue
        stored, source = values_of(ours[name, late]).astype(np.float64), joint.program.source_shape(name)
        for wrong in compare(
            values_of(weight) * r.scale / finest, stored, allowed, source, moved=moved, room=CLIPS[-1]
        ):
            yield _of_weights(READOUT, "", wrong, "readout")
    off = np.abs(r.bias - real.still(steps) * r.scale * 64)
    if not moved and float(off.max()) > 1:
        yield Fault(READOUT, "bias wrong", "readout", f"its bias is off by up to {off.max() / 64:.4g} weight units")


def _read(readings: Mapping[tuple[str, int], Matrix]) -> str:
    return ", ".join(f"{name} {late} timesteps late" if late else name for name, late in readings)
