"""Rounds weights so that the current is kept, not each weight: error feedback on calibration spikes.

Plain rounding makes each weight's error small; what a neuron feels is the sum of the errors over the spikes that come
together. So weights are rounded one input after the other, and each rounding error is handed on to the weights not yet
rounded, as the second moments ``H = E[x x^T]`` of the calibration spikes say is best (optimal brain quantisation in
its sequential form: Frantar et al. 2023, GPTQ, section 3). Integers, exponents and ranges are as before; only which
of two neighbouring integers is taken changes.

Of a readout the sums over all timesteps are what matters, and its scale is free: the largest weights are clipped where
that brings answers nearer. What is clipped, too, is handed on; how far pays is judged on samples that were not rounded
by, since feedback makes any error small on its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from snnas.hw_sim import limits
from snnas.hw_sim.entries import Entries
from snnas.hw_sim.linear import pad_hw, sum_pool
from snnas.hw_sim.program import LinearMap, Program

ROWS = 8192  # patches of calibration spikes that H is estimated from
MAX_INPUTS = 4608  # a 3x3 convolution of 512 channels: 12 CPU s and 1.3 GB for H; beyond, plain rounding
FORMER_MAX_INPUTS = 4096  # up to snnas.export/4
BLOCK = 64  # inputs whose errors are handed on beyond them at once: 256 x 2304 weights in .17 s, one by one 5.7 s
DAMPING = 0.01  # of the mean diagonal, added to H: inputs that never fired carry nothing
CLIPS = (1.0, 1.25, 1.5, 1.75, 2.0)  # times what 8 bits hold, that the largest weight of a readout may be


def round_weights(
    linear: LinearMap, step: float, spikes: np.ndarray | None, bits: int = limits.WEIGHT_BITS
) -> np.ndarray:
    """``linear.weight / step`` as integers of ``bits`` bits; float64, shaped like the weights.

    step: the real value of one integer. spikes: bool (B, T, C, H, W) of the source on calibration data; without them,
    and for grouped or sparse maps, each weight is rounded by itself. A map without weights of one sign gets none: what
    excites, or inhibits, does nothing else after rounding.
    """
    units = linear.weight / step
    if spikes is None or not 0 < _handed_on(linear) <= MAX_INPUTS:
        return np.rint(units).clip(*limits.weight_range(bits))
    x = _inputs(linear, spikes)
    rounded = _feed_back(units.reshape(len(units), -1), _Moments.of(x), _range(units, bits))
    return rounded.reshape(units.shape)


def round_readout(weights: np.ndarray, seen: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Integers of 8 bits, float64, for weights (classes, N), and their units per unit of weight.

    Of a matrix by its entries these alone, (nnz,), each rounded by itself.

    seen: (B, N), what the weights meet in each calibration sample: spikes, summed over time as the answer weighs them.
    """
    most = limits.WEIGHT_MAX
    plain = most / float(np.abs(weights).max())
    if seen is None or weights.ndim == 1 or weights.shape[1] > MAX_INPUTS:
        return np.rint(weights * plain), plain
    allowed = limits.weight_range(limits.WEIGHT_BITS)
    halves = [(_Moments.of(a), b) for a, b in ((seen[::2], seen[1::2]), (seen[1::2], seen[::2])) if len(a) and len(b)]

    def lost(clip: float) -> float:
        """Squared, of answers beside each other: what all classes gain decides nothing."""
        scale, total = plain * clip, 0.0
        for moments, others in halves:
            off = others @ (weights - _feed_back(weights * scale, moments, allowed) / scale).T
            total += float(np.square(off - off.mean(axis=1, keepdims=True)).sum())
        return total

    scale = plain * (min(CLIPS, key=lost) if halves else CLIPS[0])
    return _feed_back(weights * scale, _Moments.of(seen), allowed), scale


def formerly_plain(program: Program) -> bool:
    """Whether some weights, rounded with error feedback now, were rounded one by one up to ``FORMER_MAX_INPUTS``."""
    widths = [_handed_on(s.map) for s in program.synapses]
    read = [r.weight for r in program.readout.readings]
    if not any(isinstance(weight, Entries) for weight in read):
        widths.append(sum(weight.shape[1] for weight in read))
    return any(FORMER_MAX_INPUTS < width <= MAX_INPUTS for width in widths)


def _handed_on(linear: LinearMap) -> int:
    """Of how many inputs of a neuron errors can be handed on to one another; 0 for grouped and sparse maps."""
    return 0 if linear.groups != 1 or linear.kind == "sparse" else linear.weight[0].size


def _inputs(linear: LinearMap, spikes: np.ndarray) -> np.ndarray:
    """(rows, inputs of one target neuron), float64: what one neuron sees at one timestep of one sample."""
    x = spikes.reshape(-1, *spikes.shape[2:])
    if linear.kind == "dense":
        return _thinned(x.reshape(len(x), -1)).astype(np.float64)
    _, _, kh, kw = linear.weight.shape
    x = _thinned(x, max(1, ROWS // 16)).astype(np.float64)
    for pool in linear.pre:
        x = sum_pool(x, pool)
    windows = sliding_window_view(pad_hw(x, linear.pad), (kh, kw), axis=(2, 3))
    windows = windows[:, :, :: linear.stride[0], :: linear.stride[1]].transpose(0, 2, 3, 1, 4, 5)
    return _thinned(windows.reshape(-1, windows.shape[3] * kh * kw))


def _thinned(rows: np.ndarray, most: int = ROWS) -> np.ndarray:
    """At most ``most`` of the rows, evenly spread; a step that is odd does not fall in with T or the image's width."""
    step = -(-len(rows) // most) | 1
    return rows[::step]


def _range(units: np.ndarray, bits: int) -> tuple[int, int]:
    """What the weights of a map may be rounded to: what the bits hold, on one side of 0 where all are on that side."""
    low, high = limits.weight_range(bits)
    return (low if units.min() < 0 else 0), (high if units.max() > 0 else 0)


@dataclass(frozen=True, slots=True)
class _Moments:
    """order: inputs by their activity, the busiest first. upper: the Cholesky factor of their damped H's inverse."""

    order: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> _Moments | None:
        """x: float64 (rows, K). None where nothing ever came."""
        moments = x.T @ x / len(x)
        damping = DAMPING * float(np.mean(np.diag(moments)))
        if damping == 0:
            return None
        moments += damping * np.eye(len(moments))
        order = np.argsort(-np.diag(moments), kind="stable")
        inverse = np.linalg.inv(moments[np.ix_(order, order)])
        return cls(order, np.linalg.cholesky((inverse + inverse.T) / 2).T)


def _feed_back(weights: np.ndarray, moments: _Moments | None, allowed: tuple[int, int]) -> np.ndarray:
    """weights: (O, K) in integer units, rounded within ``allowed``."""
    if moments is None:
        return np.rint(weights).clip(*allowed)
    order, upper = moments.order, moments.upper
    left = weights[:, order].copy()
    rounded, errors = np.empty_like(left), np.empty_like(left)
    for first in range(0, left.shape[1], BLOCK):
        last = min(first + BLOCK, left.shape[1])
        for k in range(first, last):
            rounded[:, k] = np.rint(left[:, k]).clip(*allowed)
            errors[:, k] = (left[:, k] - rounded[:, k]) / upper[k, k]
            left[:, k + 1 : last] -= errors[:, k, None] * upper[k, k + 1 : last]
        left[:, last:] -= errors[:, first:last] @ upper[first:last, last:]
    out = np.empty_like(rounded)
    out[:, order] = rounded
    return out
