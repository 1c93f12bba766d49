"""What a network does on samples: predictions, accuracy, loss and activity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snnas.toolchain.data.load import Array
from snnas.toolchain.training.activity import Meter
from snnas.toolchain.training.device import autocast
from snnas.toolchain.training.parallel import World


@dataclass(frozen=True, slots=True)
class Validation:
    """Accuracy and SAR in [0, 1], and the mean cross entropy; balanced: the mean of the classes' accuracies."""

    accuracy: float
    loss: float
    sar: float
    balanced: float = 0.0


def evaluate(
    network: nn.Module, x: Array, y: Array, *, device: str = "cpu", batch: int = 256, unit: int = 1
) -> tuple[float, Array]:
    """Return the accuracy in [0, 1] and the predictions int64 (N,); ties go to the lowest class. Sets eval mode.

    unit: what bytes are divided by, see ``inputs``.
    """
    predictions: Array = logits(network, x, device, batch, unit).argmax(1).numpy()
    return float((predictions == y).mean()), predictions


def validate(
    network: nn.Module,
    x: Array | Tensor,
    y: Array | Tensor,
    *,
    device: str,
    batch: int,
    unit: int,
    world: World,
    amp: str = "none",
    classes: int = 0,
) -> Validation:
    """Return how a network does on the validation split, shared among the processes. Sets eval mode.

    Sums stay on the device until all are there: processes that talk by nccl can add up nothing else. amp: see
    ``TrainingConfig``. classes: how many there are, where ``balanced`` is wanted, else 0.
    """
    mine = world.span(len(y))
    labels = torch.as_tensor(y[mine]).to(device)
    where = device if device.startswith("cuda") else "cpu"  # others may have no float64
    right, loss, spikes, places = (torch.zeros((), dtype=torch.float64, device=where) for _ in range(4))
    of_class = torch.zeros((2, classes), dtype=torch.float64, device=where)  # right answers, samples
    with Meter(network) as meter:
        if len(labels):
            out = _logits(network, x[mine], device, batch, unit, amp)
            hit = out.argmax(1) == labels
            right += hit.sum().to(where)
            if classes:
                of_class[0] += torch.bincount(labels[hit], minlength=classes).to(where)
                of_class[1] += torch.bincount(labels, minlength=classes).to(where)
            loss += nn.functional.cross_entropy(out, labels, reduction="sum").to(where)
            fired, counted = meter.take()
            spikes += fired.to(where)
            places += counted
    world.add(right, loss, spikes, places, of_class)
    total: list[float] = torch.stack([right, loss, spikes, places]).tolist()
    there = of_class[1] > 0
    balanced = float((of_class[0, there] / of_class[1, there]).mean()) if classes else 0.0
    return Validation(total[0] / len(y), total[1] / len(y), total[2] / total[3], balanced)


def logits(network: nn.Module, x: Array, device: str, batch: int, unit: int) -> Tensor:
    """Return the logits (N, classes) on the CPU. Sets eval mode."""
    return _logits(network, x, device, batch, unit, "none").cpu()


@torch.no_grad()
def _logits(network: nn.Module, x: Array | Tensor, device: str, batch: int, unit: int, amp: str) -> Tensor:
    network.eval()
    parts: list[Tensor] = []
    with autocast(device, amp):
        for start in range(0, len(x), batch):
            images = torch.as_tensor(x[start : start + batch]).to(device)
            parts.append(network(inputs(images, unit)).float())
    return torch.cat(parts)


def inputs(x: Tensor, unit: int) -> Tensor:
    """Return a batch as float32: bytes divided by ``unit`` (see ``Dataset.unit``), floats as they are."""
    return x if x.dtype == torch.float32 else x.float().div_(unit)
