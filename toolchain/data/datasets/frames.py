"""Events to frames: what a network of T timesteps is shown of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.raw import Array

SplitBy = Literal["count", "time"]
DEFAULT_FRAMES = 16  # the papers' T for event data
MAX_FRAMES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """How recordings become frames.

    frames: T. split_by: 'count', every frame has the same number of events (to within one); 'time', the same duration.
    downsample: pixels of that many by that many become one. counts: a pixel holds the number of its events, at most
    255; else 1 where there was one and 0 where not, which is what a chip that takes spikes can be given.
    """

    frames: int = DEFAULT_FRAMES
    split_by: SplitBy = "count"
    downsample: int = 1
    counts: bool = False

    def __post_init__(self) -> None:
        for name, high in (("frames", MAX_FRAMES), ("downsample", 64)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
                raise UsageError(f"--{name} {value!r}: expected a whole number from 1 to {high}")
        if self.split_by not in get_args(SplitBy):
            raise UsageError(f"--split-by {self.split_by!r}: expected {' or '.join(get_args(SplitBy))}")

    def shape(self, sensor: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a recording of a sensor (C, H, W)."""
        channels, height, width = sensor
        return self.frames, channels, -(-height // self.downsample), -(-width // self.downsample)


def to_frames(events: Events, sensor: tuple[int, int, int], options: FrameOptions) -> Array:
    """The frames of one recording, uint8 (T, C, H, W); channel = polarity (0 = darker, 1 = brighter).

    Event i of n falls into frame floor(i T / n), or, by time, floor((t - first) T / (last - first + 1)).
    """
    frames, channels, height, width = shape = options.shape(sensor)
    if options.split_by == "count":
        index = np.arange(len(events)) * frames // max(len(events), 1)
    else:
        since = events.t - events.t.min(initial=2**62)
        index = since * frames // (since.max(initial=0) + 1)
    flat = (index * channels + events.p) * height + events.y // options.downsample
    flat = flat * width + events.x // options.downsample
    found = np.bincount(flat, minlength=frames * channels * height * width).reshape(shape)
    return np.minimum(found, 255 if options.counts else 1).astype(np.uint8)
