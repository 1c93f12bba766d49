"""One way into a population as its switches want it: the graph's weights or the program's, clipped ones apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnas.hw_sim import limits
from snnas.hw_sim.linear import apply, convolve, sum_pool
from snnas.hw_sim.program import LinearMap, Program
from snnas.toolchain.diagnosing.pairing import Way

PIECE = 16  # samples times timesteps of a convolution at once: what a processor's cache holds


class SwitchedMap:
    """A way as its population's switches want it. source: where it starts, None where it is not there."""

    def __init__(self, way: Way, on: dict[str, bool], scale: float, program: Program) -> None:
        self.source = way.real if on["timing"] else way.integer
        self.whole = False
        if self.source is None:
            return
        link, synapse = way.link, way.synapse
        if synapse is None or (link is not None and on["weights"]):
            assert link is not None
            weight = link.map.weight * scale
            if way.alike and synapse is not None and not on["saturation"]:
                step = float(1 << (synapse.exponent + limits.STATE_SHIFT))
                weight = np.where(clipped(way, program), synapse.map.weight * step, weight)
            self.map, self.factor = replace(link.map, weight=weight), 1.0
            return
        self.factor = float(1 << (synapse.exponent + limits.STATE_SHIFT))
        self.map = synapse.map
        mask = clipped(way, program) if on["saturation"] and way.alike else np.zeros(1, dtype=bool)
        if mask.any():
            assert link is not None
            mended = np.where(mask, link.map.weight * scale / self.factor, synapse.map.weight)
            self.map = replace(synapse.map, weight=mended)
        else:
            self.whole = _largest_sum(self.map) < 1 << 24  # float32 holds every partial sum

    def current(self, spikes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """What bool spikes (B, n, ...) give: float64 (B, n, *shape)."""
        flat = spikes.reshape(-1, *spikes.shape[2:])
        pieces = [self._apply(flat[k : k + PIECE], shape) for k in range(0, len(flat), PIECE)]
        return np.concatenate(pieces).reshape(*spikes.shape[:2], *shape) * self.factor

    def _apply(self, spikes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        if not self.whole:
            return apply(self.map, spikes, shape)
        return _apply_single(self.map, spikes).astype(np.float64)


def _apply_single(linear: LinearMap, spikes: np.ndarray) -> np.ndarray:
    x = spikes.astype(np.float32)
    for pool in linear.pre:
        x = sum_pool(x, pool)
    x = convolve(x, linear.weight.astype(np.float32), linear.stride, linear.pad, linear.groups)
    for pool in linear.post:
        x = sum_pool(x, pool)
    return x


def _largest_sum(linear: LinearMap) -> float:
    """A bound of a convolution's partial sums over spikes; infinite of other maps, which go in float64."""
    if linear.kind not in ("conv", "pooled_conv"):
        return float("inf")
    windows = [n for pool in (*linear.pre, *linear.post) for n in pool.kernel]
    return float(np.abs(linear.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max() * int(np.prod(windows)))


def clipped(way: Way, program: Program) -> np.ndarray:
    """Which weights of an ``alike`` way sit at the end of the integers' range, short of what they stand for."""
    assert way.link is not None
    assert way.synapse is not None
    scale = program.population(way.synapse.dst).scale
    units = way.link.map.weight * (scale / (1 << way.synapse.exponent))
    low, high = limits.weight_range(program.weight_bits)
    w = way.synapse.map.weight
    return np.asarray(((w == high) & (units > high + 0.5)) | ((w == low) & (units < low - 0.5)))
