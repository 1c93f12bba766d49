"""Training-free scores. SAHD, the sparsity-aware Hamming distance (SNASNet section 4, LightSNN equations 1 and 2).

c_i is the binary code of sample i at one LIF population and timestep, N its neurons, s_i its mean. Independent codes of
those rates differ in E_ij = N (s_i (1 - s_j) + (1 - s_i) s_j) places; the distance is rescaled so that this is N / 2:

    d_ij = (N / 2) H_ij / E_ij        K = sum over populations and timesteps of (N - d)        score = log |det K|

Everything is float64 and starts from the exact integers H: N - d rounded to float32 loses the signal at N = 2^18.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# float32 holds every integer up to here, so a product of 0/1 matrices with fewer columns is exact in it.
EXACT_IN_FLOAT32 = 2**24


@dataclass(frozen=True, slots=True)
class Score:
    """A score and what it rests on. ``value`` may be -inf (singular kernel); ``firing`` is spikes / (neurons x T)."""

    value: float
    firing: Mapping[str, float]

    @property
    def silent_layers(self) -> int:
        """How many LIF populations fire nothing on the batch: they carry no information."""
        return sum(rate == 0 for rate in self.firing.values())


def sahd(spikes: Mapping[str, Tensor]) -> Score:
    """Return the SAHD score of one batch; ``spikes``: {LIF name: 0/1 tensor (T, B, ...)}, B >= 2 equal in all.

    Two equal samples, or a network without a single spike, make the kernel singular: -inf.
    """
    kernel = torch.stack([sahd_kernel(train) for train in spikes.values()]).sum(0)
    sign, log_det = torch.linalg.slogdet(kernel)
    value = float(log_det) if float(sign) != 0 and _full_rank(kernel) else -math.inf
    return Score(value, {name: float(train.mean(dtype=torch.float64)) for name, train in spikes.items()})


def sahd_kernel(spikes: Tensor) -> Tensor:
    """Return the kernel (B, B), float64, of one LIF population, summed over its timesteps; spikes: 0/1 (T, B, ...)."""
    codes = spikes.flatten(2)
    neurons = codes.shape[2]
    if neurons >= EXACT_IN_FLOAT32:
        codes = codes.double()
    # H = |c_i| + |c_j| - 2 c_i . c_j: one matrix product per timestep, every entry an exact integer.
    common = (codes @ codes.transpose(1, 2)).double()
    count = common.diagonal(dim1=1, dim2=2)
    hamming = count[:, :, None] + count[:, None, :] - 2 * common
    rate = count / neurons
    expected = neurons * (rate[:, :, None] * (1 - rate[:, None, :]) + (1 - rate[:, :, None]) * rate[:, None, :])
    # E = 0 only where both codes are all 0 or both all 1: equal codes, distance 0.
    distance = (neurons / 2) * hamming / torch.where(expected > 0, expected, 1.0)
    return (neurons - distance).sum(0)


def _full_rank(kernel: Tensor) -> bool:
    """Tell a kernel from one that is singular up to rounding, whose log-determinant would be noise."""
    singular = torch.linalg.svdvals(kernel)
    return bool(singular[-1] > singular[0] * len(kernel) * torch.finfo(kernel.dtype).eps)
