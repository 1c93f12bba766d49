"""What a model in C does in one inference, counted loop by loop: what a cost model multiplies with its constants.

Counts follow the C that ``synapses``, ``gather``, ``neurons``, ``readout`` and ``host`` write, function by function,
and how often each source fires.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from snnas.export.formats.c import gather, loops
from snnas.export.formats.c.host import stages, windowed
from snnas.export.formats.c.instructions import Work, instructions
from snnas.export.formats.c.neurons import one_division, together, wide_leak
from snnas.export.formats.c.plan import ROWS, Connection, Plan, Unit, held, up, words
from snnas.export.formats.c.rest import RESTS, Rest, rest
from snnas.export.formats.c.runtime import turns
from snnas.hw_sim.entries import Entries
from snnas.hw_sim.limits import DECAY_ONE
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.program import INPUT


def work(plan: Plan, rates: Mapping[str, float], frames: int = 1, rested: Mapping[str, float] | None = None) -> Work:
    """Loop bodies of one inference, by kind. rates: spikes per neuron and timestep of each population, and the input.

    frames: that a host stage in integers computes; a still input is one. rested: the share of timesteps in which each
    population rests on the samples that are priced (``rest.shares``); None: as the program says of itself.
    """
    total = Work()
    for _, times, once in parts(plan, rates, frames, rested):
        total += Work({name: count * times for name, count in once.items()})
    return total


def parts(
    plan: Plan, rates: Mapping[str, float], frames: int = 1, rested: Mapping[str, float] | None = None
) -> Iterator[tuple[str, float, Work]]:
    """(a function of model.c, how often an inference calls it, the loop bodies of a call)."""
    steps = plan.program.timesteps
    at_rest = resting_units(plan)
    for u in plan.units:
        resting = at_rest.get(u.index)
        share = 0.0
        if resting is not None:
            share = resting[1] if rested is None else rested.get(u.population.id, 0.0)
        yield f"neurons_{u.index}", steps * (1 - share), _update(u)
        for c in u.connections:
            name = INPUT if c.src < 0 else plan.units[c.src].population.id
            heard = float(max(steps - c.distance, 0))  # what is sent in the last timesteps of a delay never arrives
            times = steps * (1 - share) if resting else heard
            rate = rates.get(name, 0.0) * heard / times if times else 0.0  # one that rests hears all in fewer timesteps
            yield f"synapse_{c.index}", times, connection(plan, u, c, min(rate, 1.0))
        if resting:
            yield "snnas_step", steps, _heard(plan, u, share)
    yield "pack", steps, _packed(plan)
    for n, (unit, weight, late) in enumerate(plan.readings):
        times = max(steps - late, 0)
        fours = up(plan.program.readout.classes, ROWS) // ROWS
        fired = rates.get(plan.units[unit].population.id, 0.0) * weight.shape[1]
        looked = loops.found(plan.source(unit), fired / weight.shape[1])
        if isinstance(weight, Entries):
            reached = fired / weight.shape[1] * weight.values.size
            yield f"read_{n}", times, looked + Work({"tap_listed": fired, "listed": reached})
            continue
        yield f"read_{n}", times, looked + Work({"four_1": fired * fours, "turn_of_row": fired * turns(fours)})
    calls = sum(1 + len(u.connections) for u in plan.units)
    yield "snnas_step", steps, Work({"step": 1.0, "unit": float(calls), "moved": _moved(plan)})
    yield "snnas_step", 1, Work({"weighed": _weighed(plan)})
    yield "snnas_init", 1, Work({"cleared": _cleared(plan)})
    yield "snnas_logits", 1, Work({"answer": float(plan.program.readout.classes)})
    for name, once in _host(plan):
        yield name, frames, once


def connection(plan: Plan, u: Unit, c: Connection, rate: float) -> Work:
    """What a synapse does in a timestep in which each source neuron fires ``rate`` times."""
    m, source, once = c.map, plan.source(c.src), Work({"synapse": 1.0})
    fired = rate * float(np.prod(source))
    if m.pre or m.post:
        return once + loops.pooled(u, c, source, rate)
    if m.kind == "sparse":
        return once + loops.listed(m, source, u.lanes, rate, c.bits)
    if m.kind == "dense" and u.lanes == 2:
        return once + loops.gathered_rows(u.layout.places, source, rate, c.bits)
    if m.kind == "dense":
        return once + loops.found(source, rate) + loops.rows(u.layout.places, source, u.lanes, fired, c.bits)
    if gather.gathers(u, c, source, rate_of(plan, c.src)):
        return once + loops.gathered(m, source, u.layout, rate, c.bits)
    return once + loops.found(source, rate) + loops.scattered(m, source, u.layout, u.lanes, fired, c.bits)


def rate_of(plan: Plan, src: int) -> float:
    """What the choice between gather and scatter takes a source's rate to be: measured, where the program says so."""
    measured = plan.program.meta.get("rates")
    name = INPUT if src < 0 else plan.units[src].population.id
    found = measured.get(name) if isinstance(measured, dict) else None
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else gather.RATE


def resting_units(plan: Plan) -> dict[int, tuple[Rest, float]]:
    """``rests`` of those units that do, by their index."""
    return {u.index: found for u in plan.units if (found := rests(plan, u)) is not None}


def rests(plan: Plan, u: Unit) -> tuple[Rest, float] | None:
    """How a population rests, and in which share of timesteps; None where looking for it takes more than it spares.

    By the Cortex-M4's instructions, and by what the program says was measured: without that, never.
    """
    shares = plan.program.meta.get(RESTS)
    share = shares.get(u.population.id) if isinstance(shares, dict) else None
    if not isinstance(share, int | float) or not 0 < share <= 1:
        return None
    found = rest(u, plan.program.timesteps)
    spared = share * instructions(sum((connection(plan, u, c, 0.0) for c in u.connections), _update(u)))
    return (found, float(share)) if found and spared > instructions(_heard(plan, u, share)) else None


def _heard(plan: Plan, u: Unit, share: float) -> Work:
    """Looking whether spikes arrive at a population that rests in a ``share`` of timesteps, and writing none then."""
    looked = float(sum(words(int(np.prod(plan.source(c.src)))) for c in u.connections))
    awake = (1 - share) * len(u.connections)
    return Work({"resting": 1.0, "heard": share * (looked + words(u.population.size)) + awake})


def _update(u: Unit) -> Work:
    """Neurons, by what their update is made of."""
    p, n = u.population, float(u.population.size)
    found = Work({"population": 1.0, "neuron": n})
    pixels = p.shape[1] * p.shape[2]
    found["neuron_row"] += float(pixels) if p.shape[0] > 1 and pixels > 1 else 0.0
    each, aligned = together(u)
    found["together"] += n / each
    found["stored"] += n * (not aligned)
    if not u.forgets:
        found["membrane"] += n
        if one_division(u):
            found["division"] += n * (0 < DECAY_ONE - p.dv < DECAY_ONE)
        else:
            found["leak_wide" if wide_leak(u) else "leak"] += n
            found["leak_more"] += n * (u.leaks - 1)
    found["clip"] += n * u.clips
    found["turn"] += n * u.turns
    found["current"] += n * p.current_decays
    found["wide"] += n * (u.lanes == 0)
    found["read"] += n * (bool(u.connections) and u.lanes != 2)
    found["read_pair"] += n * (bool(u.connections) and u.lanes == 2)
    found["hosted"] += n * u.hosted
    found["constant"] += n * sum(bool(np.ptp(v)) for v in (p.bias, *(values for _, values in u.constants)))
    found["late"] += n * sum(late > 0 for late, _ in u.constants)
    return found


def _moved(plan: Plan) -> float:
    """Words of spikes that go a timestep further."""
    moved = sum(u.history * held(u.population.size) for u in plan.units)
    return float(moved + plan.input_history * held(int(np.prod(plan.program.input_shape))))


def _weighed(plan: Plan) -> float:
    """Products of a readout that weighs its timesteps."""
    r, steps = plan.program.readout, plan.program.timesteps
    if r.counts_spikes:
        return 0.0
    later = len(r.response) if r.read == "max" else 1
    return float(len(plan.readings) * r.classes * sum(min(later, steps - t) for t in range(steps)))


def _cleared(plan: Plan) -> float:
    """About how many numbers an instance begins with at 0."""
    states = sum(u.population.size * ((not u.forgets) + u.population.current_decays) for u in plan.units)
    gathered = max((u.layout.places / (u.lanes or 1) for u in plan.units if u.connections), default=0.0)
    kept = [(u.history, u.population.size) for u in plan.units]
    kept.append((plan.input_history, int(np.prod(plan.program.input_shape))))
    spikes = sum((late + 1) * held(n) for late, n in kept if late)
    return float(states + gathered + spikes + plan.shared + (plan.currents if plan.integers else 0))


def _packed(plan: Plan) -> Work:
    """The bytes of a frame of spikes, put into words."""
    if not any(c.src < 0 for u in plan.units for c in u.connections):
        return Work()
    channels, height, width = plan.program.input_shape
    if channels == 1 or height * width == 1:
        return Work({"packed": float(plan.frame)})
    return Work({"packed_in_pixels" if channels in (2, 4) else "packed_singly": float(plan.frame)})


def _host(plan: Plan) -> Iterator[tuple[str, Work]]:
    """The host stage in integers, of one frame."""
    source = plan.program.input_shape
    for u, stage in stages(plan):
        once = Work({"injected": float(u.population.size)})
        m = windowed(stage, source)
        if m is None:
            entries = sum(float(fan_out(linear, source).sum()) for _, linear in stage.maps)
            yield f"host_{u.index}", once + Work({"entry_host": entries})
            continue
        window, pixels = int(np.prod(m.weight.shape[1:])), u.population.size // m.weight.shape[0]
        pairs = float(u.population.size * (up(window, 2) // 2))
        yield f"host_{u.index}", once + Work({"pixel": float(pixels * window), "pair": pairs})
