"""Training-free scores from spikes: SAHD and others; all of them higher for better.

SAHD, the sparsity-aware Hamming distance (SNASNet section 4, LightSNN equations 1 and 2).

c_i is the binary code of sample i at one LIF population and timestep, N its neurons, s_i its mean. Independent codes of
those rates differ in E_ij = N (s_i (1 - s_j) + (1 - s_i) s_j) places; the distance is rescaled so that this is N / 2:

    d_ij = (N / 2) H_ij / E_ij        K = sum over populations and timesteps of (N - d)        score = log |det K|

Everything is float64 and starts from the exact integers H: N - d rounded to float32 loses the signal at N = 2^18.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnas.hw_sim.errors import UsageError
from snnas.search.network.genotype import Edge

# Added to the diagonal of kernels of unit diagonal: below it two samples count as equal.
UNIT_RIDGE = 0.01

# A path through a population that is all silent is next to no path; this keeps its logarithm finite.
LEAST_LEVELS = 1e-4

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


def home(values: Sequence[Tensor]) -> list[Tensor]:
    """Return ``values`` as float64 on the host, in one copy: scoring waits for a device here alone, once per call."""
    if not any(value.is_cuda for value in values):
        return [value.double() for value in values]
    flat = torch.cat([value.reshape(-1).double() for value in values]).cpu()
    parts = torch.split(flat, [value.numel() for value in values])
    return [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]


def sahd(spikes: Mapping[str, Tensor], *, reduction: str = "sum") -> Score:
    """Return the SAHD score of one batch; ``spikes``: {LIF name: 0/1 tensor (T, B, ...)}, B >= 2 equal in all.

    reduction: 'sum' over LIFs (the paper's equation) or 'mean' (the released code), which rewards no further LIF. Two
    equal samples, or a network without a single spike, make the kernel singular: -inf.
    """
    kernel = _combined([sahd_kernel(train) for train in spikes.values()], reduction)
    kernel, *rates = home([kernel, *(train.mean(dtype=torch.float64) for train in spikes.values())])
    return Score(_log_det(kernel), {name: float(rate) for name, rate in zip(spikes, rates, strict=True)})


def log_det(kernels: Sequence[Tensor], *, reduction: str = "sum") -> float:
    """Return log |det| of the sum or mean of ``kernels`` (B, B); -inf where it is singular up to rounding."""
    return _log_det(*home([_combined(kernels, reduction)]))


def _combined(kernels: Sequence[Tensor], reduction: str) -> Tensor:
    if reduction not in ("sum", "mean"):
        raise UsageError(f"reduction {reduction!r} of SAHD kernels, expected 'sum' or 'mean'")
    kernel = torch.stack(list(kernels)).sum(0)
    return kernel / len(kernels) if reduction == "mean" else kernel


def _log_det(kernel: Tensor) -> float:
    sign, value = torch.linalg.slogdet(kernel)
    return float(value) if float(sign) != 0 and _full_rank(kernel) else -math.inf


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


def rdm(spikes: Sequence[Tensor]) -> float:
    """Return MSE-NAS's fitness: the sum over pairs of the Hamming distance, mean over LIFs and timesteps.

    It is not divided by the number of neurons, so it favours wide and active layers. spikes: 0/1 (T, B, ...) each.
    """
    total = 0.0
    for train in spikes:
        # A neuron that k of B samples fire differs in 2 k (B - k) ordered pairs.
        fired = train.flatten(2).sum(1, dtype=torch.float64)
        total += float((2 * fired * (train.shape[1] - fired)).sum()) / train.shape[0]
    return total / len(spikes)


def unit_log_det(kernels: Sequence[Tensor]) -> float:
    """Return the log-det of the mean of SAHD kernels, each scaled to unit diagonal first.

    A SAHD kernel grows with the neurons of its layer: the first layers, of the largest maps, drown the others, and the
    diagonal drowns the distances. At unit diagonal every layer has one vote.
    """
    scaled = torch.stack([kernel / kernel.diagonal().mean() for kernel in kernels]).mean(0)
    ridge = UNIT_RIDGE * torch.eye(len(scaled), dtype=scaled.dtype, device=scaled.device)
    return float(torch.linalg.slogdet(scaled + ridge)[1])


def living(spikes: Tensor) -> Tensor:
    """Return the share () of a population's neurons that fire at all on the batch; spikes: 0/1 (T, B, ...)."""
    return spikes.flatten(2).amax((0, 1)).mean(dtype=torch.float64)


def living_share(spikes: Tensor) -> float:
    """Return ``living`` as a number."""
    return float(living(spikes))


def longest_path(lengths: Mapping[Edge, float]) -> float:
    """Return the length of the longest path from node 0 to node 3 along forward edges; -inf where there is none."""
    reached = {0: 0.0}
    for (source, target), length in sorted(lengths.items(), key=lambda item: (item[0][1], item[0][0])):
        reached[target] = max(reached.get(target, -math.inf), reached.get(source, -math.inf) + length)
    return reached.get(3, -math.inf)


def ascending_length(edge: Edge, threshold: float) -> float:
    """Return what a LIF-convolution on ``edge`` adds to a path: low thresholds are worth more first, high ones last.

    1 + .4 (threshold - 1) (late - early): early is 1 where it reads node 0, late where it feeds node 3.
    """
    return 1 + 0.4 * (threshold - 1) * ((edge[1] == 3) - (edge[0] == 0))


@dataclass(frozen=True, slots=True)
class TimeShares:
    """Where the variance of a spike train over samples and timesteps lies: mean over neurons, as in a two-way ANOVA.

    clock: between timesteps, alike for every sample. sample: between samples, alike at every timestep. code: what is
    left, the interaction: spike times that depend on the sample.
    """

    clock: float
    sample: float
    code: float

    @classmethod
    def of(cls, clock: float, sample: float, all: float) -> TimeShares:
        """Return the shares from ``time_moments``."""
        return cls(clock, sample, max(all - clock - sample, 0.0))

    @property
    def code_share(self) -> float:
        """The share of ``code`` in all that varies; 0 where nothing does."""
        total = self.clock + self.sample + self.code
        return self.code / total if total > 0 else 0.0


def time_moments(spikes: Tensor) -> Tensor:
    """Return (3,), float64, of one population: the shares 'clock' and 'sample', and all that varies."""
    train = spikes.flatten(2)
    by_step, by_sample = train.mean(1, dtype=torch.float64), train.mean(0, dtype=torch.float64)
    rate = by_step.mean(0)
    clock, sample = (by_step - rate).square().mean(), (by_sample - rate).square().mean()
    # Spikes are 0 or 1, so their variance is p (1 - p).
    return torch.stack([clock, sample, (rate * (1 - rate)).mean()])


def time_shares(spikes: Tensor) -> TimeShares:
    """Return the shares of one population; spikes: 0/1 (T, B, ...)."""
    return TimeShares.of(*home([time_moments(spikes)])[0].tolist())


def temporal_code(populations: Iterable[TimeShares]) -> float:
    """Return the largest share of sample-dependent spike timing among LIFs; 0 without any.

    A still image holds no time: the first LIF repeats nearly one code T times, one bit per neuron. Only dynamics that
    builds up through LIFs makes the times of spikes depend on the sample, so that T steps tell more than one. It grows
    with the depth that signals really pass, and with thresholds that integrate.
    """
    return max((shares.code_share for shares in populations), default=0.0)


def _full_rank(kernel: Tensor) -> bool:
    """Tell a kernel from one that is singular up to rounding, whose log-determinant would be noise."""
    singular = torch.linalg.svdvals(kernel)
    return bool(singular[-1] > singular[0] * len(kernel) * torch.finfo(kernel.dtype).eps)
