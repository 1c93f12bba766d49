"""Training samples that are made anew for every epoch, because they change before there are frames of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.transforms import Transforms
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.signal_changes import changed

Redraw = Callable[[int], Array]


def require_signals(data: Dataset, augment: Sequence[str]) -> None:
    """UsageError where a recipe changes signals, and the samples are none."""
    of_signals = Augmentation(augment).of_signals
    if of_signals and data.signal is None:
        raise UsageError(
            f"augment = {of_signals[0][0]}:{of_signals[0][1]} in the recipe is of signals, and {data.name} holds none; "
            f"leave it out, or take another --recipe"
        )


def require_augment(data: Dataset) -> None:
    """UsageError where tonic refuses what ``augment=`` asks of recordings, tried on events of no recording."""
    asked = data.options.get("augment")
    if asked is not None:
        rng, (height, width) = np.random.default_rng(0), data.input_shape[1:]
        x, y, p = (rng.integers(0, size, 1000) for size in (width, height, 2))
        events = Events(x, y, p, np.sort(rng.integers(0, 100_000, 1000)))
        Transforms.parse(asked, "augment")(events, (2, height, width), 0)


def first_of(data: Dataset, count: int) -> Dataset:
    """The data set with its first ``count`` training samples alone, whatever makes them anew included."""
    few = slice(0, count)
    held: dict[str, Any] = {f"{name}_train": getattr(data, f"{name}_train") for name in ("x", "y", "raw", "groups")}
    held = {name: None if array is None else array[few] for name, array in held.items()}
    redraw = data.redraw
    if redraw is not None:
        held["redraw"] = lambda seed, epoch: redraw(seed, epoch, count)
    return replace(data, **held)


def redraw_of(data: Dataset, augmentation: Augmentation, seed: int) -> Redraw | None:
    """Return what gives ``x_train`` of an epoch, from 1; None where it is the same in all of them.

    An epoch's samples depend on ``seed`` and its number alone: a training that goes on draws what it would have drawn.
    """
    if data.redraw is not None:
        return partial(data.redraw, seed)
    raw, signal = data.raw_train, data.signal
    if raw is None or signal is None or not augmentation.of_signals:
        return None

    def of_epoch(epoch: int) -> Array:
        spikes = data.input_kind == "spikes"
        own_spikes = spikes and not signal.spikes
        x = changed(raw, augmentation.of_signals, stream(seed, f"signals of epoch {epoch}"), spikes=own_spikes)
        frames = signal.apply(x).astype(np.float32)
        return frames if spikes else frames.clip(*data.range)

    return of_epoch
