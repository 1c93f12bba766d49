"""Muon: the momentum of a convolution's weights, made orthogonal before it is applied (Jordan et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# The quintic iteration that drives singular values towards 1 (Jordan 2024), and how often it is applied.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# The root mean square of an AdamW update: one learning rate then serves both (Liu et al. 2025, section 2.2).
SIZE = 0.2


class Muon(torch.optim.AdamW):
    """Muon for weights of four axes (O, I, kh, kw), as matrices (O, I kh kw); AdamW for all others.

    The classifier's linears stay with AdamW, as in the published recipes: their matrices would cost more than a step.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; gradients of the convolutions are gone afterwards."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 4 or p.grad is None:
                    continue
                if not self.state[p]:  # AdamW reads "step" of every state that it is given back
                    self.state[p] = {"step": torch.zeros(()), "momentum": torch.zeros_like(p)}
                kept = self.state[p]["momentum"]
                kept.mul_(self.momentum).add_(p.grad)
                ahead = p.grad.add(kept, alpha=self.momentum)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(
                    orthogonal(ahead.flatten(1)).view_as(p) * (group["lr"] * SIZE * max(len(p), p[0].numel()) ** 0.5)
                )
                p.grad = None  # AdamW passes over it
        return super().step(closure)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return U V^T of the matrix's U S V^T, nearly: singular values between .7 and 1.2."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
