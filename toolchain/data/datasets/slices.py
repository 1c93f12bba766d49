"""Recordings cut in time, so that one becomes several samples, or in space: as tonic's slicers and CenterCrop do it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, sides
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.recordings import Recordings

Sensor = tuple[int, int, int]
MAX_SLICES = 100_000  # of one recording


@dataclass(frozen=True, slots=True)
class Slices:
    """Of one recording, each made as it is asked for: slices that overlap by much are many times the recording.

    order: the events by time or number, in which a slice is from first to end of ``bounds``, (slices, 2).
    """

    events: Events
    order: Array
    bounds: Array

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Events]:
        for first, end in self.bounds:
            yield self.events.where(np.sort(self.order[first:end]))


def cut(events: Events, how: FrameOptions) -> Slices:
    """The slices of a recording with events, as SliceByTime, SliceByEventCount, SliceByTimeBins and SliceByEventBins.

    Times are since the first event; what is left over at the end is in no slice. Within one, events stay in the order
    of the file. UsageError where there are too many.
    """
    assert how.slice is not None
    timed = how.slice_by in ("duration", "time")
    order = np.argsort(events.t, kind="stable") if timed else np.arange(len(events))
    since = events.t[order] - events.t.min() if timed else order
    whole = int(since[-1]) if timed else len(events)
    if how.slice_by in ("duration", "event_count"):
        length, step = how.slice, how.slice - how.slice_overlap
        count = max(1, (whole - length) // step + 1)
    else:
        length = step = whole // how.slice
        count = how.slice
    if count > MAX_SLICES:
        raise UsageError(f"--data slice={how.slice}: {count:,} slices of a recording, expected at most {MAX_SLICES:,}")
    starts = np.arange(count) * step
    return Slices(events, order, np.searchsorted(since, [starts, starts + length]).T)


def sliced(recordings: Recordings, how: FrameOptions) -> Recordings:
    """Every slice as a recording of its own; all are read once to count them. InvalidFileError for one too short."""
    pieces = np.ones(len(recordings.labels), dtype=np.int64)
    for row, events in recordings.events():
        slices = _slices(recordings, row, events, how)
        pieces[row] = len(slices)
    first, sources = np.cumsum(pieces) - pieces, np.repeat(np.arange(len(pieces)), pieces)

    def every() -> Iterator[tuple[int, Events]]:
        for row, events in recordings.events():
            yield from enumerate(_slices(recordings, row, events, how), start=int(first[row]))

    names = [f"slice {row - first[source]} of {recordings.named(int(source))}" for row, source in enumerate(sources)]
    test = None if recordings.test is None else recordings.test[sources]
    return Recordings(labels=recordings.labels[sources], test=test, events=every, names=names, sources=sources)


def _slices(recordings: Recordings, row: int, events: Events, how: FrameOptions) -> Slices:
    name = recordings.named(row)
    if not len(events):
        raise InvalidFileError(f"{name} holds no events, expected some to slice; it is damaged")
    found = cut(events, how)
    if how.slice_by in ("time", "count") and not np.diff(found.bounds).any():
        lasts = int(events.t.max() - events.t.min())
        raise InvalidFileError(
            f"{name} holds {len(events)} events in {lasts} us, too little for {how.slice} slices by {how.slice_by}; "
            f"leave it out, or take fewer"
        )
    return found


def cropped_sensor(sensor: Sensor, crop: str) -> Sensor:
    """(C, H, W) of the middle WIDTHxHEIGHT pixels; UsageError where the sensor is smaller."""
    width, height = sides("crop", crop)
    if width > sensor[2] or height > sensor[1]:
        raise UsageError(f"--data crop={crop}: the sensor has {sensor[2]}x{sensor[1]} pixels, expected at most that")
    return sensor[0], height, width


def cropped(recordings: Recordings, sensor: Sensor, inner: Sensor) -> Recordings:
    """The events in the middle of a sensor (C, H, W), of the size ``inner``. InvalidFileError where there are none."""
    top, left = ((whole - part) // 2 for whole, part in zip(sensor[1:], inner[1:], strict=True))

    def middle() -> Iterator[tuple[int, Events]]:
        for row, events in recordings.events():
            x, y = events.x - left, events.y - top
            inside: Array = (x >= 0) & (x < inner[2]) & (y >= 0) & (y < inner[1])
            if len(events) and not inside.any():
                raise InvalidFileError(
                    f"{recordings.named(row)} holds no events in the middle {inner[2]}x{inner[1]} pixels of "
                    f"{sensor[2]}x{sensor[1]}; leave it out, or take a larger --data crop"
                )
            yield row, Events(x, y, events.p, events.t).where(inside)

    return replace(recordings, events=middle)
