"""Timesteps in stages: which T an epoch is trained at. Weights, BN statistics and thresholds are carried over."""

from __future__ import annotations

from typing import Any

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.training.config import TrainingConfig


def stage_of(config: TrainingConfig, epoch: int) -> int:
    """Return the number of the stage, from 0, that ``epoch`` (from 1) belongs to; each has an epoch at least."""
    whole, done, last = sum(epochs for _, epochs in config.stages), 0, 0
    for number, (_, epochs) in enumerate(config.stages):
        done += epochs
        left = len(config.stages) - number - 1
        last = min(max(round(config.epochs * done / whole), last + 1), config.epochs - left)
        if epoch <= last:
            return number
    return max(0, len(config.stages) - 1)


def epochs_behind(config: TrainingConfig, epoch: int) -> float:
    """Return how many epochs come behind ``epoch`` (from 0), each as long as its T is to that of ``epoch``.

    Of epoch 0, before the first: to the last one's.
    """
    if not config.stages:
        return float(config.epochs - epoch)
    own = config.stages[stage_of(config, epoch) if epoch else -1][0]
    return sum(config.stages[stage_of(config, later)][0] / own for later in range(epoch + 1, config.epochs + 1))


def begins_stage(config: TrainingConfig, epoch: int) -> bool:
    """Whether ``epoch`` is the first of a stage."""
    return epoch == 1 or stage_of(config, epoch) != stage_of(config, epoch - 1)


def timesteps_asked(config: TrainingConfig, asked: int | None) -> int | None:
    """Return the T that a network is asked for: what the user says, else that of the last stage, None where none."""
    return config.stages[-1][0] if asked is None and config.stages else asked


def require_stages(config: TrainingConfig, data: Dataset, timesteps: int | None) -> None:
    """UsageError where the recipe's stages do not end with the network's T, or samples are frames."""
    if not config.stages:
        return
    said = f"stages = {[list(stage) for stage in config.stages]} in the training configuration"
    last = config.stages[-1][0]
    if data.x_train.ndim != 4:
        raise UsageError(f"{said}: expected still images, {data.name} has frames, and T is theirs; leave stages out")
    if timesteps != last:
        raise UsageError(
            f"{said} end at T = {last}, expected the network's, T = {timesteps}; end them there, or make the run with "
            f"-T {last}"
        )


def set_timesteps(network: Any, config: TrainingConfig, epoch: int) -> None:
    """Give ``network`` the T of ``epoch`` (from 1)."""
    network.set_timesteps(config.stages[stage_of(config, epoch)][0])
