"""Weights that are whole multiples of one step already: a scale at which none of them is rounded.

A network that was trained with quantised weights, or whose weights are short binary fractions, loses nothing in
integers if the scale is a power of two over its step. The threshold is then what is left to round: exact where it falls
on a whole current, or where nothing leaks and the membrane is whole too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnas.hw_sim import limits

TOLERANCE = 2e-5  # of a step: float32 holds 127 steps to 127 * 2**-24 of one
MANY = 8  # different weights
FINE_ENOUGH = 256  # a leaking neuron's threshold in weight units, rounded to one of them


def exact_scale(
    weights: Sequence[np.ndarray], threshold: float, alpha: float, largest: float, bits: int = limits.WEIGHT_BITS
) -> tuple[float, int] | None:
    """(scale, vth) at which every weight is whole: the largest up to ``largest``; None where there is no such scale.

    weights: of each synapse into the population, float64. threshold: of V. alpha: the share of V that leaks. bits: of
    a weight.
    """
    _, most = limits.weight_range(bits)
    steps = [s for s in (step(w, most) for w in weights) if s is not None]
    if len(steps) < len(weights):
        return None
    values = sum(np.unique(np.abs(w)).size for w in weights)
    scale = 2.0 ** np.floor(np.log2(largest * steps[0])) / steps[0]
    for _ in range(limits.WEIGHT_EXPONENT_MAX + 8):
        if all(_holds(w, scale, most) for w in weights):
            vth = _threshold(threshold * scale, alpha, values)
            return None if vth is None else (float(scale), vth)
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


def _threshold(units: float, alpha: float, values: int) -> int | None:
    """The vth for V > ``units`` weight units. Just below a whole number it stands for "at least" that number.

    values: how many different weights there are. Few of them are as well rounded as the threshold is.
    """
    low = int(np.floor(units))
    if not 1 <= low < limits.THRESHOLD_MAX:
        return None
    if alpha == 0 or units == low:
        return low
    if low < FINE_ENOUGH:
        return None
    if units - low > 1 - 1e-3:
        return low
    return round(units) if values >= MANY else None
