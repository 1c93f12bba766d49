"""Trains a network of any tool on digits, by that tool's own neurons and surrogates: the tools' workers call it.

``given.npz`` holds x_train, x_test (N, 1, 8, 8) and y_train; every frame is shown at each of STEPS timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

STEPS, EPOCHS, BATCH, RATE = 8, 25, 64, 4e-3
NETWORKS = ("dense", "conv")
Forward = Callable[[torch.Tensor], torch.Tensor]  # (B, T, *shape), from rest, to (B, T, classes)


def teach(forward: Forward, parameters: Iterable[torch.Tensor], shape: tuple[int, ...], given: Path) -> np.ndarray:
    """Trains, and gives the classes (N,) of x_test: the largest output, summed over time."""
    with np.load(given) as arrays:
        x, y, test = (torch.from_numpy(arrays[name]) for name in ("x_train", "y_train", "x_test"))
    x, test = (frames(images, shape) for images in (x, test))
    optimiser = torch.optim.Adam(parameters, RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    draws = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=draws).split(BATCH):
            loss = torch.nn.functional.cross_entropy(forward(x[batch]).sum(1), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    with torch.no_grad():
        return forward(test).sum(1).argmax(1).numpy()


def frames(images: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(B, T, *shape)."""
    return images.reshape(len(images), 1, *shape).expand(-1, STEPS, *(-1,) * len(shape))


def sample(given: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Eight training images to record, (8, T, *shape)."""
    with np.load(given) as arrays:
        return frames(torch.from_numpy(arrays["x_train"][:8]), shape).numpy()
