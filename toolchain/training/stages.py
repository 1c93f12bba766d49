"""Which T an epoch is trained at: timesteps are cheap first, and as many as the network has at the end."""

from __future__ import annotations

from snnas.toolchain.training.config import TrainingConfig


def stage_of(config: TrainingConfig, epoch: int) -> int | None:
    """Return the T of ``epoch`` (from 1); None where the recipe has no stages. Each stage has an epoch at least."""
    if not config.stages:
        return None
    whole, done = sum(epochs for _, epochs in config.stages), 0
    last = 0
    for number, (timesteps, epochs) in enumerate(config.stages, start=1):
        done += epochs
        left = len(config.stages) - number
        last = min(max(round(config.epochs * done / whole), last + 1), config.epochs - left)
        if epoch <= last:
            return timesteps
    return config.stages[-1][0]
