"""What of a trained network never fires on validation samples, and whether its answers tie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from snnas.hw_sim.simulate.silence import Answers, Silence

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snnas.toolchain.data.load import Dataset

WATCHED = 256  # validation samples: what none of them makes fire is silent
PIECE = 64


@torch.no_grad()
def silence_of(network: nn.Module, data: Dataset, device: str) -> Silence:
    """The silence of a network, which is on ``device``, on the first WATCHED validation samples. Sets eval mode."""
    network.eval()
    answers, fired = Answers(), dict[str, int]()
    few = data.x_val[:WATCHED]
    for start in range(0, len(few), PIECE):
        seen: dict[str, Tensor] = {}
        x = torch.from_numpy(data.batch(few[start : start + PIECE])).to(device)
        answers.add(network(x, spikes=seen).float().cpu().numpy())
        for name, spikes in seen.items():
            fired[name] = fired.get(name, 0) + int(spikes.sum())
    return answers.with_spikes(fired)
