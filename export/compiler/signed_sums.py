"""How much a linear map can give either way when each source is 0 or 1: the sums of its weights of either sign.

Exact per target neuron: of each source the weights are added up first, where a pool lets it reach the target in
several ways. Along a spatial axis the pools and the convolution join target, kernel tap and source by a matrix of
counts; targets away from the borders have the same one, shifted, so that a few kernels stand for all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnas.hw_sim.linear import apply as apply_map
from snnas.hw_sim.program import LinearMap, Pool, Shape

LARGEST = 1 << 27  # entries of a pooled kernel that are laid out; beyond, its factors are bounded one after the other

Ends = tuple[np.ndarray, np.ndarray]


def signed_sums(linear: LinearMap, source: Shape, target: Shape) -> Ends:
    """What the map gives where exactly its negative weights have a source that fires, and its positive ones.

    float64 (*target), exact for whole weights while sums stay below 2**53.
    """
    if linear.pre or linear.post:
        found = _pooled(linear, source)
        if found is not None:
            return found
    weight = linear.weight.astype(np.float64)
    down, up = (of_ones(linear, part, source, target) for part in (np.minimum(weight, 0), np.maximum(weight, 0)))
    return down, up


def of_ones(linear: LinearMap, weight: np.ndarray, source: Shape, target: Shape) -> np.ndarray:
    """The map with other weights where every source is 1: float64 (*target), factor by factor."""
    if linear.kind == "dense":
        return weight.sum(axis=1).reshape(target)
    if linear.kind == "sparse":
        return apply_map(replace(linear, weight=weight), np.ones((1, *source)), target)[0]
    alike = replace(linear, weight=weight.sum(axis=1, keepdims=True))  # as the input channels are
    return apply_map(alike, np.ones((1, linear.groups, *source[1:])), target)[0]


def _pooled(linear: LinearMap, source: Shape) -> Ends | None:
    """Of a convolution with pools; None where its kernels would be too large to lay out."""
    weight = linear.weight.astype(np.float64)
    (rows, row_of), (columns, column_of) = (_kernels(linear, source, axis) for axis in (0, 1))
    if weight.shape[0] * weight.shape[1] * rows[0].shape[1] * columns[0].shape[1] > LARGEST:
        return None
    low, high = np.zeros((2, len(weight), len(rows), len(columns)))
    for r, row in enumerate(rows):
        half = np.einsum("oiab,ay->oiyb", weight, row, optimize=True)
        for c, column in enumerate(columns):
            laid_out = half @ column
            low[:, r, c] = np.minimum(laid_out, 0).sum(axis=(1, 2, 3))
            high[:, r, c] = np.maximum(laid_out, 0).sum(axis=(1, 2, 3))
    where = np.ix_(np.arange(len(weight)), row_of, column_of)
    return low[where], high[where]


def _kernels(linear: LinearMap, source: Shape, axis: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The different matrices (taps, source positions from the first one reached) along an axis, and whose each is."""
    size, into = source[1 + axis], np.eye(source[1 + axis])
    for pool in linear.pre:
        matrix = _pool_matrix(pool, len(into), axis)
        into = matrix @ into
    taps, stride, pad = linear.weight.shape[2 + axis], linear.stride[axis], linear.pad[axis]
    padded = np.pad(into, ((pad, pad), (0, 0)))
    count = (len(padded) - taps) // stride + 1
    joined = np.stack([padded[tap : tap + stride * (count - 1) + 1 : stride] for tap in range(taps)], axis=1)
    for pool in linear.post:
        joined = np.tensordot(_pool_matrix(pool, len(joined), axis), joined, axes=1)
    reached: np.ndarray = (joined != 0).any(axis=1)
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), 0)
    width = max(int((size - reached[:, ::-1].argmax(axis=1) - first)[reached.any(axis=1)].max(initial=1)), 1)
    wide = np.pad(joined, ((0, 0), (0, 0), (0, width)))
    moved = np.stack([matrix[:, at : at + width] for matrix, at in zip(wide, first, strict=True)])
    kinds, which = np.unique(moved, axis=0, return_inverse=True)
    return list(kinds), which.reshape(-1)


def _pool_matrix(pool: Pool, size: int, axis: int) -> np.ndarray:
    """(outputs, inputs): 1 where a window holds an input."""
    kernel, stride, pad = pool.kernel[axis], pool.stride[axis], pool.pad[axis]
    starts = np.arange((size + 2 * pad - kernel) // stride + 1)[:, None] * stride - pad
    positions = np.arange(size)[None, :]
    return ((positions >= starts) & (positions < starts + kernel)).astype(np.float64)
