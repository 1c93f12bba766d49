"""A user's .npz: the arrays x and y, read without trust."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.raw import Array, byte_unit, floats

MAX_CLASSES = 10_000
LABELS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# What becomes uint8 or float32 without a loss that a network could see: whole numbers of a byte, and floats.
SAMPLES = ("bool", "float16", "float32", "float64", *LABELS)
# A user's arrays are held in memory, once as stored and once as float32.
MAX_ARRAY_BYTES = 8 * 2**30


def read_npz(path: Path) -> tuple[Array, Array]:
    """Read a user's file: ``x`` (N, C, H, W) or (N, T, C, H, W), bytes or floats in [0, 1]; ``y`` whole numbers (N,).

    Returns x as float32 in [0, 1] and y. uint8 is divided by 255, except where it holds nothing but 0 and 1: those are
    taken as they are (spike frames, masks). Every class needs three samples. Raises InvalidFileError.
    """
    x, y = read_stored(path)
    check_classes(y, path, least=3)
    return floats(x, byte_unit(x)), y


def _samples(x: Array, path: Path) -> Array:
    x = compact(x, f"array 'x' of {path}")
    check_values(x, path)
    return x


def read_stored(path: Path, checked: Callable[[Array, Path], Array] = _samples) -> tuple[Array, Array]:
    """The arrays x, uint8 or float32, and y, int64, each file checked by itself: shapes, ranges, labels >= 0.

    checked: takes x as it is stored, and the path, and returns it as it is used. Headers are checked against the limits
    and the file's own sizes before anything is allocated; pickled arrays are refused. Raises InvalidFileError.
    """
    expected = "a .npz file with the arrays x and y; write it with numpy.savez"
    # numpy warns of headers that it had to mend: those were not written by it.
    with readable(path, expected), warnings.catch_warnings(action="error"), zipfile.ZipFile(path) as archive:
        x = _read_array(archive, "x", path)
        y = _read_array(archive, "y", path)
    x = checked(x, path)
    if y.ndim == 2 and len(y) == len(x):
        raise InvalidFileError(
            f"y of {path} has shape {y.shape}, expected ({len(x)},): one label per sample of x; of one-hot labels "
            f"store y.argmax(1)"
        )
    if y.shape != (len(x),):
        raise InvalidFileError(f"y of {path} has shape {y.shape}, expected ({len(x)},): one label per sample of x")
    if int(y.min()) < 0 or int(y.max()) >= MAX_CLASSES:
        raise InvalidFileError(
            f"y of {path} lies in {y.min()} .. {y.max()}, expected labels from 0, at most {MAX_CLASSES} classes; "
            f"number the classes 0, 1, 2, ..."
        )
    return x, y.astype(np.int64)


def compact(x: Array, what: str) -> Array:
    """Samples as uint8 or float32: whole numbers must be bytes, floats of another width are rounded."""
    if x.dtype.kind == "f":
        return x.astype(np.float32, copy=False)
    if x.dtype.itemsize > 1 or x.dtype.kind == "i":
        low, high = (int(x.min()), int(x.max())) if x.size else (0, 0)
        if low < 0 or high > 255:
            raise InvalidFileError(f"{what} holds {x.dtype} in {low} .. {high}, expected 0 .. 255; rescale it")
    return x.astype(np.uint8, copy=False)


def check_values(x: Array, path: Path) -> None:
    """InvalidFileError unless x is (N, C, H, W) or (N, T, C, H, W), none empty, and floats lie in [0, 1]."""
    if x.ndim not in (4, 5) or 0 in x.shape:
        mend = {
            2: "; of images reshape it, x.reshape(-1, 1, H, W); of signals (N, L) say --data axis=time",
            3: "; of grey images store x[:, None]; of signals (N, L, C) say --data axis=time or window=W,hop=H",
        }.get(x.ndim, "")
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, expected (N, C, H, W) or (N, T, C, H, W), none empty{mend}"
        )
    if _channels_last(x.shape):
        axes, mend = ("N, H, W, C", "0, 3, 1, 2") if x.ndim == 4 else ("N, T, H, W, C", "0, 1, 4, 2, 3")
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, which looks like {axes}; expected channels before height and width, use "
            f"x.transpose({mend})"
        )
    if x.dtype != np.uint8:
        # min and max carry a NaN along, and then the comparison is false.
        low, high = float(x.min()), float(x.max())
        if not math.isfinite(low) or not math.isfinite(high):
            odd = ~np.isfinite(x)
            first, count = int(odd.reshape(len(x), -1).any(1).argmax()), int(odd.sum())
            kinds = " or ".join(name for name, is_one in (("NaN", np.isnan), ("infinite", np.isinf)) if is_one(x).any())
            raise InvalidFileError(
                f"x of {path}: {count} {'values are' if count > 1 else 'value is'} {kinds}, first in sample {first}; "
                f"expected [0, 1], leave such samples out"
            )
        if not (low >= 0 and high <= 1):
            raise InvalidFileError(f"x of {path} lies in [{low:g}, {high:g}], expected [0, 1]; rescale it")


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether height and width stand before the channels: as large as images are, before an axis of 1 to 4.

    Before an axis of 1 neither may be over three times the other: (N, C, L, 1) is a signal.
    """
    height, width, last = shape[-3:]
    near = max(height, width) <= 3 * min(height, width)
    return last <= 4 and min(height, width) >= 8 and (last > 1 or near)


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
        mend = (
            "store y - 1" if not counts[0] and counts[1:].all() else "add samples, or number the classes 0, 1, 2, ..."
        )
        raise InvalidFileError(
            f"class {rare} of {path} has {counts[rare]} samples, expected at least {least} (one for each split); {mend}"
        )


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    members = {info.filename: info for info in archive.infolist()}
    if f"{name}.npy" not in members:
        found = ", ".join(sorted(member.removesuffix(".npy") for member in members))[:120] or "nothing"
        folder = "; a split of your own is a folder of train.npz and test.npz" if "x_train.npy" in members else ""
        raise InvalidFileError(
            f"array {name!r} is missing in {path} (it holds {found}), expected x and y; write it with "
            f"numpy.savez(FILE, x=..., y=...){folder}"
        )
    info = members[f"{name}.npy"]
    allowed = SAMPLES if name == "x" else LABELS
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
        labels = allowed == LABELS
        mend = (
            "number them: numpy.unique(y, return_inverse=True)[1]" if dtype.kind in "US" else "convert it with .astype"
        )
        raise InvalidFileError(
            f"{what} is {dtype}, expected {'whole numbers' if labels else 'bytes or floats'}; {mend}"
        )
    if any(not 0 <= int(extent) < 2**40 for extent in shape):
        raise InvalidFileError(f"{what} has shape {shape}, expected extents >= 0")
    return tuple(int(extent) for extent in shape), dtype
