"""Ranges of a program's registers, proved: what a, u and v may hold for any admissible input, in whole numbers.

Admissible is every spike train of every source, whatever the network upstream would really send, and every analogue
input within the program's range; the clock fires at each timestep. Per neuron, timestep by timestep from the reset
state, each register lies in an interval whose ends follow the program's own arithmetic (``kernels``): decay with
truncation is monotone, so it takes the ends of an interval to the ends of the next. A neuron that did not fire holds at
most its threshold, one that fired holds 0 (or what a soft reset leaves). So nothing is estimated by a geometric series,
and nothing rounds downwards: sums of integers are exact (float64 holds them; what exceeds 2**53 is far beyond any
limit), and the host's float64 currents get the rounding error of their sums added.

a: synaptic input of one timestep in weight units, 16 bits. u: the current in 1/64 of them, before it would wrap at 24
bits. v: the membrane. The ends of a and u, and the lower end of v, are reached by some input, except where synapses of
one source run side by side, which are bounded one by one; v's upper end lies at most a threshold above what is reached.

What exceeds a or u overflows: a chip would compute with something else. What exceeds v is cut off, by the kernels as by
Lava: above, where a reset to zero forgets it, and below, where it is inhibition that no threshold will miss. So v is no
limit but where a soft reset would leave what was cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from snnas.export.compiler.signed_sums import Ends, of_ones, signed_sums
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import PIXEL_MAX, integer_stage
from snnas.hw_sim.lava.run_lava import SILENCE_EXPONENT, SILENCE_WEIGHT
from snnas.hw_sim.program import CLOCK, HostMap, Population, Program, Shape, Synapse

LIMITS = {"a": limits.CURRENT_MAX, "u": limits.STATE_LIMIT - 1, "v": limits.STATE_LIMIT - 1}
NAMES = {"a": "synaptic input", "u": "current", "v": "membrane"}
MEND = "train with smaller weights (weight decay), or fewer inputs per neuron"
HUGE = 1 << 44  # beyond every limit; shifted, added up and multiplied by a decay still an int64

Status = Literal["proved", "observed", "unproved"]


@dataclass(frozen=True, slots=True)
class Bound:
    """The ends of what a register may hold, or of what was seen in it, and the largest magnitude that it can."""

    low: int
    high: int
    limit: int

    @property
    def value(self) -> int:
        """Whichever end is further from 0."""
        return self.high if self.high >= -self.low else self.low

    @property
    def margin(self) -> float:
        """The share of the register that is used; above 1 it overflows."""
        return abs(self.value) / self.limit

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "limit": self.limit, "margin": self.margin}


@dataclass(frozen=True, slots=True)
class Range:
    """A population's registers a, u and v.

    status: ``proved`` where the bounds fit; ``unproved`` where they do not; ``observed`` where what was seen on samples
    fits, and the bounds are what was seen.
    """

    status: Status
    registers: Mapping[str, Bound]

    @property
    def worst(self) -> tuple[str, Bound]:
        """The register that is the fullest; v, which only clips, where that is not harmless."""
        rated = {name: bound for name, bound in self.registers.items() if name != "v" or bound.margin > 1}
        return max(rated.items(), key=lambda item: item[1].margin)

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status, **{name: bound.to_json() for name, bound in self.registers.items()}}


def prove(program: Program) -> dict[str, Range]:
    """The range of each population; ``unproved`` where some input might overflow a register."""
    found = {}
    for p in program.populations:
        ends = neuron_bounds(program, p)
        registers = {
            name: bound_of(p, name, int(low.min()), int(high.max()))
            for name, (low, high) in ends.items()
            if name in LIMITS
        }
        fits = all(bound.margin <= 1 for bound in registers.values())
        blank_fits = int(ends["blank"][0].min()) >= -LIMITS["u"] if "blank" in ends else True
        found[p.id] = Range("proved" if fits and blank_fits else "unproved", registers)
    return found


def bound_of(p: Population, register: str, low: int, high: int) -> Bound:
    """The ends of what a register holds, v's clipped where a clip is harmless."""
    limit = LIMITS[register]
    if register == "v" and not p.taken:
        low, high = max(low, -limit), min(high, limit)
    return Bound(low, high, limit)


def verify_ranges(program: Program) -> None:
    """UnsupportedError for the first population of which some input might overflow a register and none is watched."""
    for name, found in prove(program).items():
        if found.status == "unproved" and name not in program.observed:
            register, bound = found.worst
            raise UnsupportedError(
                f"population {name}: its {NAMES[register]} {register} may reach {bound.value}, the limit is "
                f"{bound.limit}; {MEND}"
            )


def input_bounds(
    p: Population,
    synapses: Iterable[tuple[Synapse, Shape]],
    host: Iterable[HostMap],
    input_shape: Shape,
    input_range: tuple[float, float],
) -> Ends:
    """Least and largest synaptic input of one timestep per neuron, int64 in weight units.

    synapses: those into ``p``, each with the shape of its source.
    """
    low, high = np.zeros(p.shape, np.int64), np.zeros(p.shape, np.int64)
    for s, shape in synapses:
        negative, positive = (_whole(part) << s.exponent for part in signed_sums(s.map, shape, p.shape))
        if s.src == CLOCK and not s.distance:  # it fires at every timestep
            low, high = low + negative + positive, high + negative + positive
        else:
            low, high = low + negative, high + positive
    least, most = _host_bounds(p, host, input_shape, input_range)
    return low + least, high + most


def _whole(values: np.ndarray) -> np.ndarray:
    return values.clip(-HUGE, HUGE).astype(np.int64)


def _host_bounds(
    p: Population, host: Iterable[HostMap], source: Shape, values: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray] | tuple[int, int]:
    """The ends of the integer current that the host injects, its own rounding errors included.

    A float64 sum of n products, in whatever order, errs by at most n 2^-52 times the sum of magnitudes (Higham 2002,
    section 4.2: gamma_n with u = 2^-53); the bound is computed so too, and gain, scale and adding up round as well.
    """
    maps = list(host)
    if not maps:
        return 0, 0
    low, high, magnitude, products = np.zeros((4, *p.shape))
    least, most = values
    for h in maps:
        negative, positive = signed_sums(h.map, source, p.shape)
        ends = (positive * least + negative * most) * h.gain, (positive * most + negative * least) * h.gain
        low, high = low + np.minimum(*ends), high + np.maximum(*ends)
        largest = max(abs(least), abs(most)) * abs(h.gain)
        magnitude += of_ones(h.map, np.abs(h.map.weight.astype(np.float64)), source, p.shape) * largest
        products += of_ones(h.map, np.ones(h.map.weight.shape), source, p.shape)
    error = 2 * (products + 8 * len(maps)) * 2.0**-52 * magnitude
    # A step outwards for the product with the scale; rounding to whole numbers is monotone.
    ends = np.nextafter((low - error) * p.scale, -np.inf), np.nextafter((high + error) * p.scale, np.inf)
    return _whole(np.rint(ends[0])), _whole(np.rint(ends[1]))


def host_of(program: Program, p: Population) -> tuple[list[HostMap], tuple[float, float]]:
    """The host's maps into ``p`` and the values that they see; of a host in integers, its own weights on its pixels."""
    host = [h for h in program.host if h.dst == p.id]
    if program.host_integers is None or not host:
        return host, program.input_range
    stage, zero = integer_stage(program, p), program.host_integers.zero
    gain = 1 / ((1 << stage.shift) * p.scale)
    return [replace(h, map=linear, gain=gain) for h, linear in stage.maps], (float(-zero), float(PIXEL_MAX - zero))


def neuron_bounds(program: Program, p: Population) -> dict[str, Ends]:
    """The ends of a, u and v per neuron over a sample, from reset; of v before it is reset. int64 (*shape).

    ``blank``: u in the blank timestep between samples, of a source of delayed synapses, which a pulse holds silent.
    """
    synapses = [(s, program.source_shape(s.src)) for s in program.into(p.id)]
    host, values = host_of(program, p)
    inputs = input_bounds(p, synapses, host, program.input_shape, values)
    pushed = inputs[0] << limits.STATE_SHIFT, inputs[1] << limits.STATE_SHIFT
    bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
    zero = np.zeros(p.shape, np.int64)
    u, v = (zero, zero), (zero, zero)
    seen: dict[str, Ends] = {}
    for _ in range(program.timesteps):
        u = _next_current(u, pushed, p.du)
        least, most = (leaked(old, p.dv, program.schedule.period) + now + bias for old, now in zip(v, u, strict=True))
        seen = {"u": _joined(seen.get("u"), u), "v": _joined(seen.get("v"), (least, most))}
        kept = least.clip(-LIMITS["v"], LIMITS["v"]), most.clip(-LIMITS["v"], LIMITS["v"])
        before, v = v, _after_reset(*kept, p)
        if max(int(np.abs(end).max()) for ends in (u, (least, most)) for end in ends) > HUGE:
            break  # no proof is left to be found, and a decay's product must stay below 2**63
        if not p.current_decays and all(np.array_equal(a, b) for a, b in zip(before, v, strict=True)):
            break  # nor will it change any more
    if program.schedule.blank and any(s.src == p.id and s.distance for s in program.synapses):
        pulse = SILENCE_WEIGHT << (SILENCE_EXPONENT + limits.STATE_SHIFT)
        low, high = _next_current(u, pushed, p.du)
        seen["blank"] = low + pulse, high + pulse
    return {"a": inputs, **seen}


def _next_current(u: Ends, pushed: Ends, du: int) -> Ends:
    return kernels.decay(u[0], du + 1) + pushed[0], kernels.decay(u[1], du + 1) + pushed[1]


def _joined(before: Ends | None, now: Ends) -> Ends:
    return now if before is None else (np.minimum(before[0], now[0]), np.maximum(before[1], now[1]))


def _after_reset(least: np.ndarray, most: np.ndarray, p: Population) -> Ends:
    """What a membrane that reached least..most holds when those above the threshold have fired."""
    threshold = p.vth << limits.STATE_SHIFT
    may, must = most > threshold, least > threshold
    low, high = (np.maximum(least, threshold + 1) - p.taken, most - p.taken) if p.taken else (0 * least, 0 * most)
    return (
        np.where(must, low, np.where(may, np.minimum(least, low), least)),
        np.where(must, high, np.where(may, np.maximum(threshold, high), most)),
    )


def leaked(v: np.ndarray, dv: int, leaks: int) -> np.ndarray:
    """The leaks of one timestep."""
    for _ in range(leaks):
        v = kernels.decay(v, dv)
    return v
