"""Arithmetic on candidates that are folded into the batch axis, each result equal to that of one candidate alone.

On a CPU equal means bit for bit with torch's own kernels and spikingjelly's LIF (torch 2.13, AVX2 and AVX512): a sum in
another order moves a current by one unit in the last place, and now and then a neuron across its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from snnas.search.network.lif import divisor
from snnas.search.scoring.proxies import EXACT_IN_FLOAT32


def normalise(currents: Tensor, gain: Tensor, shift: Tensor, eps: float) -> list[Tensor]:
    """Return BN of ``currents`` (R, N, C, H, W) with the statistics of each row, as R tensors (N, C, H, W).

    gain, shift: (C,). As torch does it on a CPU: float32 differences from a float32 mean, float64 sums, one rounding
    each of variance, scale and offset, and a fused multiply-add; in less than half of the time.
    """
    count = currents.shape[1] * currents.shape[3] * currents.shape[4]
    # In two stages: faster than one sum over three axes.
    mean = (currents.sum((3, 4), dtype=torch.float64).sum(1) / count).float()
    square = currents - mean[:, None, :, None, None]
    variance = square.mul_(square).sum((3, 4), dtype=torch.float64).sum(1).float().double() / count
    scale = (1 / (variance + eps).sqrt()).float() * gain
    offset = (shift.double() - mean.double() * scale.double()).float()
    if currents.is_cuda:
        return list(torch.addcmul(offset[:, None, :, None, None], currents, scale[:, None, :, None, None]))
    # The same sum, but addcmul is scalar where two operands are broadcast: BN in eval mode is 3 times faster.
    zero, one = torch.zeros_like(gain), torch.ones_like(gain)
    rows = zip(currents, scale, offset, strict=True)
    return [functional.batch_norm(row, zero, one, a, b, False, eps=0.0) for row, a, b in rows]


def fire(currents: Tensor, state: Tensor | None, tau: float, threshold: float) -> tuple[Tensor, Tensor]:
    """Return spikes (R, T, ...) and the last voltage (R, ...) of LIFs driven by ``currents`` (R, T, ...).

    v <- v + (x - v)/tau, spike where v >= threshold, reset to 0; state: the voltage before, None at rest.
    """
    spikes = torch.empty(currents.shape, dtype=currents.dtype, device=currents.device)
    share = divisor(tau, currents)
    for step, current in enumerate(currents.unbind(1)):
        voltage = current / share if state is None else torch.sub(current, state).div_(share).add_(state)
        torch.ge(voltage, threshold, out=spikes[:, step])
        # v - v s is v or 0 exactly.
        state = voltage.addcmul_(voltage, spikes[:, step], value=-1)
    assert state is not None
    return spikes, state


def max_pool(spikes: Tensor, window: tuple[int, int] = (2, 2)) -> Tensor:
    """Return the maximum of (..., H, W) in windows of 1 or 2 a side, an odd last row or column left out.

    9 times faster than max_pool2d.
    """
    height, width = spikes.shape[-2] // 2 * 2, spikes.shape[-1] // 2 * 2
    if window[0] == 2:
        spikes = torch.maximum(spikes[..., 0:height:2, :], spikes[..., 1:height:2, :])
    return torch.maximum(spikes[..., 0:width:2], spikes[..., 1:width:2]) if window[1] == 2 else spikes


def common_spikes(spikes: Tensor) -> Tensor:
    """Return how many neurons fire for both of two samples: (R, T, B, B), exact, of spikes (R, T, B, ...)."""
    codes = spikes.flatten(3).flatten(0, 1)
    if codes.shape[2] >= EXACT_IN_FLOAT32:
        codes = codes.double()
    return torch.bmm(codes, codes.transpose(1, 2)).reshape(*spikes.shape[:3], spikes.shape[2])


def kernels(common: Tensor, neurons: int) -> Tensor:
    """Return the SAHD kernels (R, T, B, B), float64, behind ``common_spikes``; as ``proxies.sahd_kernel``."""
    common = common.double()
    count = common.diagonal(dim1=-2, dim2=-1)
    hamming = count[..., :, None] + count[..., None, :] - 2 * common
    rate = count / neurons
    one, other = rate[..., :, None], rate[..., None, :]
    expected = neurons * (one * (1 - other) + (1 - one) * other)
    return neurons - (neurons / 2) * hamming / torch.where(expected > 0, expected, 1.0)


def log_determinants(matrices: Tensor) -> list[float]:
    """Return log |det| of symmetric ``matrices`` (S, B, B), float64 on the host; -inf where singular up to rounding."""
    signs, logs = torch.linalg.slogdet(matrices)
    singular = torch.linalg.svdvals(matrices)
    floor = singular[:, 0] * matrices.shape[1] * torch.finfo(matrices.dtype).eps
    full = (signs != 0) & (singular[:, -1] > floor)
    return torch.where(full, logs, -torch.inf).tolist()


def stack(rows: Sequence[Tensor]) -> Tensor:
    """Return ``rows`` as one tensor, without a copy where there is only one."""
    return rows[0][None] if len(rows) == 1 else torch.stack(tuple(rows))
