"""A synapse of a program with a gradient: integer weights, real shadows."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snnas.hw_sim.kernels import STATE_SHIFT
from snnas.hw_sim.program import LinearMap, Shape, Synapse
from snnas.hw_sim.simulate.torch_maps import sum_pool, unfolded_conv
from snnas.toolchain.finetuning.integers import Integers


class SynapseMap(nn.Module):
    """The map of one synapse, in 1/64 of a weight unit.

    real: float64 weights in integer units, before rounding; None where only integers are known. allowed: what a weight
    may be. trained: False leaves the integers as they are.
    """

    def __init__(
        self, s: Synapse, target: Shape, real: np.ndarray | None, allowed: tuple[int, int], *, trained: bool
    ) -> None:
        super().__init__()
        self.synapse, self.target, self.gain = s, target, 1 << (STATE_SHIFT + s.exponent)
        self.weights = Integers(s.map.weight, real, *allowed)
        self.weights.requires_grad_(trained)
        linear = s.map
        if linear.kind == "sparse":
            assert linear.indptr is not None
            assert linear.indices is not None
            rows = np.repeat(np.arange(len(linear.indptr) - 1), np.diff(linear.indptr))
            self.register_buffer("places", torch.from_numpy(np.stack([rows, linear.indices]).astype(np.int64)))

    places: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 0/1 (n, C, H, W) -> (n, *target), exact below 2**24 units."""
        linear, weight = self.synapse.map, self.weights() * self.gain
        if linear.kind == "dense":
            return functional.linear(x.flatten(1), weight).reshape(len(x), *self.target)
        if linear.kind == "sparse":
            size = (int(np.prod(self.target)), x[0].numel())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # sparse tensors are called a beta state
                matrix = torch.sparse_coo_tensor(self.places, weight, size)
                return torch.sparse.mm(matrix, x.flatten(1).t()).t().reshape(len(x), *self.target)
        for pool in linear.pre:
            x = sum_pool(x, pool)
        if x.is_cuda and not self.training:  # cuDNN may multiply by fractions
            x = unfolded_conv(x, weight, linear)
        else:
            x = functional.conv2d(x, weight, None, linear.stride, linear.pad, 1, linear.groups)
        for pool in linear.post:
            x = sum_pool(x, pool)
        return x

    @torch.no_grad()
    def shrink(self, factors: np.ndarray) -> None:
        """Make the weights into every target neuron smaller by its factor (C, H, W), <= 1; a kernel by its least."""
        linear, shadow = self.synapse.map, self.weights.shadow
        if linear.kind == "sparse":
            by_weight = factors.reshape(-1)[self.places[0].cpu().numpy()]
        elif linear.kind == "dense":
            by_weight = factors.reshape(-1, 1)
        else:
            by_weight = factors.min(axis=(1, 2)).reshape(-1, 1, 1, 1)
        shadow.mul_(torch.from_numpy(by_weight).to(shadow))

    def numbers(self) -> LinearMap:
        """The map as a program holds it."""
        return replace(self.synapse.map, weight=self.weights.numbers().astype(np.int8))
