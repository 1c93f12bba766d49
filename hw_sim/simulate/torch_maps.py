"""A program's synapses in torch: exact sums, in the narrowest arithmetic that is proven to hold them.

Neurons lie in (H, W, C) order here, so that folded spikes are what torch calls channels_last and nothing is reordered
between layers. Every sum is one of integers: where the weights prove ``sum |w| < 2**24``, float32 holds it in any
order of summation; CPUs with VNNI take int8 with int32 sums (oneDNN), measured 3.4 times as fast; else float64. On a
GPU convolutions are matrix products of unfolded windows in float32 without TF32: cuDNN's Winograd kernels multiply by
fractions and would not be exact.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.kernels import STATE_SHIFT
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import LinearMap, Pool, Shape

if TYPE_CHECKING:
    from torch import Tensor

FLOAT32_EXACT = 1 << 24


def hwc(shape: Shape) -> np.ndarray:
    """The C-order (C, H, W) index of each neuron in (H, W, C) order."""
    return np.arange(int(np.prod(shape))).reshape(shape).transpose(1, 2, 0).ravel()


def int8_is_exact(device: str) -> bool:
    """Whether int8 products are summed in int32 by one instruction; without it, pairs saturate in int16."""
    import torch

    probe = getattr(torch.cpu, "_is_vnni_supported", None)
    return device == "cpu" and probe is not None and bool(probe())


class TorchMap:
    """A linear map onto ``target`` times ``64 << exponent``, so that its sums are in 1/64 of a weight unit.

    bound: the largest ``sum |w| << exponent`` over the target's neurons, which bounds every partial sum.
    """

    def __init__(self, linear: LinearMap, source: Shape, target: Shape, exponent: int, device: str) -> None:
        self.linear, self.source, self.target, self.device = linear, source, target, device
        self.gain = 1 << (STATE_SHIFT + exponent)
        magnitude = replace(linear, weight=np.abs(linear.weight.astype(np.float64)))
        unscaled = int(apply(magnitude, np.ones((1, *source)), target).max(initial=0))
        if linear.post:  # sums that no window reads are bounded too
            whole = replace(magnitude, post=())
            unscaled = max(unscaled, int(apply(whole, np.ones((1, *source)), whole.out_shape(source)).max()))
        self.bound = unscaled << exponent
        self._weights: dict[Any, Tensor] = {}
        self._packed: Tensor | None = None
        self._scales: tuple[Tensor, Tensor] | None = None
        counts = int(np.prod([n for pool in linear.pre for n in pool.kernel]))  # one source value after pooling
        if unscaled < FLOAT32_EXACT and int8_is_exact(device) and counts <= 255:
            self._packed = self._pack()

    @property
    def biased(self) -> bool:
        """Whether ``__call__`` can add one number per channel at no cost."""
        return self._packed is not None and self.linear.kind in ("conv", "pooled_conv") and not self.linear.post

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x: uint8 0/1 (n, H, W, C) -> float32 (n, N), exact where ``bound < 2**24``. bias: (C), where ``biased``."""
        import torch

        if self._packed is None:
            return self.wide(x, torch.float32)
        n = len(x)
        if self.linear.kind == "dense":
            out = torch._int_mm(x.reshape(n, -1).view(torch.int8), self._packed)  # pyright: ignore[reportPrivateImportUsage]
            return out.to(torch.float32).mul_(self.gain)
        for pool in self.linear.pre:
            x = _count(x, pool)
        return self._flat(self._int8_conv(x.permute(0, 3, 1, 2), bias))

    def wide(self, x: Tensor, dtype: Any) -> Tensor:
        """The same in ``dtype``, float32 or float64."""
        from torch.nn import functional

        n, linear = len(x), self.linear
        weight = self._weight(dtype)
        if linear.kind == "dense":
            return functional.linear(x.reshape(n, -1).to(dtype), weight)
        if linear.kind == "sparse":
            return (weight @ x.reshape(n, -1).to(dtype).t()).t().contiguous()
        y = x.permute(0, 3, 1, 2).to(dtype)
        for pool in linear.pre:
            y = sum_pool(y, pool)
        if self.device == "cpu":
            y = functional.conv2d(y, weight, None, linear.stride, linear.pad, 1, linear.groups)
        else:
            y = unfolded_conv(y, weight, linear)
        return self._flat(y)

    def _flat(self, y: Tensor) -> Tensor:
        for pool in self.linear.post:
            y = sum_pool(y, pool)
        return y.permute(0, 2, 3, 1).reshape(len(y), -1)

    def _weight(self, dtype: Any) -> Tensor:
        """The weights times the gain, with neurons in (H, W, C) order, in ``dtype``; kept once made."""
        import torch

        if dtype not in self._weights:
            linear = self.linear
            if linear.kind == "sparse":
                made = self._csr(dtype)
            elif linear.kind == "dense":
                made = torch.from_numpy(linear.weight[hwc(self.target)][:, hwc(self.source)]).to(dtype) * self.gain
            else:
                made = torch.from_numpy(linear.weight).to(dtype) * self.gain
                made = made.contiguous(memory_format=torch.channels_last)
            self._weights[dtype] = made.to(self.device)
        return self._weights[dtype]

    def _csr(self, dtype: Any) -> Tensor:
        import torch

        linear = self.linear
        assert linear.indices is not None
        assert linear.indptr is not None
        rows = np.repeat(np.argsort(hwc(self.target)), np.diff(linear.indptr))
        columns = np.argsort(hwc(self.source))[linear.indices]
        order = np.lexsort((columns, rows))
        size = (len(linear.indptr) - 1, int(np.prod(self.source)))
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size[0]))])
        values = torch.from_numpy(linear.weight[order]).to(dtype) * self.gain
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # CSR is called a beta state once per process
            return torch.sparse_csr_tensor(
                torch.from_numpy(starts), torch.from_numpy(columns[order].astype(np.int64)), values, size=size
            )

    def _pack(self) -> Tensor | None:
        """The weights as oneDNN's int8 kernels take them; None where this build of torch has none that agree."""
        import torch

        linear, ops = self.linear, torch.ops.onednn
        try:
            if linear.kind == "dense":
                weight = linear.weight[hwc(self.target)][:, hwc(self.source)]
                packed = torch.from_numpy(np.ascontiguousarray(weight.T))
            elif linear.kind == "sparse":
                return None
            else:
                ones = torch.ones(len(linear.weight))
                geometry = (list(linear.stride), list(linear.pad), [1, 1], linear.groups)
                packed = ops.qconv_prepack(torch.from_numpy(linear.weight), ones, 1.0, 0, *geometry, None)
            self._packed = packed
            generator = torch.Generator().manual_seed(0)
            c, h, w = self.source
            probe = torch.randint(0, 2, (2, h, w, c), generator=generator, dtype=torch.uint8)
            agrees = torch.equal(self(probe), self.wide(probe, torch.float32))
            self._weights.clear()
            return packed if agrees else None
        except (RuntimeError, AttributeError, TypeError, ValueError):  # no such kernel, or another signature
            return None

    def _int8_conv(self, x: Tensor, bias: Tensor | None) -> Tensor:
        import torch

        linear, channels = self.linear, len(self.linear.weight)
        if self._scales is None:
            self._scales = torch.full((channels,), float(self.gain)), torch.zeros(channels, dtype=torch.int32)
        geometry = (list(linear.stride), list(linear.pad), [1, 1], linear.groups)
        out: tuple[Any, ...] = (1.0, 0, torch.float32, "none", [], None)
        return torch.ops.onednn.qconv2d_pointwise(x, 1.0, 0, self._packed, *self._scales, bias, *geometry, *out)


def _count(x: Tensor, pool: Pool) -> Tensor:
    """Sums over windows of a uint8 (n, H, W, C)."""
    return _windows(x, pool, lambda total, part: total.add_(part))


def any_pool(x: Tensor, pool: Pool) -> Tensor:
    """Whether any of a window's spikes is there: uint8 0/1 (n, H, W, C)."""
    return _windows(x, pool, lambda total, part: total.bitwise_or_(part))


def _windows(x: Tensor, pool: Pool, merge: Callable[[Tensor, Tensor], object]) -> Tensor:
    """Merges the rows of each window, then its columns: k + k passes instead of k * k."""
    from torch.nn import functional

    if any(pool.pad):
        x = functional.pad(x, (0, 0, pool.pad[1], pool.pad[1], pool.pad[0], pool.pad[0]))
    for axis, kernel, stride in zip((1, 2), pool.kernel, pool.stride, strict=True):
        last = (x.shape[axis] - kernel) // stride * stride
        parts = [x[(slice(None),) * axis + (slice(k, k + last + 1, stride),)] for k in range(kernel)]
        x = parts[0].clone()
        for part in parts[1:]:
            merge(x, part)
    return x.contiguous()


def sum_pool(y: Tensor, pool: Pool) -> Tensor:
    """Sums over windows of (n, C, H, W). (torch's pooling takes no padding beyond half a window.)"""
    from torch.nn import functional

    if any(pool.pad):
        y = functional.pad(y, (pool.pad[1], pool.pad[1], pool.pad[0], pool.pad[0]))
    return functional.avg_pool2d(y, pool.kernel, pool.stride, divisor_override=1)


def unfolded_conv(x: Tensor, weight: Tensor, linear: LinearMap) -> Tensor:
    """conv2d as one matrix product per group, x (n, I, H, W)."""
    from torch.nn import functional

    o, i, kh, kw = weight.shape
    n, _, h, _ = x.shape
    columns = functional.unfold(x, (kh, kw), padding=linear.pad, stride=linear.stride)
    columns = columns.reshape(n, linear.groups, i * kh * kw, -1)
    kernels = weight.reshape(linear.groups, o // linear.groups, i * kh * kw)
    rows = (h + 2 * linear.pad[0] - kh) // linear.stride[0] + 1
    return (kernels @ columns).reshape(n, o, rows, -1)
