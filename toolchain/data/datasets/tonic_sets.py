"""Data sets that tonic reads: ``--dataset tonic:NAME``, from the folder that tonic keeps them in.

tonic opens files as they come and downloads without checks; so it works in a guarded child process, and never fetches.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.hdf5_guard import LIMIT_BYTES
from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean
from snnas.toolchain.data.datasets.cache import OwnSet, own_frames
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, sides
from snnas.toolchain.data.datasets.raw import Raw
from snnas.toolchain.data.datasets.recording_file import asked
from snnas.toolchain.data.datasets.recordings import Recordings
from snnas.toolchain.data.datasets.transforms import import_tonic

PREFIX = "tonic:"
CHILD = Path(__file__).with_name("tonic_child.py")
SECONDS = 1800.0  # of CPU, for one answer
# Of boxes, poses, depth or places: no label for a recording.
UNLABELLED = ("DAVISDATA", "DSEC", "EBSSA", "MVSEC", "NERDD", "ThreeET_Eyetracking", "TUMVIE", "VPR")
# What a part is, by the value that asks for it; without a split of its own a set is asked for None.
SPLITS = {True: "train", False: "test", None: "train", "train": "train", "valid": "val", "test": "test"}


def read_tonic(
    name: str, folder: Path, how: FrameOptions, sensor: str | None, advance: Callable[[int, int], None]
) -> tuple[Raw, str]:
    """The frames of a set of ``tonic.datasets`` below ``folder``, and their digest; its own split is kept.

    sensor: 'WIDTHxHEIGHT' for a set whose recordings differ in size. Raises UsageError for a name that tonic does not
    have, InvalidFileError where its files are not there or give no labels, UnsupportedError without tonic.
    """
    made = _class_of(name)
    request = {"name": name, "save_to": str(folder), "start": None, **_parts_of(made)}
    tree = _ask(request, name, folder)
    texts = [text.decode("utf-8", "replace") for text in tree["labels"].tolist()]
    counts = [int(count) for count in tree["counts"]]
    place = Path(tree["folder"][0].decode("utf-8", "surrogateescape"))
    if not texts:
        raise InvalidFileError(f"tonic:{name}: {place} holds no samples, expected them as tonic unpacks them")
    width, height, channels = (int(side) for side in tree["sensor"])
    if sensor is not None:
        (width, height), channels = sides("sensor", sensor), channels or 2
    if not width:
        raise InvalidFileError(f"tonic:{name}: its recordings differ in size; give --data sensor=WIDTHxHEIGHT")
    names, labels = _numbered(texts)
    parts = np.repeat([SPLITS[part] for part in request["parts"]], counts)
    ends = np.cumsum(counts)

    def events() -> Iterator[tuple[int, Events]]:
        row = 0
        while row < len(labels):
            number = int(np.searchsorted(ends, row, side="right"))
            start = [number, row - int(ends[number]) + counts[number]]
            found = _ask(request | {"start": start}, name, folder)
            yield from _events(found, name, row, (width, height, channels))
            row += max(1, len(found["lengths"]))

    own = OwnSet(name=f"tonic-{name}", sample=(channels, height, width), classes=len(names), class_names=tuple(names))
    recordings = Recordings(labels=labels, test=None, events=events)
    return own_frames(own, place, recordings, parts, how, folder / ".cache", advance)


def _class_of(name: str) -> Any:
    datasets = import_tonic().datasets
    known = [*datasets.__all__] if hasattr(datasets, "__all__") else _classes(datasets)
    known = [entry for entry in known if entry not in UNLABELLED]
    if name in UNLABELLED:
        raise UsageError(f"tonic:{name} has no label for a recording to learn; expected one of {', '.join(known)}")
    if name not in known:
        raise UsageError(f"tonic has no data set {name[:60]!r}; expected {', '.join(known)}{did_you_mean(name, known)}")
    return getattr(datasets, name)


def _classes(module: Any) -> list[str]:
    return sorted(name for name, value in vars(module).items() if inspect.isclass(value))


def _parts_of(made: Any) -> dict[str, Any]:
    """How a set is asked for its parts, which there are, and what else it is asked: one digit a recording."""
    known = inspect.signature(made).parameters
    others = {"single_digits": True} if "single_digits" in known else {}
    if "train" in known:
        return {"argument": "train", "parts": [True, False], "others": others}
    if "split" in known and known["split"].default == "train":
        return {"argument": "split", "parts": ["train", "valid", "test"], "others": others}
    return {"argument": "", "parts": [None], "others": others}


def _ask(request: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    return asked(CHILD, request, f"tonic:{name} in {folder}", SECONDS, LIMIT_BYTES)


def _events(found: dict[str, Any], name: str, first: int, size: tuple[int, int, int]) -> Iterator[tuple[int, Events]]:
    width, height, channels = size
    ends = np.cumsum(found["lengths"])
    for row, (length, end) in enumerate(zip(found["lengths"], ends, strict=True)):
        x, y, p, t = (found[key][end - length : end] for key in "xypt")
        if len(t) and (min(x.min(), y.min()) < 0 or x.max() >= width or y.max() >= height):
            raise InvalidFileError(
                f"tonic:{name}: recording {first + row} reaches column {x.max()}, row {y.max()}; expected within "
                f"{width} x {height}"
            )
        yield first + row, Events(x, y, (p > 0).astype(np.int64) if channels > 1 else np.zeros_like(p), t)


def _numbered(texts: list[str]) -> tuple[list[str], np.ndarray]:
    """Names of the classes, whole numbers by value and others by name, and int64 (N,)."""
    whole = all(text.isdecimal() and len(text) < 10 for text in texts)
    names = sorted(set(texts), key=lambda text: (int(text) if whole else 0, text))
    numbers = {text: number for number, text in enumerate(names)}
    return names, np.array([numbers[text] for text in texts], dtype=np.int64)
