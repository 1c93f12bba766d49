"""N-MNIST, DVS128 Gesture and CIFAR10-DVS: which recordings there are, their labels and split, and their events."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_text
from snnas.toolchain.data.datasets.archives import contents, listing
from snnas.toolchain.data.datasets.catalogue import Official
from snnas.toolchain.data.datasets.events import Events, read_aedat2, read_aedat3, read_nmnist
from snnas.toolchain.data.datasets.raw import Array

_NMNIST = re.compile(r"(?:.*/)?([Tt]rain|[Tt]est)/(\d)/(\d{1,6})\.bin")
_NMNIST_BYTES = 2**22  # the longest recordings have about 10,000 events of 5 bytes
_DVS_BYTES = 2**28
_TEXT_BYTES = 2**20
_GESTURE_TEXTS = ("_labels.csv", "trials_to_train.txt", "trials_to_test.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """The recordings of an event data set, numbered in an order that does not depend on how they are packed.

    labels: int64 (N,). test: bool (N,), or None without an official split. events: yields (number, events), each once,
    in any order; it raises InvalidFileError. names: of the recordings in messages, or (). sources: int64 (N,), of
    slices, which recording each is of.
    """

    labels: Array
    test: Array | None
    events: Callable[[], Iterator[tuple[int, Events]]]
    names: Sequence[str] = ()
    sources: Array | None = None

    def named(self, row: int) -> str:
        """A recording in messages."""
        return self.names[row] if self.names else f"recording {row}"


def nmnist_files(official: Official, folder: Path) -> list[Path]:
    """Train.zip and Test.zip, or the one .zip with both, or the folder that they were unpacked into."""
    zips = sorted(path for path in folder.glob("*.zip") if re.search("train|test|nmnist", path.stem, re.IGNORECASE))
    return zips or [folder]


def nmnist(official: Official, folder: Path) -> Recordings:
    """<Train or Test>/<class>/<number>.bin; a folder with an index.csv (columns split, path) is the part it lists.

    Raises InvalidFileError where recordings are missing.
    """
    files = nmnist_files(official, folder)
    index = folder / "index.csv"
    listed = _index(index) if index.is_file() else None
    places: dict[str, tuple[Path, str]] = {}
    for file in files:
        for name in listing(file, lambda name: _NMNIST.fullmatch(name) is not None):
            split, label, number = _NMNIST.fullmatch(name).groups()  # type: ignore[union-attr]
            key = f"{split.title()}/{label}/{number}.bin"
            if key in places:
                raise InvalidFileError(f"{key} is in {places[key][0]} and in {file}, expected once; remove one")
            if listed is None or key in listed:
                places[key] = (file, name)
    keys = sorted(places)
    test = np.array([key.startswith("Test") for key in keys], dtype=bool)
    wanted = (official.train, official.test)
    if listed is not None:
        wanted = (sum(key.startswith("Train") for key in listed), sum(key.startswith("Test") for key in listed))
    if (int((~test).sum()), int(test.sum())) != wanted:
        raise InvalidFileError(
            f"{folder} holds {int((~test).sum())} recordings to train and {int(test.sum())} to test, expected "
            f"{wanted[0]} and {wanted[1]}; get Train.zip and Test.zip again from {official.page}"
        )
    rows = {place: row for row, place in enumerate(places[key] for key in keys)}

    def events() -> Iterator[tuple[int, Events]]:
        for file in files:
            names = {name for place, name in rows if place == file}
            for name, data in contents(file, names.__contains__, limit=_NMNIST_BYTES):
                yield rows[file, name], read_nmnist(data, f"{name} of {file}")

    labels = np.array([int(key.split("/")[1]) for key in keys], dtype=np.int64)
    return Recordings(labels=labels, test=test, events=events)


def _index(path: Path) -> set[str]:
    """'Train/5/00001.bin' of every row."""
    if path.stat().st_size > 2**24:
        raise InvalidFileError(f"{path} has {path.stat().st_size} bytes, expected a short list of recordings")
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, errors="replace"))))
    except csv.Error as error:
        raise InvalidFileError(f"{path}: not a table ({error}), expected rows of split and path") from None
    matches = [_NMNIST.fullmatch(row.get("path") or "") for row in rows]
    if not rows or None in matches:
        raise InvalidFileError(f"{path}: expected rows with a path like Train/5/00001.bin")
    return {f"{m[1].title()}/{m[2]}/{m[3]}.bin" for m in matches if m is not None}


def gesture_files(official: Official, folder: Path) -> list[Path]:
    """DvsGesture.tar.gz, or the folder that it was unpacked into."""
    archive = folder / official.files[0].name
    return [archive] if archive.is_file() else [folder]


def gesture(official: Official, folder: Path) -> Recordings:
    """trials_to_train.txt and trials_to_test.txt name the recordings; <recording>_labels.csv says when which gesture
    (1 .. 11) was made: every row of it is one sample (Amir et al. 2017). Raises InvalidFileError.
    """
    (file,) = gesture_files(official, folder)
    texts = {
        PurePosixPath(name).name: data.decode("utf-8", "replace")
        for name, data in contents(file, lambda name: name.endswith(_GESTURE_TEXTS), limit=_TEXT_BYTES)
    }
    trials: dict[str, list[tuple[int, int, int]]] = {}  # recording -> rows of (number of the sample, start, end)
    labels, test = list[int](), list[bool]()
    for which in ("train", "test"):
        if f"trials_to_{which}.txt" not in texts:
            raise InvalidFileError(f"trials_to_{which}.txt is missing in {file}; get it again from {official.page}")
        for name in sorted(texts[f"trials_to_{which}.txt"].split()):
            rows = _trials(texts, name, file, official)
            trials[name] = [(len(labels) + k, start, end) for k, (_, start, end) in enumerate(rows)]
            labels += [label for label, _, _ in rows]
            test += [which == "test"] * len(rows)
    found = (test.count(False), test.count(True))
    if found != (official.train, official.test):
        raise InvalidFileError(
            f"{file} holds {found[0]} gestures to train and {found[1]} to test, expected {official.train} and "
            f"{official.test}; get it again from {official.page}"
        )

    def events() -> Iterator[tuple[int, Events]]:
        missing = dict(trials)
        for name, data in contents(file, lambda name: PurePosixPath(name).name in trials, limit=_DVS_BYTES):
            recording = read_aedat3(data, f"{name} of {file}")
            for row, start, end in missing.pop(PurePosixPath(name).name, []):
                yield row, recording.between(start, end)
        if missing:
            raise InvalidFileError(f"{min(missing)} is missing in {file}; get it again from {official.page}")

    return Recordings(labels=np.array(labels, dtype=np.int64), test=np.array(test, dtype=bool), events=events)


def _trials(texts: dict[str, str], name: str, file: Path, official: Official) -> list[tuple[int, int, int]]:
    """Rows of (label from 0, start, end in microseconds) of one recording."""
    path = name.removesuffix(".aedat") + "_labels.csv"
    rows = []
    try:
        for row in list(csv.reader(io.StringIO(texts[path])))[1:]:
            label, start, end = (int(value) for value in row[:3])
            if not (1 <= label <= official.classes and 0 <= start < end < 2**51):
                raise ValueError(f"row {row}")
            rows.append((label - 1, start, end))
    except (KeyError, ValueError, csv.Error) as error:
        reason = "it is missing" if isinstance(error, KeyError) else str(error)[:80]
        raise InvalidFileError(
            f"{path[:80]} of {file} cannot be read ({reason}), expected rows of class 1 .. {official.classes}, "
            f"start and end in microseconds"
        ) from None
    return rows


def cifar10_dvs_files(official: Official, folder: Path) -> list[Path]:
    """airplane.zip .. truck.zip, or the folders that they were unpacked into."""
    places = []
    for file in official.files:
        archive = folder / file.name
        place = archive if archive.is_file() else archive.with_suffix("")
        if not place.exists():
            raise official.missing(file.name, folder)
        places.append(place)
    return places


def cifar10_dvs(official: Official, folder: Path) -> Recordings:
    """<class>/cifar10_<class>_<number>.aedat, 1,000 of each class; there is no official split.

    Raises InvalidFileError where some are missing.
    """
    files = cifar10_dvs_files(official, folder)
    rows: dict[tuple[Path, str], int] = {}
    for file in files:
        names = list(listing(file, lambda name: name.endswith(".aedat")))
        if len(names) != official.train // official.classes:
            raise InvalidFileError(
                f"{file} holds {len(names)} .aedat recordings, expected {official.train // official.classes}; get it "
                f"again from {official.page}"
            )
        rows |= {(file, name): len(rows) + k for k, name in enumerate(names)}

    def events() -> Iterator[tuple[int, Events]]:
        for file in files:
            for name, data in contents(file, lambda name: name.endswith(".aedat"), limit=_DVS_BYTES):
                yield rows[file, name], read_aedat2(data, f"{name} of {file}")

    labels = np.repeat(np.arange(official.classes), official.train // official.classes).astype(np.int64)
    return Recordings(labels=labels, test=None, events=events)
