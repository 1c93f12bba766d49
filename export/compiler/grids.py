"""Weights that are whole multiples of one step already: a scale at which none of them is rounded.

A network that was trained with quantised weights, or whose weights are short binary fractions, loses nothing in
integers if the scale is a power of two over its step. The threshold is then what is left to round: exact where it falls
on a whole current, or where nothing leaks and the membrane is whole too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import Population, Synapse

TOLERANCE = 2e-5  # of a step: float32 holds 127 steps to 127 * 2**-24 of one
ROUNDED = 1e-9  # of a number: what float64 arithmetic has lost; a float32 just below another is 6e-8 of it away
FINE = 1 << limits.STATE_SHIFT  # parts of a weight unit that the membrane holds
COMMON = 1 << 10  # steps of the largest synapse's, or parts of one, that synapses, biases and threshold share
MANY = 8  # different weights
FINE_ENOUGH = 256  # a leaking neuron's threshold in weight units, rounded to one of them


def exact_scale(
    weights: Sequence[np.ndarray],
    threshold: float,
    alpha: float,
    largest: float,
    bits: int = limits.WEIGHT_BITS,
    *,
    others: Sequence[np.ndarray] | None = (),
    deepest: float = 0.0,
) -> tuple[float, int] | None:
    """(scale, vth) at which every weight is whole: the largest up to ``largest``; None where there is no such scale.

    weights: of each synapse into the population, float64. threshold: of V. alpha: the share of V that leaks. bits: of
    a weight. others: what else is added to V, biases; None where that may be anything, as an analogue input. deepest:
    the largest inhibition, a current >= 0.
    """
    _, most = limits.weight_range(bits)
    own = [step(w, most) for w in weights]
    if None in own:
        return None
    shared = step(np.array(own), COMMON)
    if shared is None:
        return None
    values = sum(np.unique(np.abs(w)).size for w in weights)
    # Best is a step that biases and threshold are multiples of too, at worst one of the weights alone.
    for more in ([*(others or ()), np.array([threshold])], [*(others or ())], []):
        parts = _parts(shared, more)
        scale = _largest_that_holds(weights, shared / parts, largest, most) if parts else None
        if scale is not None:
            vth = _threshold(threshold * scale, alpha, values, _grid(weights, others, scale), deepest * scale)
            if vth is not None:
                return scale, vth
    return None


def _parts(step: float, values: Sequence[np.ndarray]) -> int:
    """Into how many parts a step is cut so that all values are whole multiples of one; 0: none up to ``COMMON``."""
    steps = np.unique(np.concatenate([np.zeros(1), *(v.reshape(-1) for v in values)])) / step
    for parts in range(1, COMMON + 1):
        units = steps * parts
        if np.abs(units - np.rint(units)).max() <= TOLERANCE:
            return parts
    return 0


def _largest_that_holds(weights: Sequence[np.ndarray], common: float, largest: float, most: int) -> float | None:
    scale = 2.0 ** np.floor(np.log2(largest * common)) / common
    for _ in range(limits.WEIGHT_EXPONENT_MAX + 8):
        if all(_holds(w, scale, most) for w in weights):
            return float(scale)
        scale /= 2
    return None


def step(weights: np.ndarray, most: int = limits.WEIGHT_MAX) -> float | None:
    """The largest number of which all weights are whole multiples up to ``most``; None where there is none."""
    values = np.unique(np.abs(weights))
    values = values[values > 0]
    if not 0 < values.size <= most:
        return None
    for count in range(1, most + 1):
        units = values / values[-1] * count
        if np.abs(units - np.rint(units)).max() <= TOLERANCE and units[0] > 0.5:
            return float(values[-1]) / count
    return None


def _holds(weights: np.ndarray, scale: float, most: int) -> bool:
    """Whether integers up to ``most`` with an exponent hold the weights at this scale."""
    units = weights * scale
    whole = np.rint(units)
    if np.abs(units - whole).max() > TOLERANCE * max(1.0, float(np.abs(whole).max())):
        return False
    exponent = 0
    while np.abs(whole).max() > most << exponent:
        exponent += 1
    return exponent <= limits.WEIGHT_EXPONENT_MAX and not (whole % (1 << exponent)).any()


def grid_of(p: Population, synapses: Iterable[Synapse], *, hosted: bool) -> int:
    """The step, in 1/64 of a weight unit, of which whatever a membrane compares is a whole multiple; 0: there is none.

    (But for what a neuron without memory keeps, see above.) synapses: those into ``p``; hosted: the host injects too.
    """
    if p.dv not in (0, limits.DECAY_MAX) or p.current_decays or p.taken or hosted:
        return 0
    return steps_of(p, synapses)


def steps_of(p: Population, synapses: Iterable[Synapse]) -> int:
    """The step, in 1/64 of a weight unit, of which all that is added to a membrane is a whole multiple."""
    weights = [s.map.weight.astype(np.int64) << s.exponent for s in synapses]
    bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent) / FINE
    return _grid([w.astype(np.float64) for w in weights], [bias], 1.0)


def _grid(weights: Sequence[np.ndarray], others: Sequence[np.ndarray] | None, scale: float) -> int:
    """The step, in 1/64 of a weight unit, of which all sums of these currents are whole multiples; 0: there is none."""
    if others is None:
        return 0
    units = [np.rint(w * scale) * FINE for w in weights] + [np.asarray(o * scale * FINE) for o in others]
    if any(np.abs(u - np.rint(u)).max(initial=0) > TOLERANCE for u in units):
        return 0
    return int(np.gcd.reduce([int(np.gcd.reduce(np.rint(u).astype(np.int64), axis=None)) for u in units]))


def _threshold(units: float, alpha: float, values: int, grid: int, deepest: float) -> int | None:
    """The vth for V > ``units`` weight units. Just below a whole number it stands for "at least" that number.

    values: how many different weights there are. Few of them are as well rounded as the threshold is. grid: of V where
    V holds nothing but currents, in 1/64 of a unit, or 0. deepest: in weight units.
    """
    if not units < limits.THRESHOLD_MAX:
        return None
    if abs(units - round(units)) <= ROUNDED * units:  # 959.9999999999999 is 960, and not "at least 960"
        units = float(round(units))
    if alpha in (0, 1) and grid:
        between = _between(units * FINE, grid, deepest * FINE if alpha else 0.0, memory=not alpha)
        if between is not None:
            return between
    low = int(np.floor(units))
    if low < 1:
        return None
    if alpha == 0 or units == low:
        return low
    if low < FINE_ENOUGH:
        return None
    if units - low > 1 - 1e-3:
        return low
    return round(units) if values >= MANY else None


def _between(threshold: float, grid: int, deepest: float, *, memory: bool) -> int | None:
    """The vth half way between the last V on the grid that does not fire and the first that does; None: there is none.

    All in 1/64 of a weight unit. memory: whether V is on the grid altogether; else a 4096th of the last V comes on top.
    """
    low, high = between(threshold, grid, deepest, memory=memory)
    vth = max((low + high) // 2 // FINE, -(-low // FINE), 1)
    return vth if low <= vth * FINE < high else None


def between(threshold: float, grid: int, deepest: float, *, memory: bool) -> tuple[int, int]:
    """The least vth << 6 that tells the last V on the grid that does not fire from the next, and the first too large.

    All as ``_between`` takes them.
    """
    last = int(np.floor(threshold / grid)) * grid
    above, below = (0, 0) if memory else (last // limits.DECAY_MAX, int(deepest) // limits.DECAY_MAX)
    return last + above, last + grid - below
