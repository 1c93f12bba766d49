"""Frames of event recordings, made once and kept: 70,000 recordings take minutes, the file of their frames a second.

<data_dir>/.cache/<set>-<key>.npy and .json (labels, split, digest). The key is of the official files' names, sizes and
times and of the options: another file or option is another entry. The digest is checked on every use; a damaged entry
is made again. Where the folder cannot be written, the frames are made in memory each time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.system_calls import take
from snnas.toolchain.data.datasets.archives import READ_ERRORS
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, left_out, to_frames
from snnas.toolchain.data.datasets.raw import Array, Raw, digest
from snnas.toolchain.data.datasets.recordings import Recordings, sliced
from snnas.toolchain.data.datasets.transforms import Transforms

FORMAT = 4  # 2 had no slices, 3 laid AEDAT 2 recordings of a DVS128 on their side
MAX_BYTES = 16 * 2**30
HELD_EVENTS = 2**25  # of training recordings, kept between epochs; of more the files are read anew
Advance = Callable[[int, int], None]


class EventSet(Protocol):
    """What is known of a set before its recordings are read."""

    @property
    def name(self) -> str: ...
    @property
    def sample(self) -> tuple[int, int, int]: ...
    @property
    def classes(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...


def cached_frames(
    official: EventSet,
    files: list[Path],
    opened: Callable[[], Recordings],
    options: FrameOptions,
    folder: Path,
    advance: Advance = lambda done, total: None,
) -> tuple[Raw, str]:
    """The frames of all recordings, x uint8 (N, T, C, H, W), and their digest; from the cache where they are there.

    With ``augment`` these are the frames without it, and ``Raw.redraw`` draws others.

    files: the official files or folders. opened: lists the recordings; not called where the cache serves. folder: of
    the cache. advance: takes (recordings done, in all). Raises what ``opened`` raises.
    """
    plain, opened = replace(options, augment=None), _sliced(opened, options.slice)
    raw, hashed = _plain_frames(official, files, opened, plain, folder, advance)
    return (raw if options.augment is None else replace(raw, redraw=Redrawn(official, opened, options))), hashed


def _sliced(opened: Callable[[], Recordings], microseconds: int | None) -> Callable[[], Recordings]:
    return opened if microseconds is None else lambda: sliced(opened(), microseconds)


class Redrawn:
    """Frames of recordings whose events ``augment`` changes, drawn by seed, epoch and recording."""

    def __init__(self, official: EventSet, opened: Callable[[], Recordings], options: FrameOptions) -> None:
        self.official, self.opened, self.options = official, opened, options
        self.plain = Transforms.parse(options.transform) if options.transform else None
        self.drawn = Transforms.parse(options.augment or "")
        self.held: dict[int, Events] | None = None

    def __call__(self, rows: Array, seed: int, epoch: int) -> Array:
        """Return x of the recordings ``rows``, uint8 (n, T, C, H, W)."""
        places = {int(row): place for place, row in enumerate(rows)}
        x = np.zeros((len(rows), *self.options.shape(self.official.sample)), np.uint8)
        for row, events in self._events(places):
            if len(events):
                events = self.drawn(events, self.official.sample, seed % 2**32, epoch, row)
            x[places[row]] = to_frames(events, self.official.sample, self.options)
        return x

    def _events(self, places: Mapping[int, int]) -> Iterator[tuple[int, Events]]:
        """The recordings with what ``transform`` does to them; from memory where they fit and were read before."""
        if self.held is not None and places.keys() <= self.held.keys():
            yield from ((row, self.held[row]) for row in places)
            return
        kept: dict[int, Events] = {}
        count = 0
        for row, events in self.opened().events():
            if row not in places:
                continue
            if self.plain is not None and len(events):
                events = self.plain(events, self.official.sample, row)
            count += len(events)
            if count <= HELD_EVENTS:
                kept[row] = events
            yield row, events
        self.held = kept if count <= HELD_EVENTS else None


def _plain_frames(
    official: EventSet,
    files: list[Path],
    opened: Callable[[], Recordings],
    options: FrameOptions,
    folder: Path,
    advance: Advance,
) -> tuple[Raw, str]:
    entry = folder / f"{official.name}-{_key(official, files, options)}"
    try:
        if not folder.parent.stat().st_mode & 0o222:  # root could write there all the same
            raise PermissionError
        folder.mkdir(parents=True, exist_ok=True)
        lock = entry.with_suffix(".lock").open("wb")
    except OSError:  # a read-only data folder is served too, more slowly
        return _in_memory(official, opened(), options, advance)
    with lock:
        take(lock, wait=True)  # who comes second waits, and then finds the entry
        found = _read(official, entry, options)
        if found is None:
            _write(official, opened(), options, entry, advance)
            found = _read(official, entry, options)
    if found is None:
        raise InvalidFileError(f"{entry}.npy was written and reads back otherwise; the disk is damaged")
    return found


def _key(official: EventSet, files: list[Path], options: FrameOptions) -> str:
    seen = []
    for file in files:
        inside = [p for p in file.rglob("*") if ".cache" not in p.relative_to(file).parts] if file.is_dir() else [file]
        for path in sorted([*inside, file.with_name("index.csv"), file / "index.csv"]):
            if path.is_file():
                about = path.stat()
                seen.append([str(path.relative_to(file.parent)), about.st_size, about.st_mtime_ns])
    state = [FORMAT, official.name, official.sample, seen, asdict(options)]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def _shape(official: EventSet, count: int, options: FrameOptions) -> tuple[int, ...]:
    shape = (count, *options.shape(official.sample))
    if math.prod(shape) > MAX_BYTES:
        raise UsageError(
            f"{official.name} takes {math.prod(shape) / 1e9:.1f} GB as {options.frames} frames, expected at most "
            f"{MAX_BYTES / 1e9:.1f} GB; take fewer --data frames=, or --data downsample={2 * options.downsample}"
        )
    return shape


def _raw(
    official: EventSet,
    x: Array,
    labels: Array,
    test: Array | None,
    sources: Array | None,
    options: FrameOptions,
    late: tuple[int, int],
) -> Raw:
    """sources: which recording each slice is of. late: events behind the last frame, and events in all."""
    kind = "counts" if options.counts else "spikes"
    about: dict[str, Any] = {"classes": official.classes, "class_names": official.class_names, "input_kind": kind}
    if late[0]:
        about["notes"] = (
            f"{late[0] / late[1]:.1%} of the events come after the last of {options.frames} frames of "
            f"{options.length} {'us' if options.duration else 'events'} and are left out; take more --data frames, or "
            f"a longer {options.split_by}",
        )
    return Raw(x=x, y=labels, test=test, groups=sources, test_share=0.1, **about)


def _in_memory(official: EventSet, recordings: Recordings, options: FrameOptions, advance: Advance) -> tuple[Raw, str]:
    x = np.zeros(_shape(official, len(recordings.labels), options), np.uint8)

    def keep(row: int, frames: Array) -> None:
        x[row] = frames

    late = _decode(official, recordings, options, keep, advance)
    raw = _raw(official, x, recordings.labels, recordings.test, recordings.sources, options, late)
    return raw, digest(x, recordings.labels)


def _decode(
    official: EventSet,
    recordings: Recordings,
    options: FrameOptions,
    keep: Callable[[int, Array], None],
    advance: Advance,
) -> tuple[int, int]:
    """Gives ``keep`` the frames of every recording; returns the events behind the last frame, and all of them."""
    total, late, events_seen = len(recordings.labels), 0, 0
    seen = np.zeros(total, dtype=bool)
    changed = Transforms.parse(options.transform) if options.transform else None
    for done, (row, events) in enumerate(recordings.events(), start=1):
        if changed is not None and len(events):
            events = changed(events, official.sample, row)
        if not len(events) and recordings.sources is None:  # a slice of a recording may be quiet
            named = recordings.names[row] if recordings.names else f"{official.name}: recording {row}"
            raise InvalidFileError(f"{named} holds no events, expected some; it is damaged")
        late, events_seen = late + left_out(events, options), events_seen + len(events)
        keep(row, to_frames(events, official.sample, options))
        seen[row] = True
        advance(done, total)
    if not seen.all():
        raise InvalidFileError(f"{official.name}: {int((~seen).sum()):,} of {total:,} recordings are missing")
    return late, events_seen


def _write(official: EventSet, recordings: Recordings, options: FrameOptions, entry: Path, advance: Advance) -> None:
    """Written as a plain file, not as mapped memory: a full disk is then an error and not a dead process."""
    shape = _shape(official, len(recordings.labels), options)
    part, frames_file, about_file = (entry.with_suffix(suffix) for suffix in (".part", ".npy", ".json"))
    about_file.unlink(missing_ok=True)
    try:
        with part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start, size = file.tell(), math.prod(shape[1:])

            def keep(row: int, frames: Array) -> None:
                file.seek(start + row * size)
                file.write(frames.tobytes())

            late = _decode(official, recordings, options, keep, advance)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, frames_file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    x = np.load(frames_file, mmap_mode="r", allow_pickle=False)
    test = None if recordings.test is None else np.flatnonzero(recordings.test).tolist()
    sources = None if recordings.sources is None else recordings.sources.tolist()
    about = {"labels": recordings.labels.tolist(), "test": test, "sources": sources, "late": late}
    about["sha256"] = digest(x, recordings.labels)
    write_json(about_file, about)


def _read(official: EventSet, entry: Path, options: FrameOptions) -> tuple[Raw, str] | None:
    """The entry, or None where there is none or it is damaged."""
    try:
        about = read_json(entry.with_suffix(".json"))
        labels = np.array(about["labels"], dtype=np.int64)
        x = np.load(entry.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        if x.shape != (len(labels), *options.shape(official.sample)) or digest(x, labels) != about["sha256"]:
            return None
        test = None
        if about["test"] is not None:
            test = np.zeros(len(labels), dtype=bool)
            test[np.array(about["test"], dtype=np.int64)] = True
        sources = None if about["sources"] is None else np.array(about["sources"], dtype=np.int64)
        if sources is not None and sources.shape != labels.shape:
            return None
        late = (int(about["late"][0]), int(about["late"][1]))
    except (*READ_ERRORS, InvalidFileError):
        return None
    return _raw(official, x, labels, test, sources, options, late), about["sha256"]
