"""Data sets: the bundled digits, the official files of the papers' sets, and a user's own. ``docs/data.md`` says more.

An official test split is kept; whatever is drawn is drawn once, from the run's seed. The test split is for the last
line of a report; what chooses anything uses the training and validation splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import UnsupportedError, UsageError, did_you_mean
from snnas.toolchain.data.datasets import recordings
from snnas.toolchain.data.datasets.cache import cached_frames
from snnas.toolchain.data.datasets.catalogue import SETS, Official, data_folder
from snnas.toolchain.data.datasets.fetch import fetch
from snnas.toolchain.data.datasets.folder import read_folder
from snnas.toolchain.data.datasets.frames import FrameOptions, SplitBy
from snnas.toolchain.data.datasets.images import read_images
from snnas.toolchain.data.datasets.npz import MAX_ARRAY_BYTES, read_npz
from snnas.toolchain.data.datasets.raw import Array, Raw, digest, floats
from snnas.toolchain.data.datasets.shd import shd, shd_files
from snnas.toolchain.data.seeds import stream

__all__ = ["NAMES", "Array", "Dataset", "digest", "load", "read_npz"]

NAMES = ("digits", *SETS)
VALIDATION_SHARE = 0.08
_EVENT_SETS: dict[str, tuple[Any, Any]] = {
    "nmnist": (recordings.nmnist_files, recordings.nmnist),
    "dvs128_gesture": (recordings.gesture_files, recordings.gesture),
    "cifar10_dvs": (recordings.cifar10_dvs_files, recordings.cifar10_dvs),
    "shd": (shd_files, shd),
}

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set with its three splits.

    x_*: float32 in ``range``, (N, C, H, W), or (N, T, C, H, W) for frames; loaded ``compact``, bytes may stay uint8,
    and ``batch`` turns them into that. y_*: int64 (N,), labels 0 .. classes - 1. input_kind: 'analogue', 'spikes' where
    every value of a sequence is 0 or 1, or 'counts'. digest: of x and y before the split, as they are stored (a lone
    .npz: as float32). path: the user's file or folder, absolute, None for a set that has a name. options: what ``load``
    needs beside name and seed to give the same again, plain values. class_names: by label, or (). own_test: the test
    split is the set's own, and not drawn.
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
    unit: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    own_test: bool = False

    @property
    def summary(self) -> str:
        """What was read, in one line: samples, their shape, classes, kind, and the splits."""
        train, val, test = len(self.y_train), len(self.y_val), len(self.y_test)
        frames = f"{self.x_train.shape[1]} frames of " if self.x_train.ndim == 5 else ""
        shape = " x ".join(map(str, self.input_shape))
        drawn = "the set's own test split" if self.own_test else "test split drawn"
        held = f"{train + val + test:,} samples of {frames}{shape}, {self.classes} classes, {self.input_kind}"
        splits = f"{train:,} training, {val:,} validation, {test:,} test ({drawn})"
        return f"{self.path.name if self.path else self.name}: {held}; {splits}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.x_train.shape[-3:]
        return channels, height, width

    def batch(self, x: Array) -> Array:
        """Some samples of x_train, x_val or x_test as float32 in ``range``; what is float32 comes back as it is."""
        return floats(x, self.unit)


def load(
    name_or_path: str | Path,
    *,
    seed: int,
    data_dir: str | Path | None = None,
    frames: int | None = None,
    split_by: SplitBy | None = None,
    downsample: int | None = None,
    counts: bool = False,
    train_limit: int | None = None,
    compact: bool = False,
    download: bool = False,
    advance: Advance = lambda done, total: None,
) -> Dataset:
    """Return the data set of that name, or the one in a .npz file or a folder, split by ``seed``.

    name_or_path: one of NAMES, read from <data_dir>/<name> (data_dir: else $SNNAS_DATA, else ./data); a .npz with x and
    y; a folder (``folder``). frames (16), split_by ('count'), downsample (1) and counts are of event
    sets alone: ``FrameOptions``. train_limit: keeps that many training samples, stratified.
    compact: bytes stay bytes, a quarter of the memory (digits and a lone .npz are float32). download: gets missing
    official files first. advance: takes (recordings done, in all) while frames are made.

    An official test split stays; else 20 % of the samples (10 % of CIFAR10-DVS, the papers' share) are drawn for it.
    8 % of the samples, or of the official training part, validate. All draws are stratified and rounded up (digits: 360
    and 144 of 1797). Raises UsageError for a name that is none of these and for an option that does not apply,
    InvalidFileError for a file that is missing or cannot be used, UnsupportedError where a download cannot be had.
    """
    name = str(name_or_path)
    path = Path(name_or_path)
    asked = {"frames": frames, "split_by": split_by, "downsample": downsample, "counts": counts or None}
    options: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    official = SETS.get(name)
    if options and (official is None or not official.events):
        option = next(iter(options)).replace("_", "-")
        events = ", ".join(key for key, entry in SETS.items() if entry.events)
        raise UsageError(f"--{option} is for event data ({events}), and {name[:80]} holds none; leave it away")
    if official is not None:
        found_in = data_folder(data_dir)
        if download:
            fetch(official, found_in)
        raw, hashed = _read_official(official, found_in, options, advance)
        if data_dir is not None:
            options["data_dir"] = str(found_in)
    elif name == "digits":
        raw = _digits()
        hashed = digest(raw.x, raw.y)
    elif path.suffix == ".npz":
        raw = _read_npz(path)
        hashed = digest(raw.x, raw.y)
    elif _is_folder(path):
        raw = read_folder(path)
        hashed = digest(raw.x, raw.y)
    else:
        require_known(name)
        raise AssertionError(name)
    named = name in NAMES
    if train_limit is not None:
        options["train_limit"] = train_limit
    return _split(
        name if named else path.absolute().name.removesuffix(".npz"),
        raw,
        seed,
        train_limit=train_limit,
        compact=compact,
        about={"digest": hashed, "path": None if named else path.absolute(), "options": options},
    )


def require_known(name: str) -> None:
    """UsageError for what is neither a name of NAMES nor a path of an .npz or of a folder."""
    if name not in NAMES and Path(name).suffix != ".npz" and not _is_folder(Path(name)):
        raise UsageError(
            f"unknown data set {name[:80]!r}, expected {', '.join(NAMES)} or the path of a .npz file or a folder"
            f"{did_you_mean(name, NAMES)}"
        )


def _read_official(official: Official, data_dir: Path, options: dict[str, Any], advance: Advance) -> tuple[Raw, str]:
    how = FrameOptions(**options) if official.events else None
    folder = official.locate(data_dir)
    if how is None:
        raw = read_images(official, folder)
        return raw, digest(raw.x, raw.y)
    files, opened = _EVENT_SETS[official.name]
    return cached_frames(
        official, files(official, folder), lambda: opened(official, folder), how, data_dir / ".cache", advance
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for a file
        return False


def _digits() -> Raw:
    """1797 handwritten digits, 1x8x8, 17 grey levels (UCI optical recognition, bundled with scikit-learn)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UnsupportedError("data set 'digits' needs scikit-learn; install snnas with the extra [search]") from None
    x, y = load_digits(return_X_y=True)
    return Raw(x=(x.reshape(-1, 1, 8, 8) / 16).astype(np.float32), y=y.astype(np.int64), classes=10)


def _read_npz(path: Path) -> Raw:
    x, y = read_npz(path)
    spikes = x.ndim == 5 and bool(np.isin(x, (0, 1)).all())
    return Raw(x=x, y=y, classes=int(y.max()) + 1, input_kind="spikes" if spikes else "analogue")


def _split(name: str, raw: Raw, seed: int, *, train_limit: int | None, compact: bool, about: dict[str, Any]) -> Dataset:
    rng = stream(seed, "split")
    y, every = raw.y, np.ones(len(raw.y), dtype=bool)
    test = raw.test if raw.test is not None else _draw(y, every, every, math.ceil(raw.test_share * len(y)), rng)
    shared = every if raw.test is None else ~test
    val = _draw(y, ~test, shared, math.ceil(VALIDATION_SHARE * int(shared.sum())), rng)
    train = ~(test | val)
    if train_limit is not None:
        if not raw.classes <= train_limit <= int(train.sum()):
            raise UsageError(
                f"--train-limit {train_limit}: expected {raw.classes} (one sample of each class) to {int(train.sum())}"
            )
        train = _draw(y, train, train, train_limit, stream(seed, "train limit"))
    masks = {"train": train, "val": val, "test": test}
    size = math.prod(raw.x.shape[1:]) * int(sum(mask.sum() for mask in masks.values()))
    if not compact and 4 * size > MAX_ARRAY_BYTES:
        raise UsageError(
            f"{name} takes {4 * size / 1e9:.1f} GB as float32, expected at most {MAX_ARRAY_BYTES / 1e9:.1f} GB; take "
            f"fewer samples (--train-limit), and of event data fewer --frames or a --downsample of 2"
        )
    # Split before conversion: the float32 of the whole set need not exist beside that of its parts.
    parts = {key: np.ascontiguousarray(raw.x[mask]) for key, mask in masks.items()}
    high = 1
    if raw.input_kind == "counts":  # what the range is may not depend on the test split
        high = max(int(parts["train"].max()), int(parts["val"].max()))
        parts["test"] = np.minimum(parts["test"], high).astype(np.uint8)
    if not compact:
        parts = {key: floats(part, raw.unit) for key, part in parts.items()}
    return Dataset(
        name=name,
        x_train=parts["train"],
        y_train=y[train],
        x_val=parts["val"],
        y_val=y[val],
        x_test=parts["test"],
        y_test=y[test],
        classes=raw.classes,
        input_kind=raw.input_kind,
        range=(0.0, float(high)),
        unit=raw.unit,
        class_names=raw.class_names,
        own_test=raw.test is not None,
        **about,
    )


def _draw(y: Array, pool: Array, shared: Array, size: int, rng: np.random.Generator) -> Array:
    """Return a mask of about ``size`` samples of the mask ``pool``, each class by its share in the mask ``shared``.

    One of each class at least; exactly ``size`` where that leaves a class one sample; the largest remainders are
    rounded up.
    """
    counts = np.bincount(y[shared], minlength=int(y.max()) + 1)
    share = size * counts / counts.sum()
    quota = np.maximum(np.floor(share).astype(np.int64), 1)
    for label in np.argsort(np.floor(share) - share, kind="stable")[: max(size - int(quota.sum()), 0)]:
        quota[label] += 1
    mask = np.zeros(len(y), dtype=bool)
    for label, wanted in enumerate(quota):
        mask[rng.permutation(np.flatnonzero(pool & (y == label)))[:wanted]] = True
    return mask


DEFAULT_TIMESTEPS = 5  # of static samples


def timesteps_of(name: str, data: Dataset, asked: int | None) -> int:
    """``asked``, else as many as the samples have frames; UsageError where they have another number."""
    frames = data.x_train.shape[1] if data.x_train.ndim == 5 else None
    if None not in (asked, frames) and asked != frames:
        raise UsageError(
            f"--timesteps {asked}: the samples of {name} are sequences of {frames} frames; leave --timesteps out"
        )
    return asked or frames or DEFAULT_TIMESTEPS


def data_section(name: str, data: Dataset) -> dict[str, Any]:
    """[data] of run.toml: what ``restoring.dataset_of`` needs to have the same data again, and the splits' sizes."""
    return {
        "name": name,
        **({"path": str(data.path)} if data.path is not None else {}),
        **({"options": data.options} if data.options else {}),
        "sha256": data.digest,
        "train": len(data.y_train),
        "val": len(data.y_val),
        "test": len(data.y_test),
        "summary": data.summary,
    }
