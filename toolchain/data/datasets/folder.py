"""A user's folder: train.npz and test.npz, or one folder of .png, .jpg or .npy files per class."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.npz import (
    MAX_ARRAY_BYTES,
    MAX_CLASSES,
    SAMPLES,
    check_classes,
    check_npy,
    check_values,
    compact,
    read_stored,
)
from snnas.toolchain.data.datasets.raw import Array, Raw, byte_unit, floats

IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
SUFFIXES = (*IMAGES, ".npy")
MAX_SAMPLES = 1_000_000
MAX_SIDE = 4096
_HOW = "expected train.npz and test.npz, or a folder of .png, .jpg or .npy files for each class"


def read_folder(folder: Path) -> Raw:
    """train.npz and test.npz; or <class>/*.png, *.jpg or *.npy; or the latter below train/ and test/.

    Classes are numbered by name. An image is (1, H, W) where it is grey and (3, H, W) where it has colours; a .npy is
    uint8 or float32 in [0, 1], (H, W), (C, H, W) or (T, C, H, W); all samples have one shape. An official split is
    kept; without one, a test split is drawn. Raises InvalidFileError, and UnsupportedError without Pillow for images.
    """
    if (folder / "train.npz").exists() or (folder / "test.npz").exists():
        parts = [read_stored(folder / name) for name in ("train.npz", "test.npz")]
        return _together(parts, folder, ())
    below = _folders(folder)
    if {"train", "test"} <= set(below):
        names = _folders(folder / "train")
        for name in _folders(folder / "test", least=1):
            if name not in names:
                raise InvalidFileError(
                    f"class {name!r} of {folder / 'test'} is not in {folder / 'train'}; add it there"
                )
        return _together([_read_classes(folder / part, names) for part in ("train", "test")], folder, tuple(names))
    x, y = _read_classes(folder, below)
    check_classes(y, folder, least=3)
    return _raw(x, y, None, tuple(below))


def _others(*folders: Path) -> str:
    """' and 3 .bmp, 1 .txt files': what else lies there, of the suffixes that are most frequent; '' if nothing."""
    files = (path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file())
    counts = Counter(path.suffix or "unnamed" for path in files)
    found = ", ".join(f"{count} {suffix[:20]}" for suffix, count in counts.most_common(3))
    return f" and {found} files" if found else ""


def _together(parts: list[tuple[Array, Array]], folder: Path, names: tuple[str, ...]) -> Raw:
    (x_train, y_train), (x_test, y_test) = parts
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InvalidFileError(
            f"the samples of {folder} have shape {x_train.shape[1:]} to train and {x_test.shape[1:]} to test, expected "
            f"one shape"
        )
    check_classes(y_train, folder, least=2)
    if int(y_test.max()) > int(y_train.max()):
        raise InvalidFileError(f"label {y_test.max()} of {folder} is in the test split alone, expected it in train too")
    if x_train.dtype != x_test.dtype:  # a byte of the one is not a float of the other
        x_train, x_test = (floats(x, byte_unit(x)) for x in (x_train, x_test))
    test = np.arange(len(y_train) + len(y_test)) >= len(y_train)
    return _raw(np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]), test, names)


def _raw(x: Array, y: Array, test: Array | None, names: tuple[str, ...]) -> Raw:
    unit = byte_unit(x)
    binary = x.ndim == 5 and (unit == 1 if x.dtype == np.uint8 else bool(np.isin(x, (0, 1)).all()))
    kind = "spikes" if binary else "analogue"
    return Raw(x=x, y=y, test=test, unit=unit, input_kind=kind, classes=int(y.max()) + 1, class_names=names)


def _folders(folder: Path, least: int = 2) -> list[str]:
    with readable(folder, _HOW):
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not least <= len(names) <= MAX_CLASSES:
        raise InvalidFileError(
            f"{folder} holds {len(names)} folders{_others(folder)}, {_HOW} ({least} to {MAX_CLASSES} classes)"
        )
    return names


def _read_classes(folder: Path, names: list[str]) -> tuple[Array, Array]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        place = folder / name
        found = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES) if place.is_dir() else []
        files += found
        labels += [label] * len(found)
    if not files or len(files) > MAX_SAMPLES:
        instead = "" if files else _others(*(folder / name for name in names))
        raise InvalidFileError(
            f"{folder} holds {len(files)} .png, .jpg and .npy files in {len(names)} folders{instead}, expected 1 to "
            f"{MAX_SAMPLES}"
        )
    first = _read_sample(files[0])
    if first.nbytes * len(files) > MAX_ARRAY_BYTES:
        raise InvalidFileError(f"{folder} takes {first.nbytes * len(files)} bytes, expected at most {MAX_ARRAY_BYTES}")
    x = np.empty((len(files), *first.shape), first.dtype)
    for row, file in enumerate(files):
        sample = _read_sample(file)
        if (sample.shape, sample.dtype) != (first.shape, first.dtype):
            raise InvalidFileError(
                f"{file} is {sample.dtype} {sample.shape}, expected {first.dtype} {first.shape} as {files[0]} is"
            )
        x[row] = sample
    check_values(x, folder)
    return x, np.array(labels, dtype=np.int64)


def _read_sample(file: Path) -> Array:
    sample = _read_npy(file) if file.suffix.lower() == ".npy" else _read_image(file)
    sample = sample[None] if sample.ndim == 2 else sample
    if sample.ndim not in (3, 4) or 0 in sample.shape:
        raise InvalidFileError(f"{file} has shape {sample.shape}, expected (H, W), (C, H, W) or (T, C, H, W)")
    return sample


def _read_npy(file: Path) -> Array:
    with readable(file, "a .npy file of numpy.save"), warnings.catch_warnings(action="error"), file.open("rb") as f:
        check_npy(f, file.stat().st_size, str(file), SAMPLES)
        f.seek(0)
        return compact(np.lib.format.read_array(f, allow_pickle=False), str(file))


def _read_image(file: Path) -> Array:
    try:
        from PIL import Image
    except ImportError:
        raise UnsupportedError(
            f"{file}: reading images needs Pillow; install snnas with the extra [search], or save .npy files"
        ) from None
    try:
        with (
            readable(file, f"a {file.suffix}"),
            warnings.catch_warnings(action="error"),
            Image.open(file, formats=[IMAGES[file.suffix.lower()]]) as image,
        ):
            if max(image.size) > MAX_SIDE:
                raise InvalidFileError(f"{file} has {image.size} pixels, expected at most {MAX_SIDE} a side")
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise InvalidFileError(f"{file} has mode {image.mode}, expected 8 bits a colour; convert it")
            grey = image.mode in ("1", "L", "LA")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except Image.DecompressionBombError:  # a size that Pillow refuses before we see it
        raise InvalidFileError(f"{file} declares too many pixels, expected at most {MAX_SIDE} a side") from None
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
