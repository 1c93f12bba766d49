"""A simulator between graph and program: each lossy piece of each population is exact or integer, as it is told.

With every piece integer it gives the program's spikes, bit for bit; with every piece exact the graph's (equal to the
NIR interpreter's except where a membrane meets its threshold to the last bit of a float64). States are float64: what is
integer is whole in them, and all integers that occur lie below 2**53.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from snnas.export.graph import structure
from snnas.hw_sim import kernels, limits, readout
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.simulator import held_back, host_currents
from snnas.toolchain.diagnosing.pairing import Joint, Unit
from snnas.toolchain.diagnosing.switched_map import SwitchedMap

# What can differ between a graph and its program, piece by piece; ``readout`` is the host's, of no population.
CAUSES = {
    "input": "host stage: currents rounded to whole weight units",
    "weights": "weights rounded, moved by training, or wrong",
    "saturation": "weights clipped, current wrapped, membrane clipped",
    "threshold": "threshold in whole weight units",
    "bias": "bias rounded",
    "leak": "leak in steps of 1/4096",
    "truncation": "leak truncated toward zero",
    "reset": "reset to zero instead of by subtraction",
    "timing": "delays and wiring",
    "readout": "readout weights rounded",
}
READOUT = "readout"

Switch = tuple[str, str]  # population (or READOUT), cause
Switches = frozenset[Switch]

TIE = 1e-9  # of the largest answer: closer ones count as equal, as they are before float64 rounds them


def everywhere(joint: Joint, causes: Iterable[str]) -> Switches:
    """The causes at every population."""
    return frozenset(product([*(u.id for u in joint.units), READOUT], causes))


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Samples as both sides take them. real, integer: what the host injects per population, (B, T or 1, C, H, W).

    real: in the circuit's units; integer: weight units. spikes: bool (B, T, C, H, W), None of an analogue input.
    """

    samples: int
    real: dict[str, np.ndarray]
    integer: dict[str, np.ndarray]
    spikes: np.ndarray | None


def stimulus(joint: Joint, x: np.ndarray) -> Stimulus:
    """x: (B, C, H, W) or (B, T, C, H, W)."""
    program = joint.program
    if program.input_kind != "analogue":
        return Stimulus(len(x), {}, {}, x > 0)
    frames = x[:, None] if x.ndim == 4 else x
    b, t = frames.shape[:2]
    flat = frames.reshape(b * t, *frames.shape[2:]).astype(np.float64)
    real: dict[str, np.ndarray] = {}
    for unit in joint.units:
        for link in unit.links:
            current = apply(link.map, flat, unit.population.shape).reshape(b, t, *unit.population.shape)
            current = held_back(current, link.distance, program.timesteps)
            real[unit.id] = real[unit.id] + current if unit.id in real else current
    return Stimulus(len(x), real, host_currents(program, x), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """spikes: {population: bool (B, T, C, H, W)}. answers: (B, classes). watched: v / threshold before each reset."""

    spikes: dict[str, np.ndarray]
    answers: np.ndarray
    watched: np.ndarray | None = None

    @property
    def predictions(self) -> np.ndarray:
        """The lowest index among the largest answers."""
        top = self.answers.max(axis=1, keepdims=True)
        slack = TIE * np.maximum(np.abs(self.answers).max(axis=1, keepdims=True), 1e-300)
        return np.asarray((self.answers >= top - slack).argmax(axis=1))


def run_hybrid(
    joint: Joint,
    given: Stimulus,
    exact: Switches = frozenset(),
    *,
    watch: str | None = None,
    forced: dict[str, np.ndarray] | None = None,
    known: tuple[Switches, Outcome] | None = None,
) -> Outcome:
    """Runs a batch with the pieces in ``exact`` exact and all others integer.

    watch: a population whose membrane is recorded. forced: spikes that populations hand on in place of their own, so
    that each shows what it does by itself. known: another run of the same batch, whose spikes are taken over
    where nothing can differ. UnsupportedError where the switches leave a loop within a timestep.
    """
    cells = {u.id: _Cell(u, joint, exact, given) for u in joint.units}
    joins = [((s, name), d) for name, cell in cells.items() for s, d in cell.sources if s != INPUT]
    edges = [pair for pair, _ in joins]
    now = [pair for pair, d in joins if d == 0]
    order, loop = structure.order(cells, [] if forced else edges)
    folded = not loop
    if loop:
        order, stuck = structure.order(cells, now)
        if stuck:
            raise UnsupportedError(f"delays switched there leave a loop within a timestep through {', '.join(stuck)}")
    steps, batch = joint.program.timesteps, given.samples
    spikes = {u.id: np.zeros((batch, steps, *u.population.shape), dtype=bool) for u in joint.units}
    seen = spikes if forced is None else {**spikes, **forced}
    watched = None if watch is None else np.zeros(spikes[watch].shape)
    equal = {INPUT}
    for times in [slice(0, steps)] if folded else [slice(t, t + 1) for t in range(steps)]:
        for name in order:
            cell = cells[name]
            if known is not None and folded and cell.like(known[0], exact) and equal.issuperset(cell.from_populations):
                spikes[name][:] = known[1].spikes[name]
                equal.add(name)
                continue
            drive = cell.drive(seen, times)
            for k, t in enumerate(range(times.start, times.stop)):
                v, fired = cell.step(drive[:, k])
                spikes[name][:, t] = fired
                if watched is not None and name == watch:
                    watched[:, t] = v / cell.threshold
            if known is not None and folded and np.array_equal(spikes[name], known[1].spikes[name]):
                equal.add(name)
    return Outcome(spikes, _answers(joint, spikes, (READOUT, "readout") in exact), watched)


def _answers(joint: Joint, spikes: dict[str, np.ndarray], exact: bool) -> np.ndarray:
    """In the unit of the graph's output."""
    r = joint.program.readout
    if exact:
        return joint.circuit.readout.answers(spikes)
    return np.asarray(readout.answers(r, spikes, joint.program.timesteps) / (64 * r.scale))


class _Cell:
    """One population under its switches: constants, and the state of a batch.

    Its unit is 1/64 of a weight unit, or the circuit's own where nothing is integer, so that exact ties stay ties.
    """

    def __init__(self, unit: Unit, joint: Joint, exact: Switches, given: Stimulus) -> None:
        self.unit, self.given = unit, given
        real = unit.group is not None
        on = {c: real and (unit.id, c) in exact for c in CAUSES}
        self.on = on
        p, g, program = unit.population, unit.group, joint.program
        matters = [c for c in CAUSES if c != "readout" and not (c == "reset" and not joint.subtract)]
        self.scale = 1.0 if all(on[c] for c in matters) else unit.state_unit
        self.ways = [SwitchedMap(w, on, self.scale, program) for w in unit.ways]
        self.sources = [w.source for w in self.ways if w.source is not None]
        self.subtract = joint.subtract and on["reset"] and p.role == "neuron"
        self.leaks = program.schedule.period
        period = 1.0 / self.leaks
        if g is not None and on["leak"]:
            self.keep = (1 - g.alpha) ** period if not on["truncation"] else 1 - g.alpha
            self.keep_current = 1 - g.decay
            self.leaks = self.leaks if not on["truncation"] else 1
        else:
            self.keep = (limits.DECAY_ONE - p.dv) / limits.DECAY_ONE
            self.keep_current = (limits.NO_MEMORY - p.du) / limits.DECAY_ONE
        self.threshold = (
            g.threshold * self.scale if g is not None and on["threshold"] else float(p.vth << limits.STATE_SHIFT)
        )
        self.bias: np.ndarray
        self.constant: np.ndarray | float  # added to the current
        if g is not None and on["bias"]:
            self.bias, self.constant = g.bias * self.scale, 0.0 if g.drive is None else g.drive * self.scale
        else:
            self.bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent).astype(np.float64)
            self.constant = 0.0 if unit.clock is None else (unit.clock << limits.STATE_SHIFT).astype(np.float64)
        shape = (given.samples, *p.shape)
        self.v = np.zeros(shape)
        self.u = np.zeros(shape) if self.keep_current else None

    @property
    def from_populations(self) -> set[str]:
        return {name for name, _ in self.sources}

    def like(self, one: Switches, other: Switches) -> bool:
        """Whether both mean the same here."""
        return all(((self.unit.id, c) in one) == ((self.unit.id, c) in other) for c in CAUSES)

    def drive(self, spikes: dict[str, np.ndarray], times: slice) -> np.ndarray:
        """The synaptic input of some timesteps, float64 (B, n, C, H, W)."""
        p, n = self.unit.population, times.stop - times.start
        total = np.zeros((self.given.samples, n, *p.shape)) + self.constant
        if times.start == 0 and self.unit.group is not None and self.unit.group.late:
            total[:, 0] = 0  # what stands still is seen a timestep later, too
        host, factor = (
            (self.given.real, self.scale) if self.on["input"] else (self.given.integer, float(1 << limits.STATE_SHIFT))
        )
        if p.id in host:
            current = host[p.id]
            total += (current if current.shape[1] == 1 else current[:, times]) * factor
        for way in self.ways:
            if way.source is not None:
                total += way.current(self._spikes(way.source, spikes, times), p.shape)
        return total

    def _spikes(self, source: tuple[str, int], spikes: dict[str, np.ndarray], times: slice) -> np.ndarray:
        name, late = source
        every = self.given.spikes if name == INPUT else spikes[name]
        assert every is not None
        if times.start >= late:
            return every[:, times.start - late : times.stop - late]
        out = np.zeros((len(every), times.stop - times.start, *every.shape[2:]), dtype=bool)
        if times.stop > late:
            out[:, late - times.start :] = every[:, : times.stop - late]
        return out

    def step(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The membrane before its reset, and the spikes, after the timestep whose synaptic input is ``a``."""
        clip = not self.on["saturation"]
        if self.u is not None:
            self.u = self._decayed(self.u, self.keep_current) + a
        u = a if self.u is None else self.u
        if clip:
            u = kernels.wrap_current(u)
            self.u = u if self.u is not None else None
        v = self.v
        for _ in range(self.leaks):
            v = self._decayed(v, self.keep)
        v = v + u + self.bias
        if clip:
            v = v.clip(-(limits.STATE_LIMIT - 1), limits.STATE_LIMIT - 1)
        fired = v > self.threshold
        self.v = np.where(fired, v - self.threshold if self.subtract else 0.0, v)
        return v, fired

    def _decayed(self, state: np.ndarray, keep: float) -> np.ndarray:
        return state * keep if self.on["truncation"] else np.trunc(state * keep)
