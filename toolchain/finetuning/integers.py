"""Numbers that are trained as reals and used as integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# A start keeps this much to the edge of what is rounded to its integer, so that float32 rounds it there too.
EDGE = 0.49


class Integers(nn.Module):
    """``round-half-even(shadow * unit)`` within [low, high]; gradients pass the rounding as if it were not there.

    start: the integers to begin with. real: what they were rounded from, in the same units; the shadow begins at what
    of it ``start`` still allows. unit: what an optimiser's step of 1 changes; by default the reals' root mean square,
    so that one learning rate suits all.
    """

    unit: Tensor

    def __init__(
        self, start: np.ndarray, real: np.ndarray | None, low: int, high: int, unit: float | None = None
    ) -> None:
        super().__init__()
        begun = start.astype(np.float64)
        if real is not None:
            begun = begun + (real - begun).clip(-EDGE, EDGE)
        self.low, self.high = low, high
        scale = unit or float(np.sqrt(np.mean(np.square(begun)))) or 1.0
        self.register_buffer("unit", torch.tensor(scale, dtype=torch.float32))
        self.shadow = nn.Parameter(torch.tensor(begun / scale, dtype=torch.float32))

    def forward(self) -> Tensor:
        """Return the integers, float32, in the shape of ``start``."""
        return rounded(self.shadow * self.unit, self.low, self.high)

    @torch.no_grad()
    def clamp(self) -> None:
        """Put shadows that have left the range at its end, from where the next step can bring them back."""
        self.shadow.clamp_(self.low / float(self.unit), self.high / float(self.unit))

    @torch.no_grad()
    def numbers(self) -> np.ndarray:
        """Return the integers, int64."""
        return self().cpu().numpy().astype(np.int64)


class _Rounded(torch.autograd.Function):
    """Straight through (Bengio et al. 2013, section 4): what is rounded or clipped still learns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        return torch.round(x).clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0], None, None


def rounded(x: Tensor, low: int, high: int) -> Tensor:
    out: Tensor = _Rounded.apply(x, low, high)  # type: ignore[no-untyped-call]
    return out
