"""Where no proof holds: what a program's registers hold on samples, before any wrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.compiler.ranges import LIMITS, MEND, NAMES, Bound, Range, bound_of, leaked, prove
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.errors import UnsupportedError, overflowed
from snnas.hw_sim.linear import apply as apply_map
from snnas.hw_sim.program import CLOCK, INPUT, Program, Synapse
from snnas.hw_sim.simulate.simulator import Trace, simulate_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A run and what drove it, as ``snnas.hw_sim.simulate.simulator.simulate`` takes and gives them."""

    trace: Trace
    currents: Mapping[str, np.ndarray]
    spikes_in: np.ndarray | None


def prove_or_observe(program: Program, x: np.ndarray, *, batch: int = 128) -> dict[str, Range]:
    """``prove``, and where that fails what the registers hold on the samples x: ``observed``.

    x: as ``simulate_input`` takes it. UnsupportedError where a register overflows on them.
    """
    ranges = prove(program)
    watched = {name: dict[str, Bound]() for name, found in ranges.items() if found.status == "unproved"}
    if not watched or not len(x):
        return ranges
    done = 0
    for trace, currents in simulate_input(program, x, batch=batch):
        part = x[done : done + len(trace.logits)]
        spikes_in = part > 0 if program.input_kind != "analogue" else None
        run = Recording(trace=trace, currents=currents, spikes_in=spikes_in)
        for name, seen in watched.items():
            watched[name] = _joined(seen, observe(program, name, run))
            _refuse(name, watched[name], program)
        done += len(part)
    return ranges | {name: Range("observed", seen) for name, seen in watched.items()}


def observe(program: Program, name: str, run: Recording) -> dict[str, Bound]:
    """The ends of what a population's registers held in a run, a and u before any wrap."""
    p, fired = program.population(name), run.trace.spikes[name]
    bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
    u, v = np.zeros((2, len(fired), *p.shape), np.int64)
    seen: dict[str, Bound] = {}
    for t in range(program.timesteps):
        a = np.zeros_like(u)
        if name in run.currents:
            given = run.currents[name]
            a += given[:, t if given.shape[1] > 1 else 0]
        for s in program.into(name):
            if t >= s.distance:
                a += apply_map(s.map, _spikes(s, run, t - s.distance), p.shape).astype(np.int64) << s.exponent
        pushed = kernels.decay(u, p.du + 1) + (a << limits.STATE_SHIFT)
        u = kernels.wrap_current(pushed)
        reached = leaked(v, p.dv, program.schedule.period) + u + bias
        v = kernels.after_spikes(reached.clip(-LIMITS["v"], LIMITS["v"]), fired[:, t], p.taken)
        here = {
            register: bound_of(p, register, int(values.min()), int(values.max()))
            for register, values in (("a", a), ("u", pushed), ("v", reached))
        }
        seen = _joined(seen, here)
    return seen


def _spikes(s: Synapse, run: Recording, t: int) -> np.ndarray:
    if s.src == CLOCK:
        return np.ones((len(run.trace.logits), 1, 1, 1), bool)
    source = run.spikes_in if s.src == INPUT else run.trace.spikes[s.src]
    assert source is not None
    return source[:, t]


def _joined(before: Mapping[str, Bound], now: Mapping[str, Bound]) -> dict[str, Bound]:
    if not before:
        return dict(now)
    return {r: Bound(min(b.low, now[r].low), max(b.high, now[r].high), b.limit) for r, b in before.items()}


def _refuse(name: str, seen: Mapping[str, Bound], program: Program) -> None:
    for register, bound in seen.items():
        if bound.margin > 1 and name in program.observed:
            raise overflowed(name, register, bound.value, bound.limit)
        if bound.margin > 1:
            raise UnsupportedError(
                f"population {name}: violated: its {NAMES[register]} {register} reaches {bound.value} on these "
                f"samples, the limit is {bound.limit}; {MEND}"
            )
