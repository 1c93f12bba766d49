"""Scheduled circuit -> program: the one lossy step.

Each population gets one real scale s: the integer n stands for the current n / s. Its link k stores
``w_k = round(w s / 2^e_k)`` in int8, with the smallest exponent that holds its largest weight. s is bounded so that
no register can overflow for any admissible input (every spike may come, an analogue input stays in its range), and
chosen in the upper half of what is left so that the error in current, weighted by how often each source fires on the
calibration data, is least. Candidates put the threshold half way between two whole currents, and a hair above, so that
a current that equals it rounds to one that fires: the threshold itself is never rounded, and rounding currents makes
as many spikes as it loses (measured: +.02 % instead of -.05 % of all spikes with the threshold on a whole current).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from export.circuit import Circuit, Group, Link
from export.grids import exact_scale
from export.rounding import round_weights
from export.schedule import Scheduled
from hw_sim import kernels, limits
from hw_sim.errors import UnsupportedError
from hw_sim.linear import apply as apply_map
from hw_sim.program import CLOCK, HostMap, LinearMap, Population, Program, Readout, Synapse

CANDIDATES = 24
MEMORYLESS = limits.DECAY_MAX  # leaves at most v / 4096 of |v| <= 64: nothing


def quantise(
    scheduled: Scheduled,
    *,
    timesteps: int,
    rates: Mapping[str, float] | None = None,
    spikes: Mapping[str, np.ndarray] | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    meta: dict[str, Any] | None = None,
) -> Program:
    """rates: mean spikes per neuron and timestep of each source on calibration data (1 where unknown).

    spikes: the sources' spikes themselves, bool (B, T, C, H, W): with them weights are rounded as ``rounding.py`` says.
    """
    circuit, schedule = scheduled.circuit, scheduled.schedule
    seen = dict(spikes or {})
    seen |= {relay: seen[source] for relay, source in scheduled.relays.items() if source in seen}
    rates = {name: float(value.mean()) for name, value in seen.items()} | dict(rates or {})
    rates |= {relay: rates[source] for relay, source in scheduled.relays.items() if source in rates}
    populations, synapses, host = [], [], []
    for group in circuit.groups:
        links = [k for k in circuit.links if k.dst == group.id]
        driven = [k for k in circuit.host if k.dst == group.id]
        if group.role == "neuron":
            if group.decay < 1 and schedule.period > 1:
                raise UnsupportedError(
                    f"population {group.id}: its current decays by itself (CubaLIF), and its network's loops take "
                    f"{schedule.period} hardware steps per timestep, at each of which Loihi would add it; make it a "
                    "LIF, or the loops self-loops"
                )
            largest = _largest_scale(circuit, group, links, driven, schedule.period, timesteps, input_range)
            population, made = _neuron(group, links, schedule.period, rates, seen, largest)
            kept = _kept(group.decay, timesteps)
            while kept * _reach(circuit, population, made, driven, input_range) > limits.CURRENT_MAX:
                largest *= 0.97  # rounding up many small weights adds to the worst case
                population, made = _neuron(group, links, schedule.period, rates, seen, largest)
        else:
            population, made = _gate(group, links)
        populations.append(population)
        synapses += made
        host += [
            HostMap(id=k.id, dst=k.dst, map=replace(k.map, weight=k.map.weight.astype(np.float32))) for k in driven
        ]
    program = Program(
        timesteps=timesteps,
        input_shape=circuit.input_shape,
        input_kind=circuit.input_kind,
        populations=tuple(populations),
        synapses=tuple(synapses),
        host=tuple(host),
        readout=_readout(circuit),
        schedule=schedule,
        input_range=input_range,
        meta=meta or {},
    )
    program.verify()
    verify_ranges(program)
    return program


def _gate(group: Group, links: list[Link]) -> tuple[Population, list[Synapse]]:
    """An OR or a relay: weights 2 against a threshold of 1, no memory. Exact."""
    population = Population(
        id=group.id,
        shape=group.shape,
        dv=MEMORYLESS,
        vth=1,
        scale=2.0,
        role=group.role,
        bias=np.zeros((group.shape[0], 1, 1), np.int16),
    )
    return population, [_synapse(k, np.full(k.map.weight.shape, 2.0), 0) for k in links]


def _synapse(link: Link, integers: np.ndarray, exponent: int) -> Synapse:
    weights = replace(link.map, weight=integers.astype(np.int8))
    return Synapse(
        id=link.id, src=link.src, dst=link.dst, map=weights, exponent=exponent, distance=1 if link.distance else 0
    )


def _neuron(
    group: Group,
    links: list[Link],
    period: int,
    rates: Mapping[str, float],
    spikes: Mapping[str, np.ndarray],
    largest: float,
) -> tuple[Population, list[Synapse]]:
    best: tuple[float, float, int] | None = None
    exact = exact_scale([k.map.weight for k in links], group.threshold, group.alpha, largest) if links else None
    if exact is not None:
        best = (0.0, *exact)
    for factor in np.linspace(1.0, 0.5, CANDIDATES):
        vth = int(largest * factor * group.threshold - 33 / 64)
        if vth < 1 or exact is not None:
            break
        scale = (64 * vth + 33) / (64 * group.threshold)
        loss = sum(rates.get(k.src, 1.0) * _squared_error(k, scale) for k in links)
        if best is None or loss < best[0]:
            best = (loss, scale, vth)
    if best is None:
        raise UnsupportedError(
            f"population {group.id}: its currents are too large beside its threshold of {group.threshold:.3g}; "
            "train with smaller weights (weight decay), or fewer inputs per neuron"
        )
    _, scale, vth = best
    dv = min(round(limits.DECAY_ONE * (1 - (1 - group.alpha) ** (1 / period))), limits.DECAY_MAX)
    synapses = []
    for k in links:
        exponent = _exponent(k, scale)
        synapses.append(_synapse(k, round_weights(k.map, (1 << exponent) / scale, spikes.get(k.src)), exponent))
    mantissa, bias_exponent = _bias(group.bias, scale)
    if period > 1:  # stock neurons add a bias on every hardware step; a clock adds it once per timestep
        synapses += _clock_bias(group, group.bias, scale)
        mantissa, bias_exponent = np.zeros((group.shape[0], 1, 1), np.int16), 0
    if group.drive is not None:  # a bias would pass the current by
        synapses += _clock_bias(group, group.drive, scale)
    population = Population(
        id=group.id,
        shape=group.shape,
        dv=dv,
        vth=vth,
        scale=scale,
        bias=mantissa,
        bias_exponent=bias_exponent,
        role="neuron",
        du=max(round(limits.DECAY_ONE * group.decay) - 1, 0),
    )
    return population, synapses


def _exponent(link: Link, scale: float) -> int:
    """The smallest e >= 0 for which the largest weight fits int8."""
    top = float(np.abs(link.map.weight).max()) * scale
    exponent = 0
    while top / (1 << exponent) > limits.WEIGHT_MAX + 0.5:
        exponent += 1
    return exponent


def _squared_error(link: Link, scale: float) -> float:
    """Mean squared error in current, per target neuron and source spike rate 1."""
    exponent = _exponent(link, scale)
    step = (1 << exponent) / scale
    rounded = kernels.quantise(link.map.weight, scale, exponent, limits.WEIGHT_MIN, limits.WEIGHT_MAX) * step
    return float(np.square(rounded - link.map.weight).sum()) / len(link.map.weight)


def _kept(decay: float, timesteps: int) -> float:
    """How many times what comes in at each of ``timesteps`` a state that decays may hold: a geometric series."""
    return min(1 / decay, timesteps) if decay else timesteps


def _largest_scale(
    circuit: Circuit,
    group: Group,
    links: list[Link],
    driven: list[Link],
    period: int,
    timesteps: int,
    input_range: tuple[float, float],
) -> float:
    """The largest scale at which no register can overflow, with 1 % left for rounding."""
    high, low = current_bounds(circuit, group, links, driven, input_range)
    if period > 1:  # the bias comes through synapses
        high, low = high + np.maximum(group.bias, 0), low + np.minimum(group.bias, 0)
    if group.drive is not None:
        high, low = high + np.maximum(group.drive, 0), low + np.minimum(group.drive, 0)
    high, low = (bound * _kept(group.decay, timesteps) for bound in (high, low))
    reach = max(float(high.max()), float(-low.min()), 1e-9)
    # where |v| settles under the worst input
    deepest = max(float((-(low + group.bias)).max()), 0.0) * _kept(group.alpha, timesteps)
    tallest = group.threshold + max(float((high + group.bias).max()), 0.0)
    bounds = [
        limits.CURRENT_MAX / reach,
        limits.THRESHOLD_MAX / group.threshold,
        (limits.STATE_LIMIT >> limits.STATE_SHIFT) / max(deepest, tallest),
        (limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX) / 64 / max(float(np.abs(group.bias).max()), 1e-9),
    ]
    top = [float(np.abs(k.map.weight).max()) for k in links]
    bounds += [(limits.WEIGHT_MAX << limits.WEIGHT_EXPONENT_MAX) / max(t, 1e-9) for t in top]
    return 0.99 * min(bounds)


def current_bounds(
    circuit: Circuit, group: Group, links: list[Link], driven: list[Link], input_range: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest current per neuron, over all spikes and all inputs in range; bias left out."""
    high, low = np.zeros(group.shape), np.zeros(group.shape)
    for k in (*links, *driven):
        ranges = input_range if k in driven else (0.0, 1.0)
        top, bottom = map_bounds(k.map, circuit.source_shape(k.src), group.shape, ranges)
        high, low = high + top, low + bottom
    return high, low


def map_bounds(
    linear: LinearMap, source: tuple[int, int, int], target: tuple[int, int, int], values: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Interval arithmetic of a linear map: each source value lies in ``values``."""
    ones = np.ones((1, *source))
    positive = apply_map(replace(linear, weight=np.maximum(linear.weight.astype(np.float64), 0)), ones, target)[0]
    negative = apply_map(replace(linear, weight=np.minimum(linear.weight.astype(np.float64), 0)), ones, target)[0]
    low, high = values
    return positive * high + negative * low, positive * low + negative * high


def _bias(bias: np.ndarray, scale: float) -> tuple[np.ndarray, int]:
    """int16 mantissas, (C, 1, 1) where a channel's are equal, and their exponent; units of 1/64."""
    if np.array_equal(bias, np.broadcast_to(bias[:, :1, :1], bias.shape)):
        bias = bias[:, :1, :1]
    units = bias * scale * 64
    exponent = 0
    while np.abs(units).max() / (1 << exponent) > limits.BIAS_MANTISSA_MAX + 0.5:
        exponent += 1
    return np.rint(units / (1 << exponent)).clip(-limits.BIAS_MANTISSA_MAX, limits.BIAS_MANTISSA_MAX).astype(
        np.int16
    ), exponent


def _clock_bias(group: Group, bias: np.ndarray, scale: float) -> list[Synapse]:
    """A bias as weights of the clock: a coarse part times 2^6 and a fine part, exact to one weight unit."""
    units = np.rint(bias.reshape(-1, 1) * scale).astype(np.int64)
    coarse = (units + 32) >> 6
    if np.abs(coarse).max() > limits.WEIGHT_MAX:
        raise UnsupportedError(
            f"population {group.id}: bias {np.abs(units).max()} weight units; a clock carries 8128 at most"
        )
    synapses = []
    for name, part, exponent in (("coarse", coarse, 6), ("fine", units - (coarse << 6), 0)):
        if part.any():
            linear = LinearMap(kind="dense", weight=part.astype(np.int8))
            synapses.append(
                Synapse(id=f"clock__{group.id}__{name}", src=CLOCK, dst=group.id, map=linear, exponent=exponent)
            )
    return synapses


def _readout(circuit: Circuit) -> Readout:
    top = max(float(np.abs(circuit.readout_weight).max()), 1e-12)
    scale = limits.WEIGHT_MAX / top
    return Readout(
        src=circuit.readout_src,
        weight=np.rint(circuit.readout_weight * scale).astype(np.int8),
        bias=np.rint(circuit.readout_bias * scale * 64).astype(np.int64),
        scale=scale,
    )


def _reach(
    circuit: Circuit,
    population: Population,
    synapses: list[Synapse],
    driven: list[Link],
    input_range: tuple[float, float],
) -> float:
    sources = [(s, circuit.source_shape(s.src)) for s in synapses]
    analogue = [(k.map, circuit.input_shape) for k in driven]
    high, low = integer_bounds(population, sources, analogue, input_range)
    return max(float(high.max()), float(-low.min()))


def integer_bounds(
    population: Population,
    synapses: list[tuple[Synapse, tuple[int, int, int]]],
    host: list[tuple[LinearMap, tuple[int, int, int]]],
    input_range: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Largest and smallest synaptic input per neuron, in weight units, for every admissible input."""
    high, low = np.zeros(population.shape), np.zeros(population.shape)
    for s, shape in synapses:
        top, bottom = map_bounds(s.map, shape, population.shape, (0.0, 1.0))
        high, low = high + top * (1 << s.exponent), low + bottom * (1 << s.exponent)
    for linear, shape in host:
        top, bottom = map_bounds(linear, shape, population.shape, input_range)
        high, low = high + top * population.scale + 0.5, low + bottom * population.scale - 0.5
    return high, low


def verify_ranges(program: Program) -> None:
    """Interval bounds of the integers themselves: |a| fits 16 bits and |v| 24, for every admissible input."""
    for p in program.populations:
        synapses = [(s, program.source_shape(s.src)) for s in program.into(p.id)]
        host = [(h.map, program.input_shape) for h in program.host if h.dst == p.id]
        high, low = integer_bounds(p, synapses, host, program.input_range)
        bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
        keep = ((limits.DECAY_ONE - p.dv) / limits.DECAY_ONE) ** program.schedule.period
        held = _kept((p.du + 1) / limits.DECAY_ONE, program.timesteps)
        high, low = high * held, low * held
        deepest = float((64 * -low - bias).max()) * _kept(1 - keep, program.timesteps)
        tallest = (p.vth << limits.STATE_SHIFT) + float((64 * high + bias).max())
        for what, value, limit in (
            ("input", max(float(high.max()), float(-low.min())), limits.CURRENT_MAX),
            ("membrane", max(deepest, tallest), limits.STATE_LIMIT - 1),
        ):
            if value > limit:
                raise UnsupportedError(
                    f"population {p.id}: its {what} may reach {value:.0f}, the limit is {limit}; train with "
                    "smaller weights (weight decay), or fewer inputs per neuron"
                )
