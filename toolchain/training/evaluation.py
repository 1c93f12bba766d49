"""What a network does on samples: predictions, accuracy, loss and activity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snnas.toolchain.data.load import Array
from snnas.toolchain.training.activity import Meter
from snnas.toolchain.training.parallel import World


@dataclass(frozen=True, slots=True)
class Validation:
    """Accuracy and SAR in [0, 1], and the mean cross entropy."""

    accuracy: float
    loss: float
    sar: float


def evaluate(
    network: nn.Module, x: Array, y: Array, *, device: str = "cpu", batch: int = 256, unit: int = 1
) -> tuple[float, Array]:
    """Return the accuracy in [0, 1] and the predictions int64 (N,); ties go to the lowest class. Sets eval mode.

    unit: what bytes are divided by, see ``inputs``.
    """
    predictions: Array = logits(network, x, device, batch, unit).argmax(1).numpy()
    return float((predictions == y).mean()), predictions


def validate(network: nn.Module, x: Array, y: Array, *, device: str, batch: int, unit: int, world: World) -> Validation:
    """Return how a network does on the validation split, shared among the processes. Sets eval mode."""
    mine, labels = world.share(x), torch.from_numpy(world.share(y))
    right, loss, spikes, places = (torch.zeros(1, dtype=torch.float64) for _ in range(4))
    with Meter(network) as meter:
        if len(mine):
            out = logits(network, mine, device, batch, unit)
            right += (out.argmax(1) == labels).sum()
            loss += nn.functional.cross_entropy(out, labels, reduction="sum")
            fired, counted = meter.take()
            spikes += fired.cpu()
            places += counted
    world.add(right, loss, spikes, places)
    return Validation(float(right) / len(y), float(loss) / len(y), float(spikes / places))


@torch.no_grad()
def logits(network: nn.Module, x: Array, device: str, batch: int, unit: int) -> Tensor:
    """Return the logits (N, classes) on the CPU. Sets eval mode."""
    network.eval()
    parts: list[Tensor] = []
    for start in range(0, len(x), batch):
        images = torch.from_numpy(x[start : start + batch]).to(device)
        parts.append(network(inputs(images, unit)).cpu())
    return torch.cat(parts).float()


def inputs(x: Tensor, unit: int) -> Tensor:
    """Return a batch as float32: bytes divided by ``unit`` (see ``Dataset.unit``), floats as they are."""
    return x if x.dtype == torch.float32 else x.float().div_(unit)
