"""A user's event recordings: a folder for each class, or a table of labels; a file is a sample."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_text
from snnas.toolchain.data.datasets.cache import OwnSet, own_frames
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, sides
from snnas.toolchain.data.datasets.image_file import IMAGES
from snnas.toolchain.data.datasets.npz import MAX_CLASSES, numbered
from snnas.toolchain.data.datasets.raw import Raw
from snnas.toolchain.data.datasets.recording_file import (
    SUFFIXES,
    Recording,
    probe,
    read_recordings,
    require_libraries,
)
from snnas.toolchain.data.datasets.recordings import Recordings
from snnas.toolchain.data.datasets.tree import PARTS, Tree, read_tree

TABLE = "labels.csv"
MAX_ROWS = 1_000_000
Advance = Callable[[int, int], None]
_HOW = f"expected a folder of recordings ({', '.join(SUFFIXES)}) for each class, or {TABLE} with columns path and label"


def are_recordings(folder: Path) -> bool:
    """Whether a folder holds event recordings, and not pictures or arrays of frames: by its first file of such."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[:1] not in "._"):
        for file in sorted(path for path in place.rglob("*") if path.suffix.lower() in (*SUFFIXES, *IMAGES)):
            if file.is_file() and not file.name.startswith("."):
                return file.suffix.lower() not in (".npy", *IMAGES) or _is_table(file)
    return (folder / TABLE).is_file()


def _is_table(file: Path) -> bool:
    """Whether a .npy has named columns, as no picture has."""
    with file.open("rb") as opened:
        return b"('x'" in opened.read(1024).partition(b"\n")[0]


def read_own_recordings(
    folder: Path, how: FrameOptions, sensor: str | None, groups: str | None, advance: Advance
) -> tuple[Raw, str]:
    """The frames of all recordings below ``folder`` and their digest; kept in <folder>/.cache where it can be written.

    sensor: 'WIDTHxHEIGHT' where the files do not say. groups: a column of the table, or 'folder'. Raises as ``load``.
    """
    listed = _by_table(folder, groups) if (folder / TABLE).is_file() else _by_folder(folder, groups)
    recordings = [probe(file) for file in listed.files]
    require_libraries({recording.format for recording in recordings})
    width, height = _sensor_of(recordings, sensor, folder)
    labels = np.array(listed.labels, dtype=np.int64)

    def events() -> Iterator[tuple[int, Events]]:
        for place, found in read_recordings(recordings):
            if len(found) and (int(found.x.max()) >= width or int(found.y.max()) >= height):
                raise InvalidFileError(
                    f"{recordings[place].path}: an event lies at column {found.x.max()}, row {found.y.max()} at the "
                    f"most, expected within {width} x {height}; give --data sensor=WIDTHxHEIGHT"
                )
            yield place, found

    names = tuple(listed.names)
    raw, digest = own_frames(
        OwnSet(name="recordings", sample=(2, height, width), classes=len(names), class_names=names),
        folder,
        Recordings(labels=labels, test=None, events=events, names=[str(file) for file in listed.files]),
        np.array(listed.parts),
        how,
        folder / ".cache",
        advance,
    )
    together = raw.groups
    if listed.groups:
        asked = numbered([np.array(listed.groups)])
        together = asked if together is None else asked[together]
    return replace(raw, groups=together, notes=(*listed.notes, *raw.notes)), digest


def _sensor_of(recordings: list[Recording], asked: str | None, folder: Path) -> tuple[int, int]:
    """(width, height): as asked, else as all files say; InvalidFileError where they do not."""
    if asked is not None:
        return sides("sensor", asked)
    said = Counter(recording.sensor for recording in recordings)
    if len(said) == 1 and None not in said:
        (size,) = said
        assert size is not None
        return size
    if None in said:
        silent = next(recording for recording in recordings if recording.sensor is None)
        _, events = next(iter(read_recordings([silent])))
        seen = f" (its events reach {int(events.x.max()) + 1}x{int(events.y.max()) + 1})" if len(events) else ""
        raise InvalidFileError(
            f"{silent.path} does not say how large its sensor is{seen}; give --data sensor=WIDTHxHEIGHT"
        )
    sizes = ", ".join(f"{size[0]}x{size[1]}" for size in said if size is not None)
    raise InvalidFileError(
        f"the recordings of {folder} are of sensors {sizes}, expected one; give --data sensor= to mix"
    )


def _by_folder(folder: Path, groups: str | None) -> Tree:
    tree = read_tree(folder, SUFFIXES, _HOW)
    if groups not in (None, "folder"):
        raise InvalidFileError(f"groups={groups}: {folder} has no {TABLE} with such a column; expected groups=folder")
    return replace(tree, groups=tree.by_folder() if groups else [])


def _by_table(folder: Path, groups: str | None) -> Tree:
    """labels.csv: path below the folder, label (any text), and if there, split (train, val, test) and other columns."""
    table = folder / TABLE
    try:
        reader = csv.DictReader(io.StringIO(read_text(table)))
        rows = list(reader)
        columns = reader.fieldnames or []
    except csv.Error as error:
        raise InvalidFileError(f"{table}: not a table ({error}), expected columns path and label") from None
    for column in ("path", "label", *([groups] if groups else [])):
        if column not in columns:
            raise InvalidFileError(f"{table} has columns {', '.join(columns)[:80]}, expected {column!r} among them")
    if not 0 < len(rows) <= MAX_ROWS:
        raise InvalidFileError(f"{table} has {len(rows)} rows, expected 1 to {MAX_ROWS}")
    texts = [row["label"] or "" for row in rows]
    whole = all(text.lstrip("-").isdecimal() and len(text) < 10 for text in texts)
    names = [str(k) for k in sorted({int(t) for t in texts})] if whole else sorted(set(texts))
    numbers = {name: number for number, name in enumerate(names)}
    if "" in numbers or not 2 <= len(names) <= MAX_CLASSES:
        raise InvalidFileError(f"{table} has {len(names)} labels, expected 2 to {MAX_CLASSES}, none empty")
    files, parts, seen = [], [], set[Path]()
    for line, row in enumerate(rows, start=2):
        path = folder / (row["path"] or "")
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file() or path.suffix.lower() not in SUFFIXES or path in seen:
            why = "is listed twice" if path in seen else f"is no recording ({', '.join(SUFFIXES)}) below {folder}"
            raise InvalidFileError(f"{table}, line {line}: {str(row['path'])[:80]!r} {why}")
        part = PARTS.get((row.get("split") or "train").strip().lower())
        if part is None:
            raise InvalidFileError(f"{table}, line {line}: split {row['split']!r}, expected train, val or test")
        seen.add(path)
        files.append(path)
        parts.append(part)
    labels = [numbers[str(int(text)) if whole else text] for text in texts]
    named = [row[groups] or "" for row in rows] if groups else []
    return Tree(names=names, files=files, labels=labels, parts=parts, groups=named)
