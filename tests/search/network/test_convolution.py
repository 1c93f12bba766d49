"""A convolution of small maps side by side is the convolution of each, value and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from snnas.search.network.convolution import Convolution

# Batch, channels in and out, extents, kernel, dilation: batches that fill no grid, signals, wide kernels.
CASES = {
    "4x4": (5, 64, 64, (4, 4), (3, 3), 1),
    "8x8": (7, 64, 96, (8, 8), (3, 3), 1),
    "one image": (1, 64, 64, (4, 4), (3, 3), 1),
    "7x3, 5x5": (33, 64, 64, (7, 3), (5, 5), 1),
    "dilated": (6, 64, 64, (5, 6), (3, 3), 2),
    "signal": (9, 64, 64, (1, 8), (1, 3), 1),
}


def _made(case: str) -> tuple[Convolution, Tensor, Tensor]:
    """Whole numbers so small that bfloat16 holds every sum."""
    batch, inputs, outputs, extents, kernel, dilation = CASES[case]
    draws = torch.Generator().manual_seed(0)
    pad = [dilation * (size // 2) for size in kernel]
    conv = Convolution(inputs, outputs, kernel, padding=pad, dilation=dilation, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.randint(-1, 2, conv.weight.shape, generator=draws))
    x = (torch.rand(batch, inputs, *extents, generator=draws) < 0.05).float()
    gradient = (torch.rand(batch, outputs, *extents, generator=draws) < 0.05).float()
    return conv, x.contiguous(memory_format=torch.channels_last), gradient


def _run(conv: nn.Conv2d, x: Tensor, gradient: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    conv.zero_grad()
    out = conv(x)
    (out * gradient).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is not None
    return [out.detach().float(), x.grad.clone(), conv.weight.grad.clone()]


@pytest.mark.parametrize("case", CASES)
def test_maps_side_by_side_do_not_touch(case: str) -> None:
    conv, x, gradient = _made(case)
    expected = _run(conv, x, gradient)
    assert not conv._small(x)  # float32: as torch does it
    with torch.autocast("cpu", torch.bfloat16):
        assert conv._small(x)
        found = _run(conv, x, gradient)
    for one, other in zip(found, expected, strict=True):
        assert other.any()
        assert other.abs().max() <= 256
        assert torch.equal(one, other)


def test_what_is_large_or_narrow_goes_to_torch() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert not Convolution(64, 64, 3, padding=1)._small(torch.zeros(2, 64, 9, 4))
        assert not Convolution(32, 64, 3, padding=1)._small(torch.zeros(2, 32, 4, 4))
    with torch.autocast("cpu", torch.float16):
        assert not Convolution(64, 64, 3, padding=1)._small(torch.zeros(2, 64, 4, 4))
