"""One event recording of a user's: which format it is, the sensor that its header names, and its events.

AEDAT 2 and 3.1, EVT 3, N-MNIST's .bin and arrays are read here; AEDAT 4, EVT 2 and DAT by their libraries, and HDF5,
in a guarded child process, many recordings at a time: such libraries crash on damaged files.
"""

from __future__ import annotations

import json
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from snnas.export.formats.hdf5_guard import LIMIT_BYTES, ask_child
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.toolchain.data.datasets.archives import READ_ERRORS, readable
from snnas.toolchain.data.datasets.events import (
    MAX_SIDE,
    Events,
    read_aedat2_davis,
    read_aedat2_dvs128,
    read_aedat3,
    read_nmnist,
)
from snnas.toolchain.data.datasets.evt3 import read_evt3
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.recording_child import fields

SUFFIXES = (".aedat", ".aedat4", ".raw", ".dat", ".h5", ".hdf5", ".bin", ".npz", ".npy")
LIBRARIES = {"dat": "expelliarmus", "evt2": "expelliarmus", "aedat4": "aedat", "hdf5": "h5py"}
CHILD = Path(__file__).with_name("recording_child.py")
SECONDS = 120.0
# Of files given to one child: starting it takes as long as reading some megabytes.
BATCH_FILES, BATCH_BYTES = 64, 32 * 2**20
_HEADER_BYTES = 2**16
_CHIPS = {b"DVS128": (128, 128), b"DAVIS240": (240, 180), b"Davis346": (346, 260), b"DAVIS346": (346, 260)}
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
_FLOATS = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, its format, and (width, height) of the sensor where the file says so."""

    path: Path
    format: str
    sensor: tuple[int, int] | None


def probe(path: Path) -> Recording:
    """What a file says of itself in its first bytes; InvalidFileError for what none of the readers takes."""
    with readable(path, "an event recording"), path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    suffix = path.suffix.lower()
    if suffix in (".aedat", ".aedat4"):
        return _aedat(path, head)
    if suffix in (".raw", ".dat"):
        return _prophesee(path, head)
    if suffix in (".h5", ".hdf5"):
        return Recording(path, "hdf5", None)
    return Recording(path, "nmnist", (34, 34)) if suffix == ".bin" else Recording(path, "arrays", None)


def _aedat(path: Path, head: bytes) -> Recording:
    version = re.match(rb"#!AER-DAT([234])\.", head)
    if version is None:
        raise InvalidFileError(f"{path} starts with {head[:12]!r}, expected #!AER-DAT2.0, 3.1 or 4.0 of an .aedat file")
    if version[1] == b"4":
        sides = [re.search(rb'key="size%s"[^>]*>(\d{1,5})<' % axis, head) for axis in (b"X", b"Y")]
        return Recording(path, "aedat4", _sensor([match and match[1] for match in sides]))
    chip = next((size for name, size in _CHIPS.items() if name in head), None)
    if version[1] == b"3":
        return Recording(path, "aedat3", chip)
    if chip is None:
        raise InvalidFileError(
            f"{path}: its header names no camera of DVS128, DAVIS240 and DAVIS346 (# AEChip), and AEDAT 2 means "
            f"another address for each; convert it to AEDAT 4 with dv-processing"
        )
    return Recording(path, "aedat2", chip)


def _prophesee(path: Path, head: bytes) -> Recording:
    lines = []
    for line in head.split(b"\n"):
        if not line.startswith(b"%"):
            break
        lines.append(line.decode("ascii", "replace"))
    text = "\n".join(lines).lower()
    geometry = re.search(r"geometry[ :]+(\d{1,5})x(\d{1,5})", text)
    sides: list[Any] = list(geometry.groups()) if geometry else []
    if not sides:
        matches = [re.search(rf"\b{axis}[ =:]+(\d{{1,5}})", text) for axis in ("width", "height")]
        sides = [match and match[1] for match in matches]
    if path.suffix.lower() == ".dat":
        return Recording(path, "dat", _sensor(sides))
    version = re.search(r"evt ?(\d(?:\.\d)?)", text)
    known = {"2": "evt2", "2.0": "evt2", "3": "evt3", "3.0": "evt3"}
    if version is None or version[1] not in known:
        found = f"names EVT {version[1]}" if version else "names no EVT version"
        raise InvalidFileError(f"{path}: its header {found}, expected EVT 2.0 or 3.0; convert it with metavision")
    return Recording(path, known[version[1]], _sensor(sides))


def _sensor(sides: list[Any]) -> tuple[int, int] | None:
    if len(sides) != 2 or None in sides:
        return None
    width, height = (int(side) for side in sides)
    return (width, height) if 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE else None


def require_libraries(formats: set[str]) -> None:
    """UnsupportedError where what reads one of the formats is not installed."""
    for kind in sorted(formats):
        package = LIBRARIES.get(kind)
        if package is not None and find_spec(package) is None:
            raise UnsupportedError(
                f"reading {kind.upper()} recordings needs {package}; install snnas with the extra [events]"
            )


def read_recordings(recordings: list[Recording]) -> Iterator[tuple[int, Events]]:
    """(place in the list, events in the order of the file), each once, in any order. Raises InvalidFileError."""
    batch: list[int] = []
    size = 0
    for place, recording in enumerate(recordings):
        if recording.format not in LIBRARIES:
            yield place, _read_here(recording)
            continue
        more = recording.path.stat().st_size
        if batch and (len(batch) == BATCH_FILES or size + more > BATCH_BYTES):
            yield from _read_by_child(recordings, batch)
            batch, size = [], 0
        batch.append(place)
        size += more
    if batch:
        yield from _read_by_child(recordings, batch)


def _read_by_child(recordings: list[Recording], batch: list[int]) -> Iterator[tuple[int, Events]]:
    try:
        tree = _ask([recordings[place] for place in batch])
    except InvalidFileError:
        if len(batch) == 1:
            raise
        for place in batch:  # one of them is damaged: which?
            yield from _read_by_child(recordings, [place])
        return
    for number, place in enumerate(batch):
        yield place, _checked(tree[str(number)], recordings[place].path)


def _ask(recordings: list[Recording]) -> dict[str, dict[str, Array]]:
    rows = [[str(recording.path.resolve()), recording.format] for recording in recordings]
    what = str(recordings[0].path) if len(rows) == 1 else f"{len(rows)} recordings"
    tree: dict[str, dict[str, Array]] = asked(CHILD, rows, what, SECONDS, LIMIT_BYTES)
    if len(tree) != len(rows):
        raise InvalidFileError(f"{what}: the reader gave {len(tree)} of {len(rows)}")
    return tree


def asked(child: Path, request: Any, what: str, seconds: float, limit_bytes: int) -> dict[str, Any]:
    """What a guarded child answers to ``request``, plain data that it reads as a JSON file; as ``ask_child``."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(request, file)
        file.flush()
        return ask_child(child, Path(file.name), what, seconds=seconds, limit_bytes=limit_bytes)


def _read_here(recording: Recording) -> Events:
    path = recording.path
    if recording.format == "arrays":
        return _checked(_arrays(path), path)
    with readable(path, "an event recording"):
        if path.stat().st_size > LIMIT_BYTES:
            raise InvalidFileError(f"{path}: {path.stat().st_size} bytes; at most {LIMIT_BYTES} are read")
        data = path.read_bytes()
    if recording.format == "nmnist":
        return read_nmnist(data, str(path))
    if recording.format == "evt3":
        return read_evt3(data, str(path))
    if recording.format == "aedat3":
        return read_aedat3(data, str(path), MAX_SIDE)
    assert recording.sensor is not None
    if recording.sensor == (128, 128):
        return read_aedat2_dvs128(data, str(path))
    return read_aedat2_davis(data, str(path), *recording.sensor)


def _arrays(path: Path) -> dict[str, Array]:
    """x, y, t, p of an .npz, or of the fields of an .npy."""
    expected = "arrays x, y, t and p: numpy.savez(FILE, x=..., y=..., t=..., p=...)"
    with readable(path, expected), warnings.catch_warnings(action="error"):
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                table = _array(file, path.stat().st_size, path)
            names = fields(table.dtype.names or ())
            if names is None:
                raise InvalidFileError(f"{path} is {table.dtype} {table.shape}, expected a table with x, y, t and p")
            return {key: table[name] for key, name in names.items()}
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            names = fields(members)
            if names is None:
                raise InvalidFileError(f"{path} holds {', '.join(members)[:80] or 'nothing'}, expected {expected}")
            found = {}
            for key, name in names.items():
                with archive.open(members[name]) as member:
                    found[key] = _array(member, members[name].file_size, path)
            return found


def _array(file: IO[bytes], size: int, path: Path) -> Array:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    count = int(np.prod([int(extent) for extent in shape], dtype=object))
    if dtype.hasobject or len(shape) != 1 or not 0 <= count * dtype.itemsize <= min(size, LIMIT_BYTES):
        raise InvalidFileError(f"{path} holds {dtype} {shape} in {size} bytes, expected one number per event")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count=count)


def _checked(columns: dict[str, Array], path: Path) -> Events:
    """int64 columns of one length; t of whole numbers is microseconds, t of fractions seconds; p is 1, or above 0."""
    try:
        found = {key: np.asarray(columns[key]) for key in "xypt"}
        shapes = {array.shape for array in found.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise InvalidFileError(f"{path}: x, y, t and p have shapes {sorted(shapes)}, expected one value per event")
        kinds = {key: array.dtype.newbyteorder("=").name for key, array in found.items()}
        for key, kind in kinds.items():
            if kind not in _INTEGERS and not (kind in _FLOATS and np.isfinite(found[key]).all()):
                raise InvalidFileError(f"{path}: {key} is {kind} and not finite numbers, expected some")
    except (KeyError, *READ_ERRORS) as error:
        raise InvalidFileError(f"{path}: its events make no sense ({type(error).__name__}); it is damaged") from None
    t = found["t"]
    t = np.rint(t * 1e6).astype(np.int64) if kinds["t"] in _FLOATS else t.astype(np.int64)
    x, y = (found[key].astype(np.int64) for key in "xy")
    if len(t) and (min(int(x.min()), int(y.min())) < 0 or max(int(x.max()), int(y.max())) >= MAX_SIDE):
        raise InvalidFileError(
            f"{path}: columns {x.min()} .. {x.max()}, rows {y.min()} .. {y.max()}; expected 0 .. {MAX_SIDE - 1}"
        )
    return Events(x, y, (found["p"] > 0).astype(np.int64), t)
