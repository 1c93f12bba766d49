"""Linear maps backwards: what each target's weights are on the sources, in time and memory of what comes out.

Multiplying a map out by running it on the identity takes the square of its sources: a pool over 200 x 200 neurons,
25 GB for a matrix of 16 MB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
