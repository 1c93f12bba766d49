"""What a model in C does in one inference, counted loop by loop: what a cost model multiplies with its constants.

Counts follow the shape of the C that ``synapses``, ``gather``, ``neurons``, ``readout`` and ``host`` write, and how
often each source fires; spikes are taken to lie evenly over a source's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snnas.export.formats.c import gather
from snnas.export.formats.c.instructions import Work
from snnas.export.formats.c.neurons import one_division, wide_leak
from snnas.export.formats.c.plan import ROWS, Connection, Plan, Unit, up, words
from snnas.hw_sim.host_stage import integer_stages
from snnas.hw_sim.program import INPUT, LinearMap, Pool, Shape


def work(plan: Plan, rates: Mapping[str, float], frames: int = 1) -> Work:
    """Loop bodies of one inference, by kind. rates: spikes per neuron and timestep of each population, and the input.

    frames: that a host stage in integers computes; a still input is one.
    """
    once, steps = Work(), plan.program.timesteps
    for u in plan.units:
        once += _update(u)
        once["unit"] += 1 + len(u.connections)
        for c in u.connections:
            name = INPUT if c.src < 0 else plan.units[c.src].population.id
            once += connection(plan, u, c, rates.get(name, 0.0))
    once += _kept(plan) + _packed(plan)
    for unit, weight, _ in plan.readings:
        fours = up(plan.program.readout.classes, ROWS) // ROWS
        fired = rates.get(plan.units[unit].population.id, 0.0) * weight.shape[1]
        once += Work({"word": words(weight.shape[1]), "event": fired, "four_1": fired * fours})
    once["readout"] += plan.program.readout.classes * (1 if plan.program.readout.counts_spikes else 4)
    total = Work({name: count * steps for name, count in once.items()})
    total["step"] += steps
    total["cleared"] += _cleared(plan)
    return total + Work({name: count * frames for name, count in _host(plan).items()})


def connection(plan: Plan, u: Unit, c: Connection, rate: float) -> Work:
    """What a synapse does in a timestep in which each source neuron fires ``rate`` times."""
    m, source = c.map, plan.source(c.src)
    fours = f"four_{u.lanes}{gather.few(c.bits)}"
    if m.pre or m.post:
        return _pooled(u, c, source, rate)
    fired = rate * float(np.prod(source))
    looked = {"synapse": 1.0, "word": float(words(int(np.prod(source))))}
    if m.kind == "sparse":
        return Work(
            {**looked, "event": fired, f"entry{gather.few(c.bits)}": fired * m.weight.size / float(np.prod(source))}
        )
    if m.kind == "dense":
        if u.lanes == 2:
            return gather.dense_work(u.layout.places, source, rate, c.bits)
        return Work({**looked, "event": fired, fours: fired * u.layout.places / ROWS})
    if gather.gathers(u, c, source, rate_of(plan, c.src)):
        return gather.work(m, source, u.layout, rate, c.bits)
    return Work(looked) + gather.scattered(m, source, u, fired, c.bits)


def rate_of(plan: Plan, src: int) -> float:
    """What the choice between gather and scatter takes a source's rate to be: measured, where the program says so."""
    measured = plan.program.meta.get("rates")
    name = INPUT if src < 0 else plan.units[src].population.id
    found = measured.get(name) if isinstance(measured, dict) else None
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else gather.RATE


def _pooled(u: Unit, c: Connection, source: Shape, rate: float) -> Work:
    """Pools before the weights count spikes, those behind add up sums: each place is looked at."""
    m = c.map
    found = Work({"synapse": 1.0, "word": float(words(int(np.prod(source))))})
    fired, shape = rate * float(np.prod(source)), source
    found["event"] += fired
    for pool in m.pre:
        found += _through(pool, fired)
        places = float(np.prod(pool.out_shape(shape)))
        fired = _filled(places, fired * _windows(pool))
        shape = pool.out_shape(shape)
        found["place"] += 2 * places  # cleared, and looked at
    plain = LinearMap(kind="conv", weight=m.weight, stride=m.stride, pad=m.pad, groups=m.groups)
    summed = gather.scattered(plain, shape, u, fired, c.bits)
    summed.pop("event", None)
    if m.post:
        summed[f"four_1{gather.few(c.bits)}"] += summed.pop(f"four_{u.lanes}{gather.few(c.bits)}", 0.0)
    found += summed
    shape, taps = plain.out_shape(shape), summed["tap"]
    fired = float(np.prod(shape)) * _filled(1.0, taps / float(np.prod(shape[1:])))
    for pool in m.post:
        found["place"] += 2 * float(np.prod(shape))
        found += _through(pool, fired)
        fired, shape = min(fired, float(np.prod(pool.out_shape(shape)))), pool.out_shape(shape)
    return found


def _through(pool: Pool, values: float) -> Work:
    """What values that a pool hands on take."""
    return Work({"pooled": values, "pooled_window": values * _windows(pool)})


def _windows(pool: Pool) -> float:
    """In how many windows a place lies, borders left aside."""
    return float(np.prod(pool.kernel)) / float(np.prod(pool.stride))


def _filled(places: float, thrown: float) -> float:
    """How many places hold something once so many were thrown at them."""
    return places * (1 - float(np.exp(-thrown / max(places, 1e-9))))


def _update(u: Unit) -> Work:
    """Neurons, by what their update is made of."""
    p, n = u.population, float(u.population.size)
    found = Work({"population": 1.0, "neuron": n})
    pixels = p.shape[1] * p.shape[2]
    found["neuron_row"] += float(pixels) if p.shape[0] > 1 and pixels > 1 else 1.0
    if not u.forgets:
        found["membrane"] += n
        if one_division(u):
            found["division"] += n
        else:
            found["leak_wide" if wide_leak(u) else "leak"] += n
            found["leak_more"] += n * (u.leaks - 1)
    found["clip"] += n * u.clips
    found["turn"] += n * u.turns
    found["current"] += n * p.current_decays
    found["wide"] += n * (u.lanes == 0)
    found["read"] += n * bool(u.connections)
    found["read_pair"] += n * (bool(u.connections) and u.lanes == 2)
    found["hosted"] += n * u.hosted
    found["constant"] += n * sum(bool(np.ptp(v)) for v in (p.bias, *(values for _, values in u.constants)))
    found["late"] += n * sum(late > 0 for late, _ in u.constants)
    return found


def _kept(plan: Plan) -> Work:
    moved = sum(u.history * (words(u.population.size) + 1) for u in plan.units)
    moved += plan.input_history * (words(int(np.prod(plan.program.input_shape))) + 1)
    return Work({"moved": float(moved)})


def _cleared(plan: Plan) -> float:
    """About how many bytes an instance begins with at 0."""
    held = sum(4.0 * u.population.size for u in plan.units if not u.forgets or u.population.current_decays)
    gathered = max((8.0 / (u.lanes or 0.5) * u.layout.places / 2 for u in plan.units if u.connections), default=0.0)
    return held + gathered + 4.0 * plan.shared + (2.0 * plan.currents if plan.integers else 0.0)


def _packed(plan: Plan) -> Work:
    """The bytes of a frame of spikes, put into words."""
    if not any(c.src < 0 for u in plan.units for c in u.connections):
        return Work()
    channels, height, width = plan.program.input_shape
    one_by_one = channels > 1 and height * width > 1 and channels not in (2, 4)
    return Work({"packed_singly" if one_by_one else "packed": float(plan.frame)})


def _host(plan: Plan) -> Work:
    """The host stage in integers, of one frame."""
    if not plan.integers:
        return Work()
    found = Work()
    for name, stage in integer_stages(plan.program).items():
        shape = plan.program.population(name).shape
        (_, m), *more = stage.maps
        if not more and m.kind in ("conv", "dense") and m.groups == 1 and not (m.pre or m.post):
            window = int(np.prod(m.weight.shape[1:]))
            pixels = 1 if m.kind == "dense" else shape[1] * shape[2]
            found += Work({
                "pixel": float(pixels * window), "pair": float(pixels * m.weight.shape[0] * (up(window, 2) // 2)),
                "injected": float(np.prod(shape)),
            })  # fmt: skip
        else:
            entries = float(np.prod(shape)) * sum(float(np.prod(m.weight.shape[1:])) for _, m in stage.maps)
            found += Work({"entry": entries, "injected": float(np.prod(shape))})
    return found
