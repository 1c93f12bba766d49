"""Spiking Heidelberg Digits: spoken digits as spikes of 700 units of an artificial cochlea (Cramer et al. 2020).

Read by a guarded child process: libhdf5 crashes and hangs on damaged files (``hdf5_guard``, which refuses
rows of different lengths; hence a child of our own). tonic opens the file in the calling process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.hdf5_guard import LIMIT_BYTES, ask_child
from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import contents
from snnas.toolchain.data.datasets.catalogue import Official
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.recordings import Recordings

SECONDS = 60
CHILD = Path(__file__).with_name("shd_child.py")


def shd_files(official: Official, folder: Path) -> list[Path]:
    """shd_train.h5 and shd_test.h5, unpacked or as the .zip that they are published in."""
    found = []
    for file in official.files:
        plain = folder / file.name.removesuffix(".zip")
        place = plain if plain.is_file() else folder / file.name
        if not place.is_file():
            raise official.missing(file.name, folder)
        found.append(place)
    return found


def shd(official: Official, folder: Path) -> Recordings:
    """spikes/times (seconds), spikes/units (0 .. 699) and labels (0 .. 19) of both files. Raises InvalidFileError."""
    parts = [
        _part(path, official, count)
        for path, count in zip(shd_files(official, folder), (official.train, official.test), strict=True)
    ]
    labels = np.concatenate([part[0] for part in parts])

    def events() -> Iterator[tuple[int, Events]]:
        row = 0
        for _, lengths, times, units in parts:
            ends = np.cumsum(lengths)
            for start, end in zip(ends - lengths, ends, strict=True):
                zero = np.zeros(end - start, dtype=np.int64)
                t = np.rint(times[start:end].astype(np.float64) * 1e6).astype(np.int64)
                yield row, Events(units[start:end].astype(np.int64), zero, zero, t)
                row += 1

    test = np.arange(len(labels)) >= official.train
    return Recordings(labels=labels, test=test, events=events)


def _part(path: Path, official: Official, count: int) -> tuple[Array, Array, Array, Array]:
    """Labels (N,), and of all rows together: lengths (N,), times, units."""
    if path.suffix != ".zip":
        tree = ask_child(CHILD, path, str(path), seconds=SECONDS, limit_bytes=LIMIT_BYTES)
    else:
        name = path.stem
        found = dict(contents(path, lambda member: member == name, limit=LIMIT_BYTES))
        if name not in found:
            raise InvalidFileError(f"{name} is missing in {path}; get it again from {official.page}")
        with tempfile.NamedTemporaryFile(suffix=".h5") as file:
            file.write(found[name])
            file.flush()
            tree = ask_child(CHILD, Path(file.name), f"{name} of {path}", seconds=SECONDS, limit_bytes=LIMIT_BYTES)
    try:
        spikes, labels = tree["spikes"], np.asarray(tree["labels"])
        lengths, times = spikes["times"]["lengths"], spikes["times"]["values"]
        unit_lengths, units = spikes["units"]["lengths"], spikes["units"]["values"]
    except (KeyError, TypeError, IndexError):
        raise InvalidFileError(f"{path}: expected spikes/times, spikes/units and labels") from None
    _check(path, official, count, labels, lengths, unit_lengths, times, units)
    return labels.astype(np.int64), lengths, times, units


def _check(
    path: Path, official: Official, count: int, labels: Any, lengths: Any, unit_lengths: Any, times: Any, units: Any
) -> None:
    width = official.sample[2]
    faults = (
        (labels.shape != (count,) or lengths.shape != (count,), f"{labels.shape} labels, expected ({count},)"),
        (labels.dtype.kind not in "iu" or units.dtype.kind not in "iu", "labels or units are no whole numbers"),
        (not np.array_equal(lengths, unit_lengths) or not lengths.all(), "times and units differ, or a row is empty"),
        (times.dtype.kind != "f" or not (np.isfinite(times).all() and (times >= 0).all()), "times are no seconds >= 0"),
    )
    for wrong, what in faults:
        if wrong:
            raise InvalidFileError(f"{path}: {what}; get it again from {official.page}")
    if labels.min() < 0 or labels.max() >= official.classes or units.min() < 0 or units.max() >= width:
        raise InvalidFileError(
            f"{path}: labels {labels.min()} .. {labels.max()}, units {units.min()} .. {units.max()}; expected 0 .. "
            f"{official.classes - 1} and 0 .. {width - 1}"
        )
