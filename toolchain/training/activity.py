"""The spiking activity rate (SAR) in training: measured, and held to a target.

SAR = spikes / (neurons x timesteps) over all neurons of the network, input excluded. A network runs each population
once, so every neuron that is run is one that SAR counts.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from snnas.search.network.lif import LIF

# The multiplier moves by this much for each step at twice the target. On digits (15 epochs of 21 steps) test SAR ends
# at 70 to 100 % of targets from .02 to .08.
RATE = 0.02


class Meter:
    """Within ``with``: adds up the spikes of every neuron that ``network`` runs; gradients flow through the sum."""

    def __init__(self, network: nn.Module) -> None:
        from spikingjelly.activation_based.neuron import BaseNode

        self._lifs = [module for module in network.modules() if isinstance(module, LIF | BaseNode)]
        self._handles: list[Any] = []
        self._sums: list[Tensor] = []
        self._places = 0

    def __enter__(self) -> Meter:
        self._handles = [lif.register_forward_hook(self._count) for lif in self._lifs]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def _count(self, module: nn.Module, inputs: Any, spikes: Tensor) -> None:
        self._sums.append(spikes.sum(dtype=torch.float32))
        self._places += spikes.numel()

    def take(self) -> tuple[Tensor, int]:
        """Return spikes () and neurons x timesteps since the last call, over all samples."""
        result = torch.stack(self._sums).sum(), self._places
        self._sums, self._places = [], 0
        return result


class Target:
    """A penalty ``weight x SAR / target``, its weight moved by dual ascent until SAR is at the target.

    weight: () on the device of the network; grows while SAR is above the target, and is never negative.
    """

    def __init__(self, target: float, device: str) -> None:
        self.target = target
        self.weight = torch.zeros((), device=device)

    def penalty(self, spikes: Tensor, places: float) -> Tensor:
        """Return the term of the loss; spikes: of this process. places: neurons x timesteps x samples of the batch."""
        return self.weight * spikes / (places * self.target)

    @torch.no_grad()
    def update(self, sar: Tensor) -> None:
        """Move the weight by what a batch's SAR is above or below the target."""
        self.weight += RATE * (sar / self.target - 1)
        self.weight.clamp_(min=0)
