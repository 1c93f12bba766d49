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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.system_calls import take
from snnas.toolchain.data.datasets.archives import READ_ERRORS
from snnas.toolchain.data.datasets.catalogue import Official
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, left_out, to_frames
from snnas.toolchain.data.datasets.raw import Array, Raw, cut_note, digest, own_split
from snnas.toolchain.data.datasets.recordings import Recordings
from snnas.toolchain.data.datasets.slices import cropped, cropped_sensor, sliced
from snnas.toolchain.data.datasets.transforms import Transforms

FORMAT = 4  # 2 had no slices, 3 laid AEDAT 2 recordings of a DVS128 on their side
SINCE_FORMAT_4 = ("slice_by", "slice_overlap", "crop")
MAX_BYTES = 16 * 2**30
HELD_EVENTS = 2**25  # of training recordings, kept between epochs; of more the files are read anew
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSet:
    """What is known of a set that is none of the catalogue's before its recordings are read."""

    name: str
    sample: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...]


EventSet = Official | OwnSet


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
    sensor = official.sample
    if options.crop is not None:
        official = replace(official, sample=cropped_sensor(sensor, options.crop))

    def read() -> Recordings:
        found = opened() if options.crop is None else cropped(opened(), sensor, official.sample)
        return found if options.slice is None else sliced(found, options)

    raw, hashed = _Frames(official, read, replace(options, augment=None), advance).kept(files, folder)
    return (raw if options.augment is None else replace(raw, redraw=Redrawn(official, read, options))), hashed


def own_frames(
    own: OwnSet, folder: Path, recordings: Recordings, parts: Array, how: FrameOptions, cache: Path, advance: Advance
) -> tuple[Raw, str]:
    """``cached_frames`` of the recordings below ``folder``; parts: 'train', 'val' or 'test' of each of them."""
    raw, hashed = cached_frames(own, [folder], lambda: recordings, how, cache, advance)
    if raw.groups is not None:  # the slices of a recording are where it is
        parts = parts[raw.groups]
    return replace(raw, **own_split(parts), test_share=0.2), hashed


class Redrawn:
    """Frames of recordings whose events ``augment`` changes, drawn by seed, epoch and recording."""

    def __init__(self, official: EventSet, opened: Callable[[], Recordings], options: FrameOptions) -> None:
        self.official, self.opened, self.options = official, opened, options
        self.plain = Transforms.parse(options.transform) if options.transform else None
        self.drawn = Transforms.parse(options.augment or "", "augment")
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
        count = found = 0
        for row, events in self.opened().events():
            if row not in places:
                continue
            found += 1
            if self.plain is not None and len(events):
                events = self.plain(events, self.official.sample, row)
            count += len(events)
            if count <= HELD_EVENTS:
                kept[row] = events
            yield row, events
            if found == len(places):  # what comes behind them is not read
                break
        self.held = kept if count <= HELD_EVENTS else None


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames that ``options`` make of a set's recordings."""

    official: EventSet
    opened: Callable[[], Recordings]
    options: FrameOptions
    advance: Advance

    def kept(self, files: list[Path], folder: Path) -> tuple[Raw, str]:
        """Those in the entry of the cache in ``folder``, where they are put if it lacks them, and their digest."""
        entry = folder / f"{self.official.name}-{self._key(files)}"
        try:
            if not folder.parent.stat().st_mode & 0o222:  # root could write there all the same
                raise PermissionError
            folder.mkdir(parents=True, exist_ok=True)
            lock = entry.with_suffix(".lock").open("wb")
        except OSError:  # a read-only data folder is served too, more slowly
            return self._in_memory()
        with lock:
            take(lock, wait=True)  # who comes second waits, and then finds the entry
            found = self._read(entry)
            if found is None:
                self._write(entry)
                found = self._read(entry)
        if found is None:
            raise InvalidFileError(f"{entry}.npy was written and reads back otherwise; the disk is damaged")
        return found

    def _key(self, files: list[Path]) -> str:
        seen = []
        for file in files:
            below = file.rglob("*") if file.is_dir() else [file]
            inside = [p for p in below if ".cache" not in p.relative_to(file).parts]
            for path in sorted([*inside, file.with_name("index.csv"), file / "index.csv"]):
                if path.is_file():
                    about = path.stat()
                    seen.append([str(path.relative_to(file.parent)), about.st_size, about.st_mtime_ns])
        options = asdict(self.options)
        if self.options.slice is None and self.options.crop is None:  # entries from before there were these stay
            options = {name: value for name, value in options.items() if name not in SINCE_FORMAT_4}
        state = [FORMAT, self.official.name, self.official.sample, seen, options]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]

    def _shape(self, count: int) -> tuple[int, ...]:
        shape = (count, *self.options.shape(self.official.sample))
        if math.prod(shape) > MAX_BYTES:
            raise UsageError(
                f"{self.official.name} takes {math.prod(shape) / 1e9:.1f} GB as {shape[1]} frames, expected at most "
                f"{MAX_BYTES / 1e9:.1f} GB; take fewer --data frames=, or --data downsample="
                f"{2 * self.options.downsample}"
            )
        return shape

    def _raw(self, x: Array, recordings: Recordings, late: Sequence[int]) -> Raw:
        """late: events behind the last frame, and events in all."""
        options, official = self.options, self.official
        about: dict[str, Any] = {"classes": official.classes, "class_names": official.class_names}
        if late[0]:
            about["notes"] = (
                f"{late[0] / late[1]:.1%} of the events come after the last of {options.frames} frames of "
                f"{options.length} {'us' if options.duration else 'events'} and are left out; take more --data frames, "
                f"or a longer {options.split_by}",
            )
        kind, r = "counts" if options.counts else "spikes", recordings
        if r.sources is not None:
            about["notes"] = (cut_note(r.sources), *about.get("notes", ()))
        return Raw(x=x, y=r.labels, test=r.test, groups=r.sources, test_share=0.1, input_kind=kind, **about)

    def _in_memory(self) -> tuple[Raw, str]:
        recordings = self.opened()
        x = np.zeros(self._shape(len(recordings.labels)), np.uint8)
        late = self._decode(recordings, x.__setitem__)
        return self._raw(x, recordings, late), digest(x, recordings.labels)

    def _decode(self, recordings: Recordings, keep: Callable[[int, Array], None]) -> tuple[int, int]:
        """Gives ``keep`` the frames of every recording; returns the events behind the last frame, and all of them."""
        official, options = self.official, self.options
        total, late, events_seen = len(recordings.labels), 0, 0
        seen = np.zeros(total, dtype=bool)
        changed = Transforms.parse(options.transform) if options.transform else None
        for done, (row, events) in enumerate(recordings.events(), start=1):
            if changed is not None and len(events):
                events = changed(events, official.sample, row)
            if not len(events) and recordings.sources is None:  # a slice of a recording may be quiet
                named = recordings.named(row) if recordings.names else f"{official.name}: {recordings.named(row)}"
                raise InvalidFileError(f"{named} holds no events, expected some; it is damaged")
            late, events_seen = late + left_out(events, options), events_seen + len(events)
            keep(row, to_frames(events, official.sample, options))
            seen[row] = True
            self.advance(done, total)
        if not seen.all():
            raise InvalidFileError(f"{official.name}: {int((~seen).sum()):,} of {total:,} recordings are missing")
        return late, events_seen

    def _write(self, entry: Path) -> None:
        """Written as a plain file, not as mapped memory: a full disk is then an error and not a dead process."""
        recordings = self.opened()
        shape = self._shape(len(recordings.labels))
        part, frames_file, about_file = (entry.with_suffix(suffix) for suffix in (".part", ".npy", ".json"))
        about_file.unlink(missing_ok=True)
        try:
            with part.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                start, size = file.tell(), math.prod(shape[1:])

                def keep(row: int, frames: Array) -> None:
                    file.seek(start + row * size)
                    file.write(frames.tobytes())

                late = self._decode(recordings, keep)
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

    def _read(self, entry: Path) -> tuple[Raw, str] | None:
        """The entry, or None where there is none or it is damaged."""
        try:
            about = read_json(entry.with_suffix(".json"))
            labels = np.array(about["labels"], dtype=np.int64)
            x = np.load(entry.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            shape = (len(labels), *self.options.shape(self.official.sample))
            if x.shape != shape or digest(x, labels) != about["sha256"]:
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
        recordings = Recordings(labels=labels, test=test, events=lambda: iter(()), sources=sources)
        return self._raw(x, recordings, late), about["sha256"]
