"""Training, evaluation, and weights on disk.

The recipe was measured on digits (T = 5, 16 channels): AdamW with a cosine schedule and label smoothing; random
shifts gained nothing. The epoch with the best validation accuracy is kept; the test split is not looked at.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hw_sim.errors import GateError, InvalidFileError, UsageError
from search.genotype import Genotype
from search.network import Network, NetworkConfig
from toolchain.data import Array, Dataset
from toolchain.files import whole
from toolchain.seeds import stream, torch_seed

Record = dict[str, Any]
METADATA_KEY = "architecture_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The recipe. learning_rate: peak, cosine to 0. clip: of the gradient's norm."""

    epochs: int = 15
    batch: int = 64
    learning_rate: float = 1.2e-2
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise UsageError(f"{name} = {value!r} in the training configuration, expected a whole number >= {low}")
        for name in ("learning_rate", "clip"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UsageError(f"{name} = {getattr(self, name)} in the training configuration, expected > 0")
        for name in ("weight_decay", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} = {getattr(self, name)} in the training configuration, expected 0 <= x < 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What training ended with: the network holds the weights of ``best_epoch`` (from 1)."""

    best_epoch: int
    validation_accuracy: float
    epochs: int
    seconds: float


def build(genotype: Genotype, config: NetworkConfig, *, seed: int) -> Network:
    """Return a network whose initial weights depend on ``seed`` alone; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "init"))
        return Network(genotype, config)


def train(
    network: nn.Module,
    data: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: str = "cpu",
    log: Callable[[Record], None] = lambda record: None,
    on_epoch: Callable[[int, int], None] = lambda done, total: None,
) -> TrainingResult:
    """Train ``network`` in place and leave it in eval mode with the weights of the best validation epoch.

    log: takes one record per epoch ({"epoch", "loss", "train_accuracy", "val_accuracy", "val_loss", "lr", "seconds"}).
    on_epoch: takes (epochs done, epochs in all), for progress. Shuffles and dropout come from ``seed``: on one
    device and number of threads, equal seeds give equal weights. Raises GateError when the loss stops being finite.
    """
    network.to(device)
    x, y = torch.from_numpy(data.x_train).to(device), torch.from_numpy(data.y_train).to(device)
    shuffle = stream(seed, "shuffle")
    steps = math.ceil(len(x) / config.batch)
    optimizer = torch.optim.AdamW(_groups(network, config.weight_decay), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * steps)
    y_val = torch.from_numpy(data.y_val)
    best, merit, best_state = 0, (-1.0, 0.0), {}
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(torch_seed(seed, "dropout"))
        for epoch in range(1, config.epochs + 1):
            start, rate = time.perf_counter(), schedule.get_last_lr()[0]
            network.train()
            loss_sum, correct = 0.0, 0
            # Pieces of nearly equal size: a last batch of one sample would give BN nothing to normalise by.
            for step, index in enumerate(np.array_split(shuffle.permutation(len(x)), steps), start=1):
                xb, yb = x[index], y[index]
                logits = network(xb)
                loss = nn.functional.cross_entropy(logits, yb, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), config.clip)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise GateError(
                        f"loss is {value} at step {step} of epoch {epoch} (learning rate "
                        f"{schedule.get_last_lr()[0]:.2g}), expected a finite number; lower the learning rate"
                    )
                optimizer.step()
                schedule.step()
                loss_sum += value * len(index)
                correct += int((logits.argmax(1) == yb).sum())
            logits = _logits(network, data.x_val, device, config.batch)
            accuracy = int((logits.argmax(1) == y_val).sum()) / len(y_val)
            val_loss = float(nn.functional.cross_entropy(logits, y_val))
            # A small validation split often ties; of equal accuracies the lower loss is the better network.
            if (accuracy, -val_loss) > merit:
                best, merit = epoch, (accuracy, -val_loss)
                best_state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            log(
                {
                    "epoch": epoch,
                    "loss": loss_sum / len(x),
                    "train_accuracy": correct / len(x),
                    "val_accuracy": accuracy,
                    "val_loss": val_loss,
                    "lr": rate,
                    "seconds": round(time.perf_counter() - start, 3),
                }
            )
            on_epoch(epoch, config.epochs)
    network.load_state_dict(best_state)
    network.eval()
    return TrainingResult(
        best_epoch=best,
        validation_accuracy=merit[0],
        epochs=config.epochs,
        seconds=time.perf_counter() - started,
    )


def evaluate(network: nn.Module, x: Array, y: Array, *, device: str = "cpu", batch: int = 256) -> tuple[float, Array]:
    """Return the accuracy in [0, 1] and the predictions int64 (N,); ties go to the lowest class. Sets eval mode."""
    predictions: Array = _logits(network, x, device, batch).argmax(1).numpy()
    return float((predictions == y).mean()), predictions


@torch.no_grad()
def _logits(network: nn.Module, x: Array, device: str, batch: int) -> Tensor:
    network.eval()
    parts = [network(torch.from_numpy(x[i : i + batch]).to(device)).cpu() for i in range(0, len(x), batch)]
    return torch.cat(parts)


def save_weights(network: Network, path: Path) -> None:
    """Write the weights as safetensors, with the architecture id; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = save(tensors, metadata={METADATA_KEY: network.genotype.architecture_id})
    with whole(path) as file:
        file.write(content)


def load_weights(network: Network, path: Path) -> None:
    """Fill ``network`` with what ``save_weights`` wrote; raises InvalidFileError, and then the network is unchanged."""
    expected = network.state_dict()
    mine = network.genotype.architecture_id
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(METADATA_KEY)
            if found != mine:
                raise InvalidFileError(
                    f"{path} holds weights of another genotype ({json.dumps(found)[:40]}), expected {mine}; train this "
                    f"genotype, or load the genotype that belongs to the weights"
                )
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            for name in sorted(shapes.keys() | expected.keys()):
                wanted = tuple(expected[name].shape) if name in expected else None
                if shapes.get(name) != wanted:
                    raise InvalidFileError(
                        f"tensor {name!r} of {path} has shape {shapes.get(name)}, expected {wanted}; the network's "
                        f"sizes differ from those it was trained with"
                    )
            tensors = {name: file.get_tensor(name) for name in shapes}
    except FileNotFoundError:
        raise InvalidFileError(f"{path} does not exist, expected weights as training writes them") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidFileError(f"{path} cannot be read ({str(error)[:120]}), expected a safetensors file") from None
    for name, tensor in tensors.items():
        if tensor.dtype != expected[name].dtype or not bool(torch.isfinite(tensor).all()):
            raise InvalidFileError(
                f"tensor {name!r} of {path} is {tensor.dtype} or holds a value that is not finite, expected finite "
                f"{expected[name].dtype}; train again"
            )
    network.load_state_dict(tensors)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters: BN's scale and shift set the firing rates, and are not decayed."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
