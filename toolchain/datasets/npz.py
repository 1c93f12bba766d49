"""A user's .npz: the arrays x and y, read without trust."""

from __future__ import annotations

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from hw_sim.errors import InvalidFileError
from toolchain.datasets.archives import readable
from toolchain.datasets.raw import Array, byte_unit, floats

MAX_CLASSES = 10_000
# A user's arrays are held in memory, once as stored and once as float32.
MAX_ARRAY_BYTES = 8 * 2**30


def read_npz(path: Path) -> tuple[Array, Array]:
    """Read a user's file: ``x`` uint8 or float32 (N, C, H, W) or (N, T, C, H, W), ``y`` int64 (N,).

    Returns x as float32 in [0, 1] and y. uint8 is divided by 255, except where it holds nothing but 0 and 1: those are
    taken as they are (spike frames, masks). Every class needs three samples. Raises InvalidFileError.
    """
    x, y = read_stored(path)
    check_classes(y, path, least=3)
    return floats(x, byte_unit(x)), y


def read_stored(path: Path) -> tuple[Array, Array]:
    """The arrays x and y as they are stored, each file checked by itself: shapes, ranges, labels >= 0.

    Headers are checked against the limits and the file's own sizes before anything is allocated; pickled arrays are
    refused. Raises InvalidFileError.
    """
    expected = "a .npz file with the arrays x and y; write it with numpy.savez"
    # numpy warns of headers that it had to mend: those were not written by it.
    with readable(path, expected), warnings.catch_warnings(action="error"), zipfile.ZipFile(path) as archive:
        x = _read_array(archive, "x", path)
        y = _read_array(archive, "y", path)
    check_values(x, path)
    if y.shape != (len(x),):
        raise InvalidFileError(f"y of {path} has shape {y.shape}, expected ({len(x)},): one label per sample of x")
    if int(y.min()) < 0 or int(y.max()) >= MAX_CLASSES:
        raise InvalidFileError(
            f"y of {path} lies in {y.min()} .. {y.max()}, expected labels from 0, at most {MAX_CLASSES} classes; "
            f"number the classes 0, 1, 2, ..."
        )
    return x, y


def check_values(x: Array, path: Path) -> None:
    """InvalidFileError unless x is (N, C, H, W) or (N, T, C, H, W), none empty, and floats lie in [0, 1]."""
    if x.ndim not in (4, 5) or 0 in x.shape:
        raise InvalidFileError(f"x of {path} has shape {x.shape}, expected (N, C, H, W) or (N, T, C, H, W), none empty")
    if x.dtype != np.uint8:
        # min and max carry a NaN along, and then the comparison is false.
        low, high = float(x.min()), float(x.max())
        if not (low >= 0 and high <= 1):
            raise InvalidFileError(f"x of {path} lies in [{low:g}, {high:g}], expected [0, 1]; rescale it")


def check_classes(y: Array, path: Path, *, least: int) -> None:
    """InvalidFileError unless there are two classes and each of 0 .. max(y) has ``least`` samples."""
    counts = np.bincount(y)
    if len(counts) < 2:
        raise InvalidFileError(
            f"y of {path} lies in {y.min()} .. {y.max()}, expected labels from 0, at least two classes and at most "
            f"{MAX_CLASSES}; number the classes 0, 1, 2, ..."
        )
    rare = int(counts.argmin())
    if counts[rare] < least:
        raise InvalidFileError(
            f"class {rare} of {path} has {counts[rare]} samples, expected at least {least} (one for each split); add "
            f"samples, or number the classes 0, 1, 2, ..."
        )


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    members = {info.filename: info for info in archive.infolist()}
    if f"{name}.npy" not in members:
        found = ", ".join(sorted(member.removesuffix(".npy") for member in members))[:120] or "nothing"
        raise InvalidFileError(f"array {name!r} is missing in {path} (it holds {found}), expected x and y")
    info = members[f"{name}.npy"]
    allowed = ("uint8", "float32") if name == "x" else ("int64",)
    with archive.open(info) as member:
        check_npy(member, info.file_size, f"array {name!r} of {path}", allowed)
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def check_npy(file: IO[bytes], size: int, what: str, allowed: tuple[str, ...]) -> None:
    """InvalidFileError unless the header of a .npy file of ``size`` bytes promises what it holds, in a type allowed."""
    shape, dtype = _header(file, what, allowed)
    wanted, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if wanted > MAX_ARRAY_BYTES:
        raise InvalidFileError(f"{what} takes {wanted} bytes, expected at most {MAX_ARRAY_BYTES}; use fewer samples")
    if wanted != held:
        raise InvalidFileError(
            f"{what} holds {held} bytes, expected {wanted} for shape {shape}; the file is damaged, write it again"
        )


def _header(file: IO[bytes], what: str, allowed: tuple[str, ...]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InvalidFileError(f"{what} has .npy version {version}, expected 1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.str.lstrip("<|=") not in [np.dtype(kind).str.lstrip("<|=") for kind in allowed]:
        raise InvalidFileError(f"{what} is {dtype}, expected {' or '.join(allowed)}; convert it with .astype")
    if any(not 0 <= int(extent) < 2**40 for extent in shape):
        raise InvalidFileError(f"{what} has shape {shape}, expected extents >= 0")
    return tuple(int(extent) for extent in shape), dtype
