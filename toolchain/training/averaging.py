"""An average of the weights over the last steps: an optimum that a rate too large for it circles around."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Exponential average of a network's trainable weights, in float32, on their device.

    decay: the share that stays per step. Early steps count like a plain mean: step n moves it by max(1 - decay, 1/n).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step."""
        self.steps += 1
        rate = max(1 - self.decay, 1 / self.steps)
        torch._foreach_lerp_(list(self.values.values()), [p.detach() for p in network.parameters()], rate)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {f"average/{name}": value for name, value in self.values.items()} | {
            "averaged": torch.tensor(self.steps)
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what ``tensors`` returned; KeyError where it is missing."""
        for name, value in self.values.items():
            value.copy_(tensors[f"average/{name}"])
        self.steps = int(tensors["averaged"])
