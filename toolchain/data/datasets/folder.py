"""A user's folder: train.npz and test.npz (and val.npz), or one folder of pictures or .npy files per class."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.image_file import IMAGES, Background, read_image
from snnas.toolchain.data.datasets.npz import (
    MAX_ARRAY_BYTES,
    SAMPLES,
    ArrayOptions,
    Stored,
    check_npy,
    check_values,
    compact,
    input_kind,
    numbered,
    read_stored,
)
from snnas.toolchain.data.datasets.raw import Array, Raw, byte_unit, floats, own_split
from snnas.toolchain.data.datasets.tree import read_tree

PARTS = ("train", "val", "test")
SUFFIXES = (*IMAGES, ".npy")
_HOW = (
    "expected train.npz and test.npz (and val.npz), or a folder of pictures (.png, .jpg, .bmp, .webp, .tif) or .npy "
    "files for each class"
)


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


def part_names(folder: Path) -> list[str]:
    """Which of PARTS ``folder`` holds as .npz: train always; test too where it is alone, to be missed by name."""
    found = [part for part in PARTS if part == "train" or (folder / f"{part}.npz").exists()]
    return found if len(found) > 1 else ["train", "test"]


def together(stored: Mapping[str, Stored]) -> tuple[Array, Array, Array | None]:
    """Labels of all parts, one after the other, the part of each, and its group where files say groups."""
    _, labels, groups = zip(*stored.values(), strict=True)
    named = numbered([one for one in groups if one is not None]) if groups[0] is not None else None
    return np.concatenate(labels), np.repeat([*stored], [len(y) for y in labels]), named


def _files(folder: Path, options: ArrayOptions) -> Raw:
    """train.npz with test.npz, val.npz or both; without a test.npz test samples are drawn of train.npz."""
    stored = {part: read_stored(folder / f"{part}.npz", options) for part in part_names(folder)}
    first, y, _ = stored["train"]
    for part, (x, labels, _) in stored.items():
        if x.shape[1:] != first.shape[1:]:
            raise InvalidFileError(
                f"the samples of {folder} have shape {first.shape[1:]} to train and {x.shape[1:]} to {part}, expected "
                f"one shape"
            )
        require_trained(labels, y, folder, part)
    xs = _one_type(folder, {part: x for part, (x, _, _) in stored.items()}, options)
    every, parts, groups = together(stored)
    return _raw(np.concatenate(xs), every, parts, options, folder, classes=int(y.max()) + 1, groups=groups)


def require_trained(labels: Array, y: Array, folder: Path, part: str) -> None:
    """InvalidFileError where ``part`` has a class that the labels ``y`` of train lack."""
    if int(labels.max()) > int(y.max()):
        raise InvalidFileError(f"label {labels.max()} of {folder} is in {part}.npz alone, expected it in train too")


def _one_type(folder: Path, named: Mapping[str, Array], options: ArrayOptions) -> list[Array]:
    """The samples of all files in one type; InvalidFileError where the same value would mean two things."""
    xs, units = [*named.values()], {part: byte_unit(x) for part, x in named.items()}
    if len({x.dtype for x in xs}) > 1:  # a byte of the one is not a float of the other
        return [floats(x, 1 if options.counts else units[part]) for part, x in named.items()]
    if len(set(units.values())) > 1 and not options.counts:
        plain, levels = (next(part for part in named if units[part] == unit) for unit in (1, 255))
        raise InvalidFileError(
            f"{folder}: {plain}.npz holds nothing but 0 and 1, {levels}.npz bytes up to "
            f"{max(int(x.max()) for x in xs)}: a 1 is a spike in the one and 1/255 in the other; of counts give --data "
            f"counts=true, of images store floats in [0, 1]"
        )
    return xs


def _raw(x: Array, y: Array, parts: Array, options: ArrayOptions, folder: Path, **about: Any) -> Raw:
    """about: other fields; notes of it come first."""
    unit, kind, notes = input_kind(x, options, folder)
    about["notes"] = (*about.get("notes", ()), *notes)
    return Raw(x=x, y=y, unit=unit, input_kind=kind, **own_split(parts), **about)


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
    about = {"classes": len(tree.names), "class_names": tuple(tree.names), "notes": (*tree.notes, *said)}
    y = np.array(tree.labels, dtype=np.int64)
    return _raw(x, y, np.array(tree.parts), options, folder, groups=groups, **about)


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
