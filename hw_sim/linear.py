"""Applies linear maps in NumPy, exactly: the accumulation of the simulator and the host stage, and fan-out maps.

Sums of int8 weights over binary spikes stay far below 2**53, so a float64 matrix product is exact for integers; the
same code serves the real-valued host stage in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from snnas.hw_sim.program import LinearMap, Pool, Shape

CELLS = 1 << 22  # what a sparse map gathers at once: 32 MiB
# A convolution's columns at once: what a cache holds, and enough for a matrix product to reach its speed.
COLUMN_BYTES = 4 << 20
COLUMNS = 1024


def pad_hw(x: np.ndarray, pad: tuple[int, int]) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1]))) if any(pad) else x


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """(B, C, H, W) -> (B, C, H', W', kH, kW), a view."""
    return sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]


def sum_pool(x: np.ndarray, pool: Pool) -> np.ndarray:
    """Sums over windows. x: (B, C, H, W)."""
    return _windows(pad_hw(x, pool.pad), pool.kernel, pool.stride).sum(axis=(4, 5))


def convolve(
    x: np.ndarray, weight: np.ndarray, stride: tuple[int, int], pad: tuple[int, int], groups: int = 1
) -> np.ndarray:
    """Torch's conv2d without bias: x (B, I, H, W), weight (O, I/groups, kH, kW) -> (B, O, H', W')."""
    o, i, kh, kw = weight.shape
    x = pad_hw(x, pad)
    if groups == 1:
        return _by_columns(x, weight, stride)
    windows = _windows(x, (kh, kw), stride)
    b, _, h, w = windows.shape[:4]
    grouped = windows.reshape(b, groups, i, h, w, kh, kw)
    kernels = weight.reshape(groups, o // groups, i, kh, kw)
    return np.einsum("bgihwkl,goikl->bgohw", grouped, kernels, optimize=True).reshape(b, o, h, w)


def _by_columns(x: np.ndarray, weight: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """``convolve`` of padded x in one group: a matrix product over a few samples' windows at a time.

    Rows are copied whole. Against all windows at once, 64 samples in float64: 16 channels of 32 x 32 take 19 ms and not
    49, 64 channels 186 and not 407, 512 channels of 4 x 4 128 and not 116.
    """
    o, i, kh, kw = weight.shape
    b, _, *size = x.shape
    if size[0] < kh or size[1] < kw:
        raise ValueError(f"a kernel of {kh} x {kw} on a padded map of {size[0]} x {size[1]}, expected one that fits")
    h, w = ((n - k) // step + 1 for n, k, step in zip(size, (kh, kw), stride, strict=True))
    kernels = weight.reshape(o, -1)
    together = max(1, -(-COLUMNS // (h * w)), COLUMN_BYTES // (kernels.shape[1] * h * w * x.itemsize))
    out = np.empty((b, o, h, w), np.result_type(x, weight))
    for first in range(0, b, together):
        part = x[first : first + together].transpose(1, 0, 2, 3)
        columns = np.empty((i, kh, kw, part.shape[1], h, w), x.dtype)
        for at, to in np.ndindex(kh, kw):
            columns[:, at, to] = part[:, :, at : at + stride[0] * h : stride[0], to : to + stride[1] * w : stride[1]]
        product = kernels @ columns.reshape(kernels.shape[1], -1)
        out[first : first + together] = product.reshape(o, -1, h, w).transpose(1, 0, 2, 3)
    return out


def apply(linear: LinearMap, x: np.ndarray, out_shape: Shape) -> np.ndarray:
    """The map on a batch, in float64. x: (B, C, H, W) of any real type -> (B, *out_shape)."""
    x = x.astype(np.float64, copy=False)
    for pool in linear.pre:
        x = sum_pool(x, pool)
    weight = linear.weight.astype(np.float64)
    if linear.kind in ("conv", "pooled_conv"):
        x = convolve(x, weight, linear.stride, linear.pad, linear.groups)
        for pool in linear.post:
            x = sum_pool(x, pool)
    elif linear.kind == "dense":
        x = x.reshape(len(x), -1) @ weight.T
    else:
        x = _sparse_rows(linear, weight, x.reshape(len(x), -1))
    return x.reshape(len(x), *out_shape)


def _sparse_rows(linear: LinearMap, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    assert linear.indices is not None
    assert linear.indptr is not None
    out = np.zeros((len(x), linear.indptr.size - 1))
    filled = np.flatnonzero(np.diff(linear.indptr))
    if filled.size:
        together = max(1, CELLS // weight.size)
        for first in range(0, len(x), together):
            brought = x[first : first + together, linear.indices] * weight
            out[first : first + together, filled] = np.add.reduceat(brought, linear.indptr[filled], axis=1)
    return out


def fan_out(linear: LinearMap, shape: Shape) -> np.ndarray:
    """How many synapses one spike of each source neuron reaches, (C, H, W) int64: edge-aware, zero weights included.

    Of a ``pooled_conv`` it counts the connections of the expanded matrix, which is what a chip would hold.
    """
    if linear.kind == "dense":
        return np.full(shape, linear.weight.shape[0], dtype=np.int64)
    if linear.kind == "sparse":
        assert linear.indices is not None
        return np.bincount(linear.indices, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)
    o = linear.weight.shape[0]
    rows = support(linear, shape, axis=0).sum(axis=0)
    columns = support(linear, shape, axis=1).sum(axis=0)
    return np.broadcast_to((o // linear.groups) * rows[:, None] * columns[None, :], shape).astype(np.int64)


def factors(linear: LinearMap, axis: int) -> list[tuple[int, int, int]]:
    """(kernel, stride, pad) of the pools and the convolution along a spatial axis, in the order they act."""
    conv = (linear.weight.shape[2 + axis], linear.stride[axis], linear.pad[axis])
    pre, post = ([(p.kernel[axis], p.stride[axis], p.pad[axis]) for p in pools] for pools in (linear.pre, linear.post))
    return [*pre, conv, *post]


def support(linear: LinearMap, shape: Shape, axis: int) -> np.ndarray:
    """(outputs, inputs) bool along a spatial axis: which positions are joined. A convolution's support is separable."""
    touches: np.ndarray = np.eye(shape[1 + axis], dtype=bool)
    for kernel, stride, pad in factors(linear, axis):
        padded = np.pad(touches, ((pad, pad), (0, 0)))
        touches = np.asarray(sliding_window_view(padded, kernel, axis=0)[::stride].any(axis=2))
    return touches
