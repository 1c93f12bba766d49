"""Events to frames: what a network of T timesteps is shown of a recording."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data.datasets.events import MAX_SIDE, Events
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.transforms import Transforms

SplitBy = Literal["count", "time", "duration", "event_count"]
Polarity = Literal["both", "merged", "on", "off"]
DEFAULT_FRAMES = 16  # the papers' T for event data
MAX_FRAMES = 1000
MAX_MICROSECONDS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """How recordings become frames."""

    frames: int = DEFAULT_FRAMES
    """T."""
    split_by: SplitBy = "count"
    """'count': every frame has the same number of events (to within one); 'time': the same share of its recording's
    time; 'duration': the same time, of all recordings; 'event_count': as many events, of all recordings."""
    duration: int | None = None
    """Microseconds of a frame, with split_by 'duration'."""
    event_count: int | None = None
    """Events of a frame, with split_by 'event_count'."""
    overlap: int = 0
    """Microseconds, or events, that a frame shares with the one before it, with either of these."""
    slice: int | None = None
    """What ``slice_by`` cuts recordings by; all slices of one stay on one side of the split."""
    slice_by: SplitBy = "duration"
    """'duration', 'event_count': a sample for each whole ``slice`` microseconds or events, one at the least; 'time',
    'count': as many samples as ``slice`` says, of equal shares of the recording's time or events."""
    slice_overlap: int = 0
    """Microseconds, or events, that a slice shares with the one before it, with the first two of these."""
    crop: str | None = None
    """'WIDTHxHEIGHT': the middle of the sensor, cut out before all else."""
    downsample: int = 1
    """Pixels of that many by that many become one."""
    polarity: Polarity = "both"
    """Two channels; or one: of all events, of the brighter or of the darker ones alone."""
    hot_pixels: int | None = None
    """A pixel with more events than this many times those of its busiest neighbour is left out."""
    transform: str | None = None
    """tonic's transforms of the events, before all else: ``transforms``."""
    augment: str | None = None
    """tonic's transforms of training recordings alone, behind ``transform``, drawn anew for every epoch."""
    counts: bool = False
    """A pixel holds the number of its events, at most 255; else 1 where there was one and 0 where not, which is what a
    chip that takes spikes can be given."""

    def __post_init__(self) -> None:
        for option in ("transform", "augment"):
            if (text := getattr(self, option)) is not None:
                Transforms.parse(text, option)
        limits = {"frames": (1, MAX_FRAMES), "downsample": (1, 64), "hot_pixels": (2, 10**6)}
        limits |= dict.fromkeys(("duration", "event_count", "slice"), (1, MAX_MICROSECONDS))
        limits |= dict.fromkeys(("overlap", "slice_overlap"), (0, MAX_MICROSECONDS))
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is None and name in ("hot_pixels", "duration", "event_count", "slice"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"--data {name}={value}: expected a whole number from {low} to {high}")
        by = get_args(SplitBy)
        for name, choices in (("split_by", by), ("slice_by", by), ("polarity", get_args(Polarity))):
            if getattr(self, name) not in choices:
                raise UsageError(f"--data {name}={getattr(self, name)}: expected {' or '.join(choices)}")
        for name, unit in (("duration", "microseconds"), ("event_count", "events")):
            if (self.split_by == name) != (getattr(self, name) is not None):
                raise UsageError(f"--data {name}= ({unit}) goes with split_by={name}, and it with that")
        if self.crop is not None:
            sides("crop", self.crop)
        if self.slice is None and (self.slice_by != "duration" or self.slice_overlap):
            raise UsageError("--data slice_by= and slice_overlap= go with slice=")
        sliced = self.slice if self.slice_by in ("duration", "event_count") else None
        self._check_overlap("overlap", "split_by", self.split_by, self.length)
        self._check_overlap("slice_overlap", "slice_by", "slice", sliced)

    def _check_overlap(self, option: str, by: str, whole: str, length: int | None) -> None:
        shared = getattr(self, option)
        if shared and length is None:
            raise UsageError(f"--data {option}= goes with {by}=duration (microseconds) or event_count (events)")
        if length is not None and shared >= length:
            raise UsageError(f"--data {option}={shared}: expected less than the {whole}, {length}")

    @property
    def length(self) -> int | None:
        """Microseconds or events of a frame, where all frames of all recordings have the same."""
        return self.event_count if self.split_by == "event_count" else self.duration

    def shape(self, sensor: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a recording of a sensor (C, H, W)."""
        channels, height, width = sensor
        if self.polarity != "both":
            channels = 1
        return self.frames, channels, -(-height // self.downsample), -(-width // self.downsample)


def sides(option: str, text: str) -> tuple[int, int]:
    """(width, height) of 'WIDTHxHEIGHT'; UsageError names the option where it is not."""
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if found is None or not all(0 < int(side) <= MAX_SIDE for side in found.groups()):
        raise UsageError(f"--data {option}={text[:20]}: expected WIDTHxHEIGHT of 1 to {MAX_SIDE} pixels, as 346x260")
    return int(found[1]), int(found[2])


def to_frames(events: Events, sensor: tuple[int, int, int], options: FrameOptions) -> Array:
    """The frames of one recording, uint8 (T, C, H, W); channel = polarity (0 = darker, 1 = brighter).

    Event i of n falls into frame floor(i T / n); by time, floor((t - first) T / (last - first + 1)); by duration d with
    overlap o into every frame k with k (d - o) <= t - first < k (d - o) + d, and into none after the last one; by
    event count likewise, with i in place of t - first.
    """
    frames, channels, height, width = shape = options.shape(sensor)
    since = events.t - events.t.min(initial=2**62)
    last = since.max(initial=0)
    if options.hot_pixels is not None or options.polarity in ("on", "off"):
        kept = _kept(events, sensor, options)
        events, since = events.where(kept), since[kept]
    if options.split_by == "count":
        index = np.arange(len(events)) * frames // max(len(events), 1)
    elif options.split_by == "time":
        index = since * frames // (last + 1)
    else:
        index, held = _of_length(np.arange(len(events)) if options.event_count else since, frames, options)
        events = events.where(held)
    plane = events.p if channels > 1 else np.zeros_like(events.p)
    flat = (index * channels + plane) * height + events.y // options.downsample
    flat = flat * width + events.x // options.downsample
    found = np.bincount(flat, minlength=frames * channels * height * width).reshape(shape)
    return np.minimum(found, 255 if options.counts else 1).astype(np.uint8)


def left_out(events: Events, options: FrameOptions) -> int:
    """How many events come after the last frame, of frames of a fixed duration or number of events."""
    if options.length is None:
        return 0
    end = (options.frames - 1) * (options.length - options.overlap) + options.length
    if options.event_count is not None:
        return max(0, len(events) - end)
    return int((events.t - events.t.min(initial=2**62) >= end).sum())


def _kept(events: Events, sensor: tuple[int, int, int], options: FrameOptions) -> Array:
    """Bool (n,): of the polarity that is wanted, and of no hot pixel."""
    wanted = {"on": events.p == 1, "off": events.p == 0}
    kept: Array = wanted.get(options.polarity, np.ones(len(events), dtype=bool))
    if options.hot_pixels is None:
        return kept
    _, height, width = sensor
    flat = events.y * width + events.x
    counts = np.bincount(flat, minlength=height * width).reshape(height, width)
    around = np.pad(counts, 1)
    shifts = [(dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2) if (dy, dx) != (1, 1)]
    busiest = np.maximum.reduce([around[dy : dy + height, dx : dx + width] for dy, dx in shifts])
    hot = counts > options.hot_pixels * np.maximum(busiest, 1)
    return kept & ~hot.ravel()[flat]


def _of_length(since: Array, frames: int, options: FrameOptions) -> tuple[Array, Array]:
    """Frame of each event, once for every frame that it is in, and which event that is; since: its time or place."""
    assert options.length is not None
    step = options.length - options.overlap
    newest = since // step
    index, held = list[Array](), list[Array]()
    for back in range(-(-options.length // step)):
        frame = newest - back
        inside = (frame >= 0) & (frame < frames) & (since - frame * step < options.length)
        index.append(frame[inside])
        held.append(np.flatnonzero(inside))
    return np.concatenate(index), np.concatenate(held)
