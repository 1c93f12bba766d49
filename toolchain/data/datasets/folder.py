"""A user's folder: train.npz and test.npz (and val.npz), or one folder of pictures or .npy files per class."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.image_file import IMAGES, Background, read_image
from snnas.toolchain.data.datasets.npz import (
    MAX_ARRAY_BYTES,
    SAMPLES,
    ArrayOptions,
    check_npy,
    check_values,
    compact,
    input_kind,
    numbered,
    read_stored,
)
from snnas.toolchain.data.datasets.raw import Array, Raw, byte_unit, floats
from snnas.toolchain.data.datasets.tree import read_tree

PARTS = ("train", "val", "test")
SUFFIXES = (*IMAGES, ".npy")
_HOW = (
    "expected train.npz and test.npz (and val.npz), or a folder of pictures (.png, .jpg, .bmp, .webp, .tif) or .npy "
    "files for each class"
)


@dataclass(frozen=True, slots=True)
class _Part:
    x: Array
    y: Array
    groups: Array | None = None


def read_one(path: Path, options: ArrayOptions) -> Raw:
    """A lone .npz, as float32."""
    x, y, groups = read_stored(path, options)
    unit, kind, notes = input_kind(x, options, path)
    x, groups = floats(x, unit), None if groups is None else numbered([groups])
    return Raw(x=x, y=y, classes=int(y.max()) + 1, input_kind=kind, groups=groups, notes=notes)


def read_folder(folder: Path, options: ArrayOptions, background: Background = "white") -> Raw:
    """train.npz and test.npz or val.npz; or <class>/*; or the latter below train/ and test/ or val/.

    Classes are numbered by name. A picture is (1, H, W) where it is grey and (3, H, W) where it has colours; a .npy is
    uint8 or float32 in [0, 1], (H, W), (C, H, W) or (T, C, H, W); all samples have one shape. What there is of a split
    is kept, the rest is drawn. Raises InvalidFileError, and UnsupportedError without Pillow for pictures.
    """
    if any((folder / f"{part}.npz").exists() for part in PARTS):
        return _files(folder, options)
    if options.layout is not None:
        raise InvalidFileError(f"--data layout is for .npz files, and {folder} has none; save each .npy as (C, H, W)")
    if options.groups not in (None, "folder"):
        raise InvalidFileError(
            f"groups={options.groups}: the class folders of {folder} hold no such column; expected groups=folder (the "
            "folder below a class's), or an .npz with an array of that name"
        )
    return _classes(folder, options, background)


def _files(folder: Path, options: ArrayOptions) -> Raw:
    """train.npz with test.npz, val.npz or both; without a test.npz test samples are drawn of train.npz."""
    named = [part for part in PARTS if part == "train" or (folder / f"{part}.npz").exists()]
    if named == ["train"]:
        named.append("test")  # it is missed by name
    stored = [_Part(*read_stored(folder / f"{part}.npz", options)) for part in named]
    first = stored[0]
    for part, held in zip(named, stored, strict=True):
        if held.x.shape[1:] != first.x.shape[1:]:
            raise InvalidFileError(
                f"the samples of {folder} have shape {first.x.shape[1:]} to train and {held.x.shape[1:]} to {part}, "
                f"expected one shape"
            )
        if int(held.y.max()) > int(first.y.max()):
            raise InvalidFileError(f"label {held.y.max()} of {folder} is in {part}.npz alone, expected it in train too")
    xs = _one_type(folder, named, [held.x for held in stored], options)
    groups = None
    if options.groups is not None:
        groups = numbered([held.groups for held in stored if held.groups is not None])
    return _raw(
        np.concatenate(xs),
        np.concatenate([held.y for held in stored]),
        np.repeat(named, [len(held.y) for held in stored]),
        options,
        folder,
        Raw(x=xs[0], y=first.y, classes=int(first.y.max()) + 1, groups=groups),
    )


def _one_type(folder: Path, named: list[str], xs: list[Array], options: ArrayOptions) -> list[Array]:
    """The samples of all files in one type; InvalidFileError where the same value would mean two things."""
    if len({x.dtype for x in xs}) > 1:  # a byte of the one is not a float of the other
        return [floats(x, 1 if options.counts else byte_unit(x)) for x in xs]
    units = {part: byte_unit(x) for part, x in zip(named, xs, strict=True)}
    if len(set(units.values())) > 1 and not options.counts:
        plain, levels = (next(part for part in named if units[part] == unit) for unit in (1, 255))
        raise InvalidFileError(
            f"{folder}: {plain}.npz holds nothing but 0 and 1, {levels}.npz bytes up to "
            f"{max(int(x.max()) for x in xs)}: a 1 is a spike in the one and 1/255 in the other; of counts give --data "
            f"counts=true, of images store floats in [0, 1]"
        )
    return xs


def _raw(x: Array, y: Array, parts: Array, options: ArrayOptions, folder: Path, about: Raw) -> Raw:
    unit, kind, notes = input_kind(x, options, folder)
    test, val = (parts == part if (parts == part).any() else None for part in ("test", "val"))
    return replace(about, x=x, y=y, unit=unit, input_kind=kind, test=test, val=val, notes=(*about.notes, *notes))


def _classes(folder: Path, options: ArrayOptions, background: Background) -> Raw:
    tree = read_tree(folder, SUFFIXES, _HOW)
    found: Counter[str] = Counter()
    first = _read_sample(tree.files[0], background, Counter())
    if first.nbytes * len(tree.files) > MAX_ARRAY_BYTES:
        raise InvalidFileError(
            f"{folder} takes {first.nbytes * len(tree.files)} bytes, expected at most {MAX_ARRAY_BYTES}"
        )
    x = np.empty((len(tree.files), *first.shape), first.dtype)
    for row, file in enumerate(tree.files):
        sample = _read_sample(file, background, found)
        if (sample.shape, sample.dtype) != (first.shape, first.dtype):
            raise InvalidFileError(
                f"{file} is {sample.dtype} {sample.shape}, expected {first.dtype} {first.shape} as {tree.files[0]} is"
            )
        x[row] = sample
    check_values(x, folder)
    groups = None
    if options.groups is not None:  # a/anna/1.png and b/anna/2.png are of one group
        groups = numbered([np.array(tree.by_folder())])
    said = (f"{count} {what}" for what, count in found.most_common())
    about = Raw(
        x=x, y=np.zeros(0), classes=len(tree.names), class_names=tuple(tree.names), groups=groups,
        notes=(*tree.notes, *said),
    )  # fmt: skip
    return _raw(x, np.array(tree.labels, dtype=np.int64), np.array(tree.parts), options, folder, about)


def _read_sample(file: Path, background: Background, found: Counter[str]) -> Array:
    sample = _read_npy(file) if file.suffix.lower() == ".npy" else read_image(file, background, found)
    sample = sample[None] if sample.ndim == 2 else sample
    if sample.ndim not in (3, 4) or 0 in sample.shape:
        raise InvalidFileError(f"{file} has shape {sample.shape}, expected (H, W), (C, H, W) or (T, C, H, W)")
    return sample


def _read_npy(file: Path) -> Array:
    with readable(file, "a .npy file of numpy.save"), warnings.catch_warnings(action="error"), file.open("rb") as f:
        check_npy(f, file.stat().st_size, str(file), SAMPLES)
        f.seek(0)
        return compact(np.lib.format.read_array(f, allow_pickle=False), str(file))
