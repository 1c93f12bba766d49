"""Data sets: the bundled digits, and a user's own .npz. Every split is drawn once, from the run's seed.

The test split is for the last line of a report; what chooses anything uses the training and validation splits.
"""

from __future__ import annotations

import hashlib
import math
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import numpy as np

from hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from toolchain.seeds import stream

NAMES = ("digits",)
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.08
MAX_CLASSES = 10_000
# A user's arrays are held in memory, once as stored and once as float32.
MAX_ARRAY_BYTES = 8 * 2**30
# What a broken or hostile archive makes zipfile, zlib and numpy's header reader raise.
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    KeyError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    tokenize.TokenError,
    Warning,
)

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set with its three splits.

    x_*: float32 in ``range``, (N, C, H, W), or (N, T, C, H, W) for frames. y_*: int64 (N,), labels 0 .. classes - 1.
    input_kind: 'analogue', or 'spikes' where every value of a sequence is 0 or 1. digest: of x and y before the split.
    path: the file they came from, absolute, None for the bundled ones.
    """

    name: str
    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    x_test: Array
    y_test: Array
    classes: int
    input_kind: str = "analogue"
    range: tuple[float, float] = (0.0, 1.0)
    digest: str = ""
    path: Path | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.x_train.shape[-3:]
        return channels, height, width


def load(name_or_path: str | Path, *, seed: int) -> Dataset:
    """Return the data set called 'digits', or the one in a .npz file, split by ``seed``.

    The split is stratified: 20 % test and 8 % validation, both rounded up (digits: 360 and 144 of 1797). Raises
    UsageError for a name that is neither, InvalidFileError for a file that cannot be used.
    """
    name = str(name_or_path)
    if name == "digits":
        return _split("digits", *_digits(), seed)
    path = Path(name_or_path)
    if path.suffix == ".npz":
        return replace(_split(path.stem, *read_npz(path), seed), path=path.absolute())
    near = get_close_matches(name, NAMES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"unknown data set {name[:80]!r}, expected {', '.join(NAMES)} or the path of a .npz file{hint}")


def digest(x: Array, y: Array) -> str:
    """SHA-256 of the arrays as they are used: dtype, shape and values, whatever file, order or packing held them."""
    state = hashlib.sha256()
    for array in (x, y):
        state.update(f"{array.dtype.name} {array.shape};".encode())
        for k in range(0, len(array), 256):  # in pieces: a copy of the whole would double the memory
            state.update(np.ascontiguousarray(array[k : k + 256], dtype=array.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()


def _digits() -> tuple[Array, Array]:
    """1797 handwritten digits, 1x8x8, 17 grey levels (UCI optical recognition, bundled with scikit-learn)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UnsupportedError("data set 'digits' needs scikit-learn; install snnas with the extra [search]") from None
    bunch = load_digits()
    return (bunch.images[:, None] / 16).astype(np.float32), bunch.target.astype(np.int64)


def read_npz(path: Path) -> tuple[Array, Array]:
    """Read a user's file: ``x`` uint8 or float32 (N, C, H, W) or (N, T, C, H, W), ``y`` int64 (N,).

    Returns x as float32 in [0, 1] and y. uint8 is divided by 255, except where it holds nothing but 0 and 1: those are
    taken as they are (spike frames, masks), because an image of 256 levels that is as dark as that shows nothing.
    Headers are checked against the limits and the file's own sizes before anything is allocated; pickled arrays are
    refused. Raises InvalidFileError.
    """
    try:
        # numpy warns of headers that it had to mend: those were not written by it.
        with warnings.catch_warnings(action="error"), zipfile.ZipFile(path) as archive:
            x = _read_array(archive, "x", path)
            y = _read_array(archive, "y", path)
    except FileNotFoundError:
        raise InvalidFileError(f"{path} does not exist, expected a .npz file with the arrays x and y") from None
    except READ_ERRORS as error:
        raise InvalidFileError(
            f"{path} cannot be read ({type(error).__name__}: {str(error)[:120]}), expected a .npz file with the arrays "
            f"x and y; write it with numpy.savez"
        ) from None
    _check(x, y, path)
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255 if x.max() > 1 else 1), y
    return x, y


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    members = {info.filename: info for info in archive.infolist()}
    if f"{name}.npy" not in members:
        found = ", ".join(sorted(member.removesuffix(".npy") for member in members))[:120] or "nothing"
        raise InvalidFileError(f"array {name!r} is missing in {path} (it holds {found}), expected x and y")
    info = members[f"{name}.npy"]
    with archive.open(info) as member:
        shape, dtype = _header(member, name, path)
        wanted = math.prod(shape) * dtype.itemsize
        if wanted > MAX_ARRAY_BYTES:
            raise InvalidFileError(
                f"array {name!r} of {path} takes {wanted} bytes, expected at most {MAX_ARRAY_BYTES}; use fewer samples"
            )
        if wanted != info.file_size - member.tell():
            raise InvalidFileError(
                f"array {name!r} of {path} holds {info.file_size - member.tell()} bytes, expected {wanted} for shape "
                f"{shape}; the file is damaged, write it again"
            )
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _header(member: IO[bytes], name: str, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise InvalidFileError(f"array {name!r} of {path} has .npy version {version}, expected 1.0 or 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    allowed = ("uint8", "float32") if name == "x" else ("int64",)
    if dtype.str.lstrip("<|=") not in [np.dtype(kind).str.lstrip("<|=") for kind in allowed]:
        raise InvalidFileError(
            f"array {name!r} of {path} is {dtype}, expected {' or '.join(allowed)}; convert it with .astype"
        )
    if any(not 0 <= int(extent) < 2**40 for extent in shape):
        raise InvalidFileError(f"array {name!r} of {path} has shape {shape}, expected extents >= 0")
    return tuple(int(extent) for extent in shape), dtype


def _check(x: Array, y: Array, path: Path) -> None:
    if x.ndim not in (4, 5) or 0 in x.shape:
        raise InvalidFileError(f"x of {path} has shape {x.shape}, expected (N, C, H, W) or (N, T, C, H, W), none empty")
    if y.shape != (len(x),):
        raise InvalidFileError(f"y of {path} has shape {y.shape}, expected ({len(x)},): one label per sample of x")
    if x.dtype != np.uint8:
        # min and max carry a NaN along, and then the comparison is false.
        low, high = float(x.min()), float(x.max())
        if not (low >= 0 and high <= 1):
            raise InvalidFileError(f"x of {path} lies in [{low:g}, {high:g}], expected [0, 1]; rescale it")
    low_label, high_label = int(y.min()), int(y.max())
    if low_label < 0 or not 1 <= high_label < MAX_CLASSES:
        raise InvalidFileError(
            f"y of {path} lies in {low_label} .. {high_label}, expected labels from 0, at least two classes and at "
            f"most {MAX_CLASSES}; number the classes 0, 1, 2, ..."
        )
    counts = np.bincount(y)
    rare = int(counts.argmin())
    if counts[rare] < 3:
        raise InvalidFileError(
            f"class {rare} of {path} has {counts[rare]} samples, expected at least 3 (one each to train, validate, "
            f"test); add samples, or number the classes 0, 1, 2, ..."
        )


def _split(name: str, x: Array, y: Array, seed: int) -> Dataset:
    rng = stream(seed, "split")
    total, classes = len(y), int(y.max()) + 1
    test = _draw(y, np.ones(total, dtype=bool), math.ceil(TEST_SHARE * total), rng)
    val = _draw(y, ~test, math.ceil(VALIDATION_SHARE * total), rng)
    train = ~(test | val)
    frames = x.ndim == 5 and bool(np.isin(x, (0, 1)).all())
    return Dataset(
        name=name,
        x_train=x[train],
        y_train=y[train],
        x_val=x[val],
        y_val=y[val],
        x_test=x[test],
        y_test=y[test],
        classes=classes,
        input_kind="spikes" if frames else "analogue",
        digest=digest(x, y),
    )


def _draw(y: Array, pool: Array, size: int, rng: np.random.Generator) -> Array:
    """Return a mask of about ``size`` samples of the mask ``pool``, each class by its share, one of each at least.

    Exactly ``size`` where that leaves a class one sample; the largest remainders are rounded up.
    """
    counts = np.bincount(y)
    share = size * counts / len(y)
    quota = np.maximum(np.floor(share).astype(np.int64), 1)
    for label in np.argsort(np.floor(share) - share, kind="stable")[: max(size - int(quota.sum()), 0)]:
        quota[label] += 1
    mask = np.zeros(len(y), dtype=bool)
    for label, wanted in enumerate(quota):
        mask[rng.permutation(np.flatnonzero(pool & (y == label)))[:wanted]] = True
    return mask
