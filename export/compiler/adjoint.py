"""Linear maps backwards: what each target's weights are on the sources, in time and memory of what comes out.

Multiplying a map out by running it on the identity takes the square of its sources: a pool over 200 x 200 neurons,
25 GB for a matrix of 16 MB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snnas.hw_sim.entries import Entries, added
from snnas.hw_sim.linear import factors
from snnas.hw_sim.program import LinearMap, Pool, Shape

ROWS = 64  # of targets at a time


def spread_pool(y: np.ndarray, pool: Pool, size: tuple[int, int]) -> np.ndarray:
    """The adjoint of ``linear.sum_pool``: (B, C, H', W') -> (B, C, *size), each value at every place of its window."""
    return _scatter(y, pool.kernel, pool.stride, pool.pad, size, lambda y, _row, _column: y)


def _scatter(
    y: np.ndarray,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    pad: tuple[int, int],
    size: tuple[int, ...],
    through: Callable[[np.ndarray, int, int], np.ndarray],
    channels: int | None = None,
) -> np.ndarray:
    """(B, C', H', W') -> (B, C, *size): for each place of the kernel what it brings, added where the window sees it."""
    (height, width), (top, left) = size, pad
    rows, columns = y.shape[2:]
    out = np.zeros((len(y), channels or y.shape[1], height + 2 * top, width + 2 * left))
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            down = slice(row, row + (rows - 1) * stride[0] + 1, stride[0])
            right = slice(column, column + (columns - 1) * stride[1] + 1, stride[1])
            out[:, :, down, right] += through(y, row, column)
    return out[:, :, top : top + height, left : left + width]


def matrix_of(linear: LinearMap, source: Shape, target: Shape) -> np.ndarray:
    """The map as a matrix (targets, sources), float64."""
    if linear.kind == "dense":
        return linear.weight
    columns, rows = int(np.prod(source)), int(np.prod(target))
    matrix = np.zeros((rows, columns))
    if linear.kind == "sparse":
        assert linear.indices is not None
        assert linear.indptr is not None
        np.add.at(matrix, (np.repeat(np.arange(rows), np.diff(linear.indptr)), linear.indices), linear.weight)
        return matrix
    for first in range(0, rows, ROWS):
        units = np.eye(min(ROWS, rows - first), rows, first).reshape(-1, *target)
        matrix[first : first + ROWS] = _backwards(linear, units, source).reshape(len(units), -1)
    return matrix


def entries_of(linear: LinearMap, source: Shape, target: Shape) -> Entries:
    """The map as the entries of a matrix (targets, sources), float64; nothing is as large as that matrix.

    Targets whose windows share no source are sent backwards together: what arrives at a source is its weight for the
    one target that sees it.
    """
    shape = int(np.prod(target)), int(np.prod(source))
    if linear.kind == "sparse":
        assert linear.indices is not None
        assert linear.indptr is not None
        rows = np.repeat(np.arange(shape[0]), np.diff(linear.indptr))
        return added(rows, linear.indices, linear.weight, shape)
    if linear.kind == "dense":
        rows, columns = np.nonzero(linear.weight)
        return added(rows, columns, linear.weight[rows, columns], shape)
    windows = [_window(linear, axis) for axis in (0, 1)]
    apart = [-(-size // jump) for size, jump, _ in windows]
    groups, out = linear.groups, linear.weight.shape[0] // linear.groups
    into = np.arange(source[0]) // (source[0] // groups)  # the group of each channel of the source
    found = []
    for first in np.ndindex(out, *np.minimum(apart, target[1:])):
        units = np.zeros((1, *target))
        units[0, first[0] :: out, first[1] :: apart[0], first[2] :: apart[1]] = 1
        at = np.nonzero(brought := _backwards(linear, units, source)[0])
        rows, columns = (_seen_by(at[1 + axis], windows[axis], first[1 + axis], apart[axis]) for axis in (0, 1))
        channels = into[at[0]] * out + first[0]
        found.append(
            (np.ravel_multi_index((channels, rows, columns), target), np.ravel_multi_index(at, source), brought[at])
        )
    rows, columns, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return added(rows, columns, values, shape)


def _window(linear: LinearMap, axis: int) -> tuple[int, int, int]:
    """(size, stride, pad) of the window of sources that a target sees."""
    size, jump, before = 1, 1, 0
    for kernel, stride, pad in factors(linear, axis):
        size, before, jump = size + (kernel - 1) * jump, before + pad * jump, jump * stride
    return size, jump, before


def _seen_by(at: np.ndarray, window: tuple[int, int, int], first: int, apart: int) -> np.ndarray:
    """Which of the targets ``first``, ``first + apart`` ... has a source in its window."""
    _, jump, pad = window
    last = (at + pad) // jump  # the last target whose window has begun
    return np.asarray(last - (last - first) % apart)


def _backwards(linear: LinearMap, y: np.ndarray, source: Shape) -> np.ndarray:
    """The adjoint of a convolution between its pools. y: (B, *target), float64."""
    weight = linear.weight.astype(np.float64)
    seen = [source]
    for pool in linear.pre:
        seen.append(pool.out_shape(seen[-1]))
    inside = seen[-1]
    behind = [LinearMap(kind="conv", weight=weight, stride=linear.stride, pad=linear.pad, groups=linear.groups)]
    shapes = [behind[0].out_shape(inside)]
    for pool in linear.post:
        shapes.append(pool.out_shape(shapes[-1]))
    for pool, shape in zip(reversed(linear.post), reversed(shapes[:-1]), strict=True):
        y = spread_pool(y, pool, shape[1:])
    groups, (o, i) = linear.groups, weight.shape[:2]
    kernels = weight.reshape(groups, o // groups, i, *weight.shape[2:])

    def through(y: np.ndarray, row: int, column: int) -> np.ndarray:
        parts = y.reshape(len(y), groups, o // groups, *y.shape[2:])
        brought = np.einsum("bgohw,goi->bgihw", parts, kernels[..., row, column], optimize=True)
        return np.asarray(brought).reshape(len(y), groups * i, *y.shape[2:])

    y = _scatter(y, weight.shape[2:], linear.stride, linear.pad, inside[1:], through, channels=groups * i)
    for pool, shape in zip(reversed(linear.pre), reversed(seen[:-1]), strict=True):
        y = spread_pool(y, pool, shape[1:])
    return y
