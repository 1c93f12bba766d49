"""Scheduled circuit -> program: the one lossy step.

Each population gets one real scale s: the integer n stands for the current n / s. Its link k stores
``w_k = round(w s / 2^e_k)`` in 8, 6 or 4 bits: at 8 with the smallest exponent that holds its largest weight, below
with the one before it where clipping the few largest costs less than coarser steps for all. s is bounded so that no
register can overflow for any admissible input (every spike may come, an analogue input stays in its range), and
chosen in the upper half of what is left so that the error in current, weighted by how often each source fires on the
calibration data, is least (``scales.py``).

Fewer bits change nothing but the synapses between populations, and the input's. A gate (OR, relay) has the weight 2
and stays exact; a bias that the clock brings keeps both its 8-bit parts, since its rounding would come at every
timestep; so does the readout, whose rounding moves the logits themselves and whose weights are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from snnas.export.compiler.circuit import Group, Link
from snnas.export.compiler.observed_currents import Ranges, check_ranges_option
from snnas.export.compiler.ranges import verify_ranges
from snnas.export.compiler.readout import quantise_readout
from snnas.export.compiler.resolution import FELT, refuse_silence, resolution
from snnas.export.compiler.rounding import round_weights
from snnas.export.compiler.scales import (
    CLOCK_MOST,
    Setting,
    best_scale,
    exponent_of,
    kept,
    kept_current,
    largest_current,
    largest_scale,
    observed_scale,
)
from snnas.export.compiler.schedule import Scheduled
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import CLOCK, HostMap, LinearMap, Population, Program, Synapse

MEMORYLESS = limits.DECAY_MAX  # leaves 1/4096 of |v| <= 64, which is nothing: a gate that holds more has fired


def check_bits(bits: int) -> None:
    """UsageError for a width that no program has."""
    if bits not in limits.WEIGHT_WIDTHS:
        raise UsageError(f"--bits {bits}: expected one of {', '.join(map(str, limits.WEIGHT_WIDTHS))}")


def quantise(
    scheduled: Scheduled,
    *,
    timesteps: int,
    rates: Mapping[str, float] | None = None,
    spikes: Mapping[str, np.ndarray] | None = None,
    input_range: tuple[float, float] = (0.0, 1.0),
    bits: int = limits.WEIGHT_BITS,
    ranges: Ranges = "auto",
    meta: dict[str, Any] | None = None,
) -> Program:
    """rates: mean spikes per neuron and timestep of each source on calibration data (1 where unknown).

    spikes: the sources' spikes themselves, bool (B, T, C, H, W): with them weights are rounded as ``rounding.py`` says.
    bits: of a weight, 8, 6 or 4; the program keeps it in ``meta["bits"]``. ranges: ``proved``: no input overflows a
    register; ``observed``: no sample of the spikes does, twice over, where that gives more bits; ``auto``: the latter
    where the former would leave few. UnsupportedError where all weights of a synapse round to 0.
    """
    check_bits(bits)
    check_ranges_option(ranges)
    if ranges == "observed" and not spikes:
        raise UsageError("--ranges observed: there are no calibration samples; give some, or leave it out")
    circuit, schedule = scheduled.circuit, scheduled.schedule
    seen = dict(spikes or {})
    seen |= {relay: seen[source] for relay, source in scheduled.relays.items() if source in seen}
    rates = {name: float(value.mean()) for name, value in seen.items()} | dict(rates or {})
    rates |= {relay: rates[source] for relay, source in scheduled.relays.items() if source in rates}
    setting = Setting(
        circuit=circuit,
        period=schedule.period,
        timesteps=timesteps,
        input_range=input_range,
        rates=rates,
        spikes=seen,
        bits=bits,
        ranges=ranges,
        host=tuple(
            HostMap(id=k.id, dst=k.dst, map=replace(k.map, weight=k.map.weight.astype(np.float32)), distance=k.distance)
            for k in circuit.host
        ),
    )
    populations, synapses, watched = [], list[Synapse](), list[str]()
    for group in circuit.groups:
        population, made = _gate(setting, group)
        if group.role == "neuron":
            population, made, observed = _neuron(setting, group)
            watched += [group.id] if observed else []
        held = kept_current(group, timesteps) * kept(group.alpha, timesteps)
        sources = [(k, circuit.source_shape(k.src)) for k in setting.links(group)]
        refuse_silence(population, sources, made, felt=FELT * group.threshold / held, bits=bits)
        populations.append(population)
        synapses += made
    program = Program(
        timesteps=timesteps,
        input_shape=circuit.input_shape,
        input_kind=circuit.input_kind,
        populations=tuple(populations),
        synapses=tuple(synapses),
        host=setting.host,
        readout=quantise_readout(circuit.readout, timesteps, seen),
        schedule=schedule,
        input_range=input_range,
        meta={**(meta or {}), "bits": bits, **({"observed": watched} if watched else {})},
    )
    program.verify()
    verify_ranges(program)
    return program


def _gate(setting: Setting, group: Group) -> tuple[Population, list[Synapse]]:
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
    return population, [_synapse(k, np.full(k.map.weight.shape, 2.0), 0) for k in setting.links(group)]


def _synapse(link: Link, integers: np.ndarray, exponent: int) -> Synapse:
    weights = replace(link.map, weight=integers.astype(np.int8))
    return Synapse(
        id=link.id, src=link.src, dst=link.dst, map=weights, exponent=exponent, distance=1 if link.distance else 0
    )


def _neuron(setting: Setting, group: Group) -> tuple[Population, list[Synapse], bool]:
    """A population that integrates, at the largest scale that its registers hold; whether that is merely observed."""
    if group.decay < 1 and setting.period > 1:
        raise UnsupportedError(
            f"population {group.id}: its current decays by itself (CubaLIF), and its network's loops take "
            f"{setting.period} hardware steps per timestep, at each of which Loihi would add it; make it a "
            "LIF, or the loops self-loops"
        )
    largest = largest_scale(setting, group)
    population, synapses = _at_most(setting, group, largest)
    most = min(limits.CURRENT_MAX, largest_current(setting, group) / kept_current(group, setting.timesteps) / 64)
    while setting.reach(population, synapses) > most:
        largest *= 0.97  # rounding up many small weights adds to the worst case
        population, synapses = _at_most(setting, group, largest)
    if setting.ranges == "observed" or (setting.ranges == "auto" and _short(setting, group, population, synapses)):
        wider = observed_scale(setting, group)
        if wider is not None and wider > largest:
            population, synapses = _at_most(setting, group, wider)
    return population, synapses, setting.reach(population, synapses) > most


def _short(setting: Setting, group: Group, population: Population, synapses: list[Synapse]) -> bool:
    """Whether the proof has cost a synapse a bit or more."""
    found = resolution(population, setting.links(group), synapses)
    return found is not None and not found.exact and found.bits < setting.bits


def _at_most(setting: Setting, group: Group, largest: float) -> tuple[Population, list[Synapse]]:
    """The population at the best scale up to ``largest``."""
    links = setting.links(group)
    scale, vth = best_scale(setting, group, links, largest)
    dv = min(round(limits.DECAY_ONE * (1 - (1 - group.alpha) ** (1 / setting.period))), limits.DECAY_MAX)
    synapses = []
    for k in links:
        exponent = exponent_of(k, scale, setting.bits)
        integers = round_weights(k.map, (1 << exponent) / scale, setting.spikes.get(k.src), setting.bits)
        synapses.append(_synapse(k, integers, exponent))
    mantissa, bias_exponent = _bias(group.bias, scale)
    if setting.period > 1:  # stock neurons add a bias on every hardware step; a clock adds it once per timestep
        synapses += _clock_bias(group, group.bias, scale)
        mantissa, bias_exponent = np.zeros((group.shape[0], 1, 1), np.int16), 0
    if group.drive is not None:  # a bias would pass the current by
        synapses += _clock_bias(group, group.drive, scale, distance=1 if group.late else 0)
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
        taken=max(round(group.taken * scale * 64), 1) if group.taken else 0,
    )
    return population, synapses


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


def _clock_bias(group: Group, bias: np.ndarray, scale: float, distance: Literal[0, 1] = 0) -> list[Synapse]:
    """A bias as weights of the clock: a coarse part times 2^6 and a fine part, exact to one weight unit."""
    units = np.rint(bias.reshape(-1, 1) * scale).astype(np.int64)
    coarse = (units + 32) >> 6
    if np.abs(coarse).max() > limits.WEIGHT_MAX:
        raise UnsupportedError(
            f"population {group.id}: bias {np.abs(units).max()} weight units; a clock carries {CLOCK_MOST} at most"
        )
    synapses = []
    for name, part, exponent in (("coarse", coarse, 6), ("fine", units - (coarse << 6), 0)):
        if part.any():
            linear = LinearMap(kind="dense", weight=part.astype(np.int8))
            made = f"clock__{group.id}__{'late_' if distance else ''}{name}"
            synapses.append(Synapse(id=made, src=CLOCK, dst=group.id, map=linear, exponent=exponent, distance=distance))
    return synapses
