"""Runs a program in NumPy: every neuron's spikes at every timestep, equal to Lava's ``fixed_pt`` processes.

Layer-synchronous: the schedule only says on which hardware step a timestep is computed; relays and delays are such
that each population sees its sources at the right timestep, so the simulator walks timesteps, not hardware steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snnas.hw_sim import kernels
from snnas.hw_sim.errors import UnsupportedError, UsageError, overflowed
from snnas.hw_sim.host_stage import held_back as held_back
from snnas.hw_sim.host_stage import host_currents as host_currents
from snnas.hw_sim.host_stage import integer_stages
from snnas.hw_sim.linear import apply, convolve, sum_pool
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Population, Program, Synapse
from snnas.hw_sim.readout import answers
from snnas.hw_sim.system_calls import physical_memory


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run gave. spikes: {population: bool (B, T, C, H, W)}; logits: int64 (B, classes), readout's units."""

    spikes: dict[str, np.ndarray]
    logits: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        return self.logits.argmax(axis=1)


def simulate(
    program: Program, *, currents: dict[str, np.ndarray] | None = None, spikes_in: np.ndarray | None = None
) -> Trace:
    """Runs a batch. currents: as ``host_currents`` gives them. spikes_in: bool (B, T, C, H, W) for spike inputs.

    UnsupportedError where the batch takes more memory than the machine has: a small file may declare a huge program;
    and where a register overflows of a population whose range is observed only.
    """
    currents = currents or {}
    drivers = [*currents.values()] if spikes_in is None else [spikes_in]
    if not drivers:
        raise UsageError(
            "the program is driven by neither currents nor spikes; give what host_currents returns, or spikes_in"
        )
    batch = len(drivers[0])
    _check_memory(program, batch)
    run = _step_by_step if program.recurrent else _folded
    spikes: dict[str, np.ndarray] = run(program, batch, currents, spikes_in)
    return Trace(spikes=spikes, logits=answers(program.readout, spikes, program.timesteps))


def _check_memory(program: Program, batch: int) -> None:
    steps, sizes = batch * program.timesteps, [p.size for p in program.populations]
    # Every spike is kept as a byte; where time folds into the batch, the largest input stands twice as int64.
    needed = steps * (sum(sizes) + (0 if program.recurrent else 16 * max(sizes)))
    there = physical_memory()
    if there is not None and needed > there:
        raise UnsupportedError(
            f"{batch} samples of {program.timesteps} timesteps of {sum(sizes):,} neurons take {needed / 1e9:,.1f} GB "
            f"in the simulator, and this machine has {there / 1e9:,.1f} GB; take a smaller program or a larger machine"
        )


def simulate_input(
    program: Program, x: np.ndarray, *, batch: int = 128
) -> Iterator[tuple[Trace, dict[str, np.ndarray]]]:
    """Runs samples in chunks of ``batch``: yields each chunk's trace and the currents that drove it."""
    stages = integer_stages(program) if program.host_integers is not None else None
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        if program.input_kind == "analogue":
            currents = host_currents(program, part, stages)
            yield simulate(program, currents=currents), currents
        else:
            if program.input_kind == "counts" and part.max(initial=0) > 1:
                raise UnsupportedError(
                    f"an input count of {part.max():g}: a synapse carries one spike per timestep; bin the events "
                    "more finely or clip them to 1; or save them as float32 for --input-kind analogue, which takes "
                    "counts as currents"
                )
            yield simulate(program, spikes_in=part > 0), {}


def _folded(
    program: Program, batch: int, currents: dict[str, np.ndarray], spikes_in: np.ndarray | None
) -> dict[str, np.ndarray]:
    """No delayed synapse: each population's whole input is known before it runs, so time folds into the batch."""
    steps = program.timesteps
    spikes: dict[str, np.ndarray] = {}
    for p in program.in_order:
        current: np.ndarray = np.zeros((batch, steps, *p.shape), dtype=np.int64)
        if p.id in currents:
            current += currents[p.id]
        for s in program.into(p.id):
            source = _source(s, batch, steps, spikes, spikes_in)
            folded = source.reshape(batch * steps, *source.shape[2:])
            current += _accumulate(s, p, folded).reshape(current.shape)
        out = np.zeros((batch, steps, *p.shape), dtype=bool)
        state = _State(p, batch, program)
        for t in range(steps):
            out[:, t] = state.advance(current[:, t])
        spikes[p.id] = out
    return spikes


def _step_by_step(
    program: Program, batch: int, currents: dict[str, np.ndarray], spikes_in: np.ndarray | None
) -> dict[str, np.ndarray]:
    steps = program.timesteps
    order = program.in_order
    states = {p.id: _State(p, batch, program) for p in order}
    spikes = {p.id: np.zeros((batch, steps, *p.shape), dtype=bool) for p in order}
    for t in range(steps):
        for p in order:
            current: np.ndarray = np.zeros((batch, *p.shape), dtype=np.int64)
            if p.id in currents:
                c = currents[p.id]
                current += c[:, t if c.shape[1] > 1 else 0]
            for s in program.into(p.id):
                if t >= s.distance:
                    source = _source(s, batch, steps, spikes, spikes_in)[:, t - s.distance]
                    current += _accumulate(s, p, source)
            spikes[p.id][:, t] = states[p.id].advance(current)
    return spikes


class _State:
    """The registers of a population's neurons over a batch."""

    def __init__(self, p: Population, batch: int, program: Program) -> None:
        self.population, self.period, self.watched = p, program.schedule.period, p.id in program.observed
        self.bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
        self.v = np.zeros((batch, *p.shape), dtype=np.int64)
        self.u = np.zeros_like(self.v) if p.current_decays else None

    def advance(self, a: np.ndarray) -> np.ndarray:
        """Which neurons fire at the timestep whose synaptic input is ``a``, in weight units."""
        p = self.population
        if self.watched:
            found = kernels.overflow(np.zeros_like(self.v) if self.u is None else self.u, a, p.du)
            if found is not None:
                raise overflowed(p.id, *found)
        if self.u is None:
            self.v, fired = kernels.neuron_step(self.v, a, self.bias, p.dv, p.vth, self.period, p.taken)
        else:
            self.u = kernels.current_step(self.u, a, p.du)
            self.v, fired = kernels.membrane_step(self.v, self.u, self.bias, p.dv, p.vth, self.period, p.taken)
        return np.asarray(fired)


def _source(
    s: Synapse, batch: int, steps: int, spikes: dict[str, np.ndarray], spikes_in: np.ndarray | None
) -> np.ndarray:
    if s.src == CLOCK:
        return np.ones((batch, steps, 1, 1, 1), dtype=bool)
    if s.src == INPUT:
        assert spikes_in is not None
        return spikes_in
    return spikes[s.src]


def _accumulate(s: Synapse, p: Population, source: np.ndarray) -> np.ndarray:
    if s.map.kind in ("conv", "pooled_conv") and _largest_sum(s.map) < 1 << 24:
        x = source.astype(np.float32)  # holds all integers to 2**24; half the memory of apply's float64
        for pool in s.map.pre:
            x = sum_pool(x, pool)
        x = convolve(x, s.map.weight.astype(np.float32), s.map.stride, s.map.pad, s.map.groups)
        for pool in s.map.post:
            x = sum_pool(x, pool)
        return x.astype(np.int64) << s.exponent
    return apply(s.map, source, p.shape).astype(np.int64) << s.exponent


def _largest_sum(linear: LinearMap) -> int:
    """A bound of every partial sum of a convolution of spikes, pools included, in weight units."""
    windows = [n for pool in (*linear.pre, *linear.post) for n in pool.kernel]
    return int(np.abs(linear.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()) * int(np.prod(windows))
