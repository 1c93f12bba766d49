"""A user's .npz: the arrays x and y, read without trust."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean, exact
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.raw import Array, byte_unit, floats

MAX_CLASSES = 10_000
LABELS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# What becomes uint8 or float32 without a loss that a network could see: whole numbers of a byte, and floats.
SAMPLES = ("bool", "float16", "float32", "float64", *LABELS)
# A user's arrays are held in memory, once as stored and once as float32.
MAX_ARRAY_BYTES = 8 * 2**30
ONE_HOT = "of one-hot labels store y.argmax(1)"
FEW_LEVELS = 32  # bytes of frames that reach no higher are rather counts of events than grey levels
_LAYOUTS = (sorted("NCHW"), sorted("NTCHW"))
SIGNAL_LAYOUTS = ("NLC", "NCL")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayOptions:
    """What a user says of own arrays.

    counts: values are numbers of events, whole and at most 255, as ``FrameOptions.counts`` makes them. layout: the axes
    of x in the file, of N, T, C, H, W once each; None: NCHW or NTCHW; of signals one of SIGNAL_LAYOUTS. groups: an
    array of the file that says which samples belong together.
    """

    counts: bool = False
    layout: str | None = None
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.layout is None or self.layout in SIGNAL_LAYOUTS:
            return
        if self.layout[:1] != "N" or sorted(self.layout) not in _LAYOUTS:
            raise UsageError(
                f"--data layout={self.layout[:20]}: expected N and then C, H, W and for frames T, in the order of the "
                f"file, such as NHWC or NCTHW; of signals {' or '.join(SIGNAL_LAYOUTS)}"
            )


def read_npz(path: Path) -> tuple[Array, Array]:
    """Read a user's file: ``x`` (N, C, H, W) or (N, T, C, H, W), bytes or floats in [0, 1]; ``y`` whole numbers (N,).

    Returns x as float32 in [0, 1] and y. uint8 is divided by 255, except where it holds nothing but 0 and 1: those are
    taken as they are (spike frames, masks). Every class needs three samples. Raises InvalidFileError.
    """
    x, y, _ = read_stored(path, ArrayOptions())
    check_classes(y, path, least=3)
    return floats(x, byte_unit(x)), y


Checked = Callable[[Array, Path], Array]
Stored = tuple[Array, Array, Array | None]  # x, y and groups


def read_stored(path: Path, options: ArrayOptions, checked: Checked | None = None) -> Stored:
    """The arrays x, uint8 or float32, y and the groups, int64, each checked by itself: shapes, ranges, labels >= 0.

    checked: takes x as it is stored, and the path, and returns it as it is used, where it is no image.

    Headers are checked against the limits and the file's own sizes before anything is allocated; pickled arrays are
    refused. Raises InvalidFileError.
    """
    expected = "a .npz file with the arrays x and y; write it with numpy.savez"
    # numpy warns of headers that it had to mend: those were not written by it.
    with readable(path, expected), warnings.catch_warnings(action="error"), zipfile.ZipFile(path) as archive:
        x = _read_array(archive, "x", path, SAMPLES)
        y = _read_array(archive, "y", path, LABELS)
        groups = None if options.groups is None else _read_array(archive, options.groups, path, ())
    if options.counts and x.dtype.kind == "f" and x.size and bool((x == np.floor(x)).all()):
        x = x.astype(np.int64) if np.abs(x).max() < 2**31 else x
    if checked is not None:
        x = checked(x, path)
    else:
        x = compact(_in_layout(x, path, options), f"array 'x' of {path}")
        check_values(x, path, told=options.layout is not None)
    y = _labels(y, len(x), path)
    if groups is not None:
        if groups.shape != (len(x),):
            raise InvalidFileError(
                f"groups={options.groups}: that array of {path} has shape {groups.shape}, expected ({len(x)},)"
            )
        groups = groups.astype("U") if groups.dtype.kind in "US" else groups
    return x, y, groups


def numbered(groups: list[Array]) -> Array:
    """Names or numbers of groups, of all parts together, as int64 (N,) from 0."""
    return np.unique(np.concatenate(groups), return_inverse=True)[1].astype(np.int64)


def _in_layout(x: Array, path: Path, options: ArrayOptions) -> Array:
    if options.layout is None:
        return x
    if options.layout in SIGNAL_LAYOUTS:
        raise UsageError(f"--data layout={options.layout} is of signals; say what time is too: --data axis=time")
    if x.ndim != len(options.layout):
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, expected {len(options.layout)} axes for --data layout={options.layout}"
        )
    order = [options.layout.index(axis) for axis in ("NCHW" if x.ndim == 4 else "NTCHW")]
    return x.transpose(order)


def _labels(y: Array, samples: int, path: Path) -> Array:
    """One label per sample, int64 (N,), from 0; a column (N, 1) is that too."""
    if y.shape == (samples, 1):
        y = y.ravel()
    if y.shape != (samples,):
        raise InvalidFileError(
            f"y of {path} has shape {y.shape}, expected ({samples},): one label per sample of x{_several(y, samples)}"
        )
    if int(y.min()) < 0 or int(y.max()) >= MAX_CLASSES:
        raise InvalidFileError(
            f"y of {path} lies in {y.min()} .. {y.max()}, expected labels from 0, at most {MAX_CLASSES} classes; "
            f"number the classes 0, 1, 2, ..."
        )
    return y.astype(np.int64)


def _several(y: Array, samples: int) -> str:
    """What labels of another shape are, and what to do."""
    if y.ndim != 2 or len(y) != samples:
        return ""
    ones = bool(np.isin(y, (0, 1)).all())
    if ones and bool((y.sum(1) == 1).all()):
        return f"; {ONE_HOT}"
    if bool((y == y[:, :1]).all()):
        return "; every row says one label over and over: store y[:, 0]"
    if ones:
        return "; rows with several ones or none are multi-label, which is not supported: keep one class per sample"
    return "; labels per timestep are not supported: cut x into parts of one label each, or keep one per sample"


def input_kind(x: Array, options: ArrayOptions, path: Path) -> tuple[int, str, tuple[str, ...]]:
    """What bytes of own arrays are divided by, the input kind, and notes on what that rests on.

    InvalidFileError for counts that are no frames of whole numbers.
    """
    if options.counts:
        if x.ndim != 5 or x.dtype != np.uint8:
            what = "fractions" if x.ndim == 5 else f"shape {x.shape}"
            raise InvalidFileError(
                f"x of {path} has {what}, expected frames (N, T, C, H, W) of whole numbers with --data counts=true"
            )
        return 1, "counts", ()
    unit = byte_unit(x)
    if x.ndim != 5:
        return unit, "analogue", ()
    if unit == 1 and (x.dtype == np.uint8 or bool(np.isin(x, (0, 1)).all())):
        return unit, "spikes", ()
    few = unit == 255 and int(x.max()) <= FEW_LEVELS
    note = f"frames hold whole numbers up to {int(x.max())}, divided by 255; of counts give --data counts=true"
    return unit, "analogue", (note,) if few else ()


def compact(x: Array, what: str) -> Array:
    """Samples as uint8 or float32: whole numbers must be bytes, floats of another width are rounded."""
    if x.dtype.kind == "f":
        return x.astype(np.float32, copy=False)
    if x.dtype.itemsize > 1 or x.dtype.kind == "i":
        low, high = (int(x.min()), int(x.max())) if x.size else (0, 0)
        if low < 0 or high > 255:
            raise InvalidFileError(f"{what} holds {x.dtype} in {low} .. {high}, expected 0 .. 255; rescale it")
    return x.astype(np.uint8, copy=False)


def check_values(x: Array, path: Path, *, told: bool = False) -> None:
    """InvalidFileError unless x is (N, C, H, W) or (N, T, C, H, W), none empty, and floats lie in [0, 1].

    told: the user said what the axes are.
    """
    if x.ndim not in (4, 5) or 0 in x.shape:
        mend = {
            2: "; of images reshape it, x.reshape(-1, 1, H, W); of signals (N, L) say --data axis=time",
            3: "; of grey images store x[:, None]; of signals (N, L, C) say --data axis=time, window=W or axis=length, "
            "and of (N, C, L) layout=NCL too",
        }.get(x.ndim, "")
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, expected (N, C, H, W) or (N, T, C, H, W), none empty{mend}"
        )
    if not told and x.ndim == 5 and x.shape[1] <= 3 and x.shape[2] > max(4, x.shape[1]):
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}: {x.shape[1]} frames of {x.shape[2]} channels, which looks like N, C, T, "
            f"H, W; if so, give --data layout=NCTHW, else layout=NTCHW"
        )
    if not told and _channels_last(x.shape):
        axes, mend = ("N, H, W, C", "0, 3, 1, 2") if x.ndim == 4 else ("N, T, H, W, C", "0, 1, 4, 2, 3")
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, which looks like {axes}; expected channels before height and width, use "
            f"x.transpose({mend}), or give --data layout={axes.replace(', ', '')}"
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
            near = "clip it: x.clip(0, 1)" if low >= -1e-5 and high <= 1 + 1e-5 else "rescale it"
            raise InvalidFileError(f"x of {path} lies in [{exact(x.min())}, {exact(x.max())}], expected [0, 1]; {near}")


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether height and width stand before the channels: as large as images are, before an axis of 1 to 4.

    Before an axis of 1 neither may be over three times the other: (N, C, L, 1) is a signal.
    """
    height, width, last = shape[-3:]
    near = max(height, width) <= 3 * min(height, width)
    return last <= 4 and min(height, width) >= 8 and (last > 1 or near)


def check_classes(y: Array, path: Path | str, *, least: int, names: tuple[str, ...] = ()) -> None:
    """InvalidFileError unless there are two classes and each of 0 .. max(y) has ``least`` samples.

    names: of the classes where they are folders, so that nobody is told to number them.
    """
    counts = np.bincount(y, minlength=len(names))
    if len(counts) < 2:
        raise InvalidFileError(
            f"y of {path} lies in {y.min()} .. {y.max()}, expected labels from 0, at least two classes and at most "
            f"{MAX_CLASSES}; number the classes 0, 1, 2, ..."
        )
    rare = int(counts.argmin())
    if counts[rare] < least:
        who = f"class {names[rare]!r}" if names else f"class {rare}"
        mend = "add samples" if names else "add samples, or number the classes 0, 1, 2, ..."
        if not names and not counts[0] and counts[1:].all():
            mend = "store y - 1"
        raise InvalidFileError(
            f"{who} of {path} has {counts[rare]} samples, expected at least {least} (one for each split); {mend}"
        )


def _read_array(archive: zipfile.ZipFile, name: str, path: Path, allowed: tuple[str, ...]) -> Array:
    """An array by name; allowed: its types, or () for whole numbers and text."""
    members = {info.filename: info for info in archive.infolist()}
    if f"{name}.npy" not in members:
        found = ", ".join(sorted(member.removesuffix(".npy") for member in members))[:120] or "nothing"
        folder = "; a split of your own is a folder of train.npz and test.npz" if "x_train.npy" in members else ""
        if name not in ("x", "y"):
            hint = did_you_mean(name, [member.removesuffix(".npy") for member in members])
            raise InvalidFileError(
                f"array {name[:60]!r} is missing in {path} (it holds {found}); name one for groups={hint}"
            )
        raise InvalidFileError(
            f"array {name!r} is missing in {path} (it holds {found}), expected x and y; write it with "
            f"numpy.savez(FILE, x=..., y=...){folder}"
        )
    info = members[f"{name}.npy"]
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
    plain = dtype.str.lstrip("<|=>")  # of either byte order
    if allowed == () and dtype.kind in "US":
        allowed = (dtype.str,)
    if plain not in [np.dtype(kind).str.lstrip("<|=>") for kind in allowed or LABELS]:
        labels = allowed in (LABELS, ())
        mend = f"convert it with .astype({'int64' if labels else 'float32'!r})"
        if dtype.kind in "US":
            mend = "number them: numpy.unique(y, return_inverse=True)[1]"
        elif labels and len(shape) == 2 and shape[1] > 1:
            mend = ONE_HOT
        raise InvalidFileError(
            f"{what} is {dtype}, expected {'whole numbers' if labels else 'bytes or floats'}; {mend}"
        )
    if any(not 0 <= int(extent) < 2**40 for extent in shape):
        raise InvalidFileError(f"{what} has shape {shape}, expected extents >= 0")
    return tuple(int(extent) for extent in shape), dtype
