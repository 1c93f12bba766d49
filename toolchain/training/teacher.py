"""A teacher of a recipe: the network itself with ReLUs for neurons, trained first at T = 1, whose logits are learnt.

Its logits on the training split are kept beside the checkpoint: a training that goes on does not train it again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import whole
from snnas.search.network.lif import LIF
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.evaluation import logits


class Analogue(LIF):
    """A ReLU in a LIF's place; what a meter adds up of it are currents."""

    def forward(self, current: Tensor) -> Tensor:
        """Return what is positive of ``current``."""
        return current.relu()


def analogue_of(network: Any) -> nn.Module:
    """Return a copy of ``network`` at T = 1 with ReLUs for neurons."""
    twin = copy.deepcopy(network)
    twin.set_timesteps(1)
    for name, module in list(twin.named_children()):
        if isinstance(module, LIF):
            setattr(twin, name, Analogue(module.tau, module.v_threshold))
    return twin


def recipe_of_teacher(config: TrainingConfig) -> TrainingConfig:
    """Return the recipe that the teacher of ``config`` is trained by."""
    return replace(config, epochs=config.teacher, teacher=0, stages=(), learn=(), target_sar=None, warmup=0)


def teacher_logits(
    network: nn.Module,
    data: Dataset,
    config: TrainingConfig,
    folder: Path | None,
    device: str,
    teach: Callable[[nn.Module, TrainingConfig], None],
) -> Tensor:
    """Return the teacher's logits (N, classes) on the training split, float32 on the CPU.

    teach: trains a network in place by a recipe. folder: where the logits are kept.
    UsageError where the network has no LIF of ours, or the samples are frames.
    """
    if not any(isinstance(module, LIF) for module in network.children()) or data.x_train.ndim != 4:
        raise UsageError(
            "teacher in the training configuration: expected a searched network on still images; leave it out"
        )
    kept = folder / "logits.safetensors" if folder is not None else None
    if kept is not None and kept.exists():
        try:
            found = load_file(kept)["logits"]
            if found.shape == (len(data.x_train), data.classes):
                return found
        except (SafetensorError, KeyError, OSError):
            pass  # a damaged one is made again
    twin = analogue_of(network)
    teach(twin, recipe_of_teacher(config))
    found = logits(twin, data.x_train, device, 256, data.unit)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept) as file:
            file.write(save({"logits": found}))
    return found
