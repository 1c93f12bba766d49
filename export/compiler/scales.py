"""The scale of a population and the exponents of its synapses: as large as no register can overflow, and of those the
ones with the least error in current.

Candidates put the threshold half way between two whole currents, and a hair above, so that a current that equals it
rounds to one that fires: the threshold itself is never rounded, and rounding currents makes as many spikes as it loses
(measured: +.02 % instead of -.05 % of all spikes with the threshold on a whole current).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.export.compiler.grids import exact_scale
from snnas.export.compiler.observed_currents import MARGIN, Ranges, observed_reach
from snnas.export.compiler.ranges import input_bounds
from snnas.export.compiler.signed_sums import signed_sums
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.lava.run_lava import SILENCE_EXPONENT, SILENCE_WEIGHT
from snnas.hw_sim.program import HostMap, Population, Synapse

CANDIDATES = 24
CLOCK_MOST = limits.WEIGHT_MAX << 6  # weight units that the clock carries, in two parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every population is quantised with.

    rates, spikes: of each source on calibration data. host: the maps as they are stored. ranges: whether a scale may
    come from what the calibration data need (``observed_currents.py``).
    """

    circuit: Circuit
    period: int
    timesteps: int
    input_range: tuple[float, float]
    rates: Mapping[str, float]
    spikes: Mapping[str, np.ndarray]
    bits: int
    host: tuple[HostMap, ...]
    ranges: Ranges = "auto"

    def links(self, group: Group) -> list[Link]:
        return [k for k in self.circuit.links if k.dst == group.id]

    def driven(self, group: Group) -> list[Link]:
        return [k for k in self.circuit.host if k.dst == group.id]

    def reach(self, population: Population, synapses: list[Synapse]) -> int:
        """The largest synaptic input of either sign, in weight units, rounding included."""
        sources = [(s, self.circuit.source_shape(s.src)) for s in synapses]
        host = [h for h in self.host if h.dst == population.id]
        low, high = input_bounds(population, sources, host, self.circuit.input_shape, self.input_range)
        return max(int(high.max()), int(-low.min()))


def best_scale(setting: Setting, group: Group, links: list[Link], largest: float) -> tuple[float, int]:
    """(scale, vth): one at which no weight is rounded, or of the candidates that with the least error."""
    exact = _exact(setting, group, links, largest) if links else None
    if exact is not None:
        return exact
    best: tuple[float, float, int] | None = None
    for factor in np.linspace(1.0, 0.5, CANDIDATES):
        vth = int(largest * factor * group.threshold - 33 / 64)
        if vth < 1:
            break
        scale = (64 * vth + 33) / (64 * group.threshold)
        loss = sum(
            setting.rates.get(k.src, 1.0) * _squared_error(k, scale, exponent_of(k, scale, setting.bits), setting.bits)
            for k in links
        )
        if best is None or loss < best[0]:
            best = (loss, scale, vth)
    if best is None:
        raise UnsupportedError(
            f"population {group.id}: its currents are too large beside its threshold of {group.threshold:.3g}; "
            "train with smaller weights (weight decay), or fewer inputs per neuron"
        )
    return best[1:]


def _exact(setting: Setting, group: Group, links: list[Link], largest: float) -> tuple[float, int] | None:
    driven = setting.driven(group)
    # What the host injects, what is left of a current, and what a soft reset leaves may be anything.
    off_grid = bool(driven) or group.decay < 1 or group.taken > 0
    _, low = current_bounds(setting.circuit, group, links, driven, setting.input_range)
    deepest = max(0.0, -float((low + group.bias).min()))
    sunk = max(deepest * kept(group.alpha, setting.timesteps), 1e-9)
    unclipped = (limits.STATE_LIMIT - 1 >> limits.STATE_SHIFT) / sunk
    # Where all is whole a smaller scale is as exact, and leaves the membrane room below; a leak may need the larger.
    for most in (largest,) if off_grid else (min(largest, unclipped), largest):
        found = exact_scale(
            [k.map.weight for k in links],
            group.threshold,
            group.alpha,
            most,
            setting.bits,
            others=None if off_grid else [o for o in (group.bias, group.drive) if o is not None],
            deepest=deepest,
        )
        if found is not None:
            return found
    return None


def exponent_of(link: Link, scale: float, bits: int) -> int:
    """The smallest e >= 0 for which the largest weight fits, or at few bits the one below where that errs less."""
    _, most = limits.weight_range(bits)
    top = float(np.abs(link.map.weight).max()) * scale
    exponent = 0
    while top / (1 << exponent) > most + 0.5:
        exponent += 1
    if bits == limits.WEIGHT_BITS or exponent == 0:
        return exponent
    return min((exponent, exponent - 1), key=lambda e: _squared_error(link, scale, e, bits))


def _squared_error(link: Link, scale: float, exponent: int, bits: int) -> float:
    """Mean squared error in current, per target neuron and source spike rate 1."""
    step = (1 << exponent) / scale
    rounded = kernels.quantise(link.map.weight, scale, exponent, *limits.weight_range(bits)) * step
    return float(np.square(rounded - link.map.weight).sum()) / len(link.map.weight)


def kept(decay: float, timesteps: int) -> float:
    """How many times what comes in at each of ``timesteps`` a state that decays may hold: a geometric series."""
    left = 1 - decay  # 1 of a decay that float64 cannot tell from none
    return (1 - left**timesteps) / decay if left != 1 else timesteps


def kept_current(group: Group, timesteps: int) -> float:
    """``kept`` of the synaptic current, which decays by a whole number of 4096ths."""
    return kept(max(round(limits.DECAY_ONE * group.decay), 1) / limits.DECAY_ONE, timesteps)


def largest_current(setting: Setting, group: Group) -> int:
    """What u may hold, in 1/64 of a weight unit: between samples a pulse comes on top that holds loops silent."""
    loops = any(k.src == group.id and k.distance for k in setting.circuit.links)
    return limits.STATE_LIMIT - 1 + (SILENCE_WEIGHT << SILENCE_EXPONENT + limits.STATE_SHIFT if loops else 0)


def largest_scale(setting: Setting, group: Group) -> float:
    """The largest scale at which no register can overflow for any input, with 1 % left for rounding.

    The membrane only clips: above, a neuron that is reset to zero fires whatever is cut off; below, what is cut off is
    inhibition hundreds of times the threshold. A soft reset would leave what is cut off, so there v counts too.
    """
    high, low = current_bounds(setting.circuit, group, setting.links(group), setting.driven(group), setting.input_range)
    down, up = _clocked(setting, group)
    high, low = high + up, low + down
    reach = max(float(high.max()), float(-low.min()))
    held = kept_current(group, setting.timesteps)
    bounds = [_within(setting, group, reach, reach * held), _of_registers(setting, group)]
    if group.taken:  # where |v| settles under the worst input
        furthest = max(float((held * high + group.bias).max()), -float((held * low + group.bias).min()), 1e-9)
        furthest *= kept(group.alpha, setting.timesteps)
        bounds.append((limits.STATE_LIMIT >> limits.STATE_SHIFT) / furthest)
    return 0.99 * min(bounds)


def observed_scale(setting: Setting, group: Group) -> float | None:
    """The scale at which every synapse has all its bits, or as near as ``MARGIN`` times what was seen allows.

    None without calibration samples, and where a soft reset makes v count.
    """
    links = setting.links(group)
    low, high = _clocked(setting, group)
    for k in setting.driven(group):
        least, most = setting.input_range
        negative, positive = signed_sums(k.map, setting.circuit.input_shape, group.shape)
        high, low = high + positive * most + negative * least, low + positive * least + negative * most
    sources = [(k, setting.circuit.source_shape(k.src)) for k in links]
    seen = observed_reach(group, sources, setting.spikes, (low, high), setting.timesteps)
    if seen is None or group.taken:
        return None
    _, most_held = limits.weight_range(setting.bits)
    tops = [float(np.abs(k.map.weight).max()) for k in links]
    full = (most_held + 0.5) / min((t for t in tops if t > 0), default=1e-9)
    return min(full, 0.99 * _within(setting, group, *(MARGIN * s for s in seen)), 0.99 * _of_registers(setting, group))


def _clocked(setting: Setting, group: Group) -> tuple[np.ndarray, np.ndarray]:
    """What the clock brings to the synaptic input, at most and at least: the bias of a longer period, and the drive."""
    low, high = np.zeros((2, *group.shape))
    for brought in (group.bias if setting.period > 1 else None, group.drive):
        if brought is not None:
            low, high = low + np.minimum(brought, 0), high + np.maximum(brought, 0)
    return low, high


def _within(setting: Setting, group: Group, a: float, u: float) -> float:
    """The scale at which an input ``a`` and a current ``u`` just fit their registers."""
    return min(
        limits.CURRENT_MAX / max(a, 1e-9), (largest_current(setting, group) >> limits.STATE_SHIFT) / max(u, 1e-9)
    )


def _of_registers(setting: Setting, group: Group) -> float:
    """What threshold, bias and the exponents of the weights allow, whatever comes in."""
    low, high = _clocked(setting, group)
    _, most = limits.weight_range(setting.bits)
    return min(
        limits.THRESHOLD_MAX / group.threshold,
        CLOCK_MOST / max(float(high.max()), -float(low.min()), 1e-9),
        (limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX) / 64 / max(float(np.abs(group.bias).max()), 1e-9),
        *(
            (most << limits.WEIGHT_EXPONENT_MAX) / max(float(np.abs(k.map.weight).max()), 1e-9)
            for k in setting.links(group)
        ),
    )


def current_bounds(
    circuit: Circuit, group: Group, links: list[Link], driven: list[Link], input_range: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest current per neuron, over all spikes and all inputs in range; bias left out."""
    high, low = np.zeros(group.shape), np.zeros(group.shape)
    for k in (*links, *driven):
        least, most = input_range if k in driven else (0.0, 1.0)
        negative, positive = signed_sums(k.map, circuit.source_shape(k.src), group.shape)
        high, low = high + positive * most + negative * least, low + positive * least + negative * most
    return high, low
