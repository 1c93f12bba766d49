"""Which populations fire their graph's spikes on every input, and what keeps the others from it.

A graph of short binary fractions loses nothing in integers where no number of its own is rounded, every membrane that
leaks has its bits, and what it is fed is exact itself. Anything else is said in words: a population that has no such
sentence differs from the graph in no spike of any sample. (The converse is not claimed.) What a leak takes is missing
later than at first: a population may be exact for some timesteps and not for all of the program's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group
from snnas.export.compiler.grids import ROUNDED, between, steps_of
from snnas.export.compiler.scales import kept
from snnas.export.compiler.signed_sums import signed_sums
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import CLOCK, INPUT, Population, Program

SAME = 1e-6  # of the largest weight; float32 holds it to 6e-8
FINE = 1 << limits.STATE_SHIFT


def obstacles(circuit: Circuit, program: Program) -> dict[str, str]:
    """Of each population what keeps it from being exact: of its own, else of what it is fed by; '' where nothing does.

    circuit: scheduled, with its relays.
    """
    found = {p.id: _own(circuit, circuit.group(p.id), p, program) for p in program.populations}
    while True:
        inherited = {
            s.dst: f"population {s.src}, which feeds it, is not exact"
            for s in program.synapses
            if not found[s.dst] and s.src not in (INPUT, CLOCK) and found[s.src]
        }
        if not inherited:
            return found
        found |= inherited


def exact_for(circuit: Circuit, program: Program) -> dict[str, int]:
    """For how many timesteps from the beginning of a sample each population is exact: all of them, fewer, or 0."""
    found: dict[str, int] = {}
    for steps in range(program.timesteps, 0, -1):
        if len(found) < len(program.populations):
            told = obstacles(circuit, replace(program, timesteps=steps))
            found |= {name: steps for name, why in told.items() if not why and name not in found}
    return {p.id: found.get(p.id, 0) for p in program.populations}


def _own(circuit: Circuit, g: Group, p: Population, program: Program) -> str:
    if p.role != "neuron":
        return ""
    if any(h.dst == p.id for h in program.host):
        return "its input is a current, rounded as it is injected"
    if p.current_decays or p.taken:
        return f"its {'current' if p.current_decays else 'reset'} is rounded"
    period, leaks = program.schedule.period, program.timesteps > 1  # at first there is nothing that could leak
    rounded = abs((1 - p.dv / limits.DECAY_ONE) ** period - (1 - g.alpha)) > ROUNDED
    if leaks and rounded and p.dv != limits.DECAY_MAX:
        return f"its leak is rounded{f', at each of {period} hardware steps a timestep' if period > 1 else ''}"
    if leaks and p.dv == limits.DECAY_MAX and g.alpha != 1:
        return "its leak is rounded"
    if _weights_rounded(circuit, p, program):
        return "its weights are rounded"
    bias = (g.bias + (0.0 if g.drive is None else g.drive)) * (p.scale * FINE)
    if np.abs(bias - brought(p, program)).max() > SAME * max(1.0, float(np.abs(bias).max())):
        return "its bias is rounded"
    return _of_membrane(g, p, program)


def brought(p: Population, program: Program) -> np.ndarray:
    """What the register and the clock add to a population's membrane at every timestep, in 1/64 of a weight unit."""
    found = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent) * np.ones(p.shape, np.int64)
    for s in program.into(p.id):
        if s.src == CLOCK:
            found = found + ((s.map.weight.astype(np.int64) << s.exponent).reshape(p.shape) << limits.STATE_SHIFT)
    return np.asarray(found)


def _weights_rounded(circuit: Circuit, p: Population, program: Program) -> bool:
    real = {k.id: k.map.weight for k in circuit.links if k.dst == p.id}
    ours = {s.id: s.map.weight * 2.0**s.exponent for s in program.into(p.id) if s.src != CLOCK}
    if set(real) != set(ours):
        return True  # not this graph's
    return any(np.abs(ours[k] - w * p.scale).max() > SAME * p.scale * np.abs(w).max() for k, w in real.items())


def _of_membrane(g: Group, p: Population, program: Program) -> str:
    """Whether V is held whole, and meets its threshold as the graph's does."""
    steps, period = program.timesteps, program.schedule.period
    grid = steps_of(p, program.into(p.id))
    low = brought(p, program)
    for s in program.into(p.id):
        if s.src != CLOCK:
            down, _ = signed_sums(s.map, program.source_shape(s.src), p.shape)
            low = low + down * (FINE << s.exponent)
    if not grid:
        return ""  # nothing ever comes
    deepest = max(0.0, -float(low.min()))
    if deepest * kept(g.alpha, steps) >= limits.STATE_LIMIT:
        return "inhibition may reach the end of its membrane"
    if 0 < p.dv < limits.DECAY_MAX:
        keep = limits.DECAY_ONE - p.dv
        bits = period * (limits.DECAY_BITS - ((keep & -keep).bit_length() - 1))
        held = ((grid & -grid).bit_length() - 1) // bits
        if held < steps - 1:
            return f"its leak takes {bits} bits a timestep, of which its membrane has those of {held}"
        grid >>= bits * (steps - 1)
    real = g.threshold * p.scale * FINE
    real = float(round(real)) if abs(real - round(real)) <= ROUNDED * real else real
    least, above = between(real, grid, deepest if p.dv == limits.DECAY_MAX else 0.0, memory=p.dv != limits.DECAY_MAX)
    return "" if least <= p.vth * FINE < above else "its threshold is rounded"
