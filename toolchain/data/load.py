"""Data sets: the bundled digits, the official files of the papers' sets, and a user's own. ``docs/data.md`` says more.

An official test split is kept; whatever is drawn is drawn once, from the run's seed. The test split is for the last
line of a report; what chooses anything uses the training and validation splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from os.path import isdir
from pathlib import Path
from typing import Any, Protocol, Unpack, get_args

import numpy as np

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.signals import SignalInput
from snnas.toolchain.data.datasets import recordings
from snnas.toolchain.data.datasets.cache import cached_frames
from snnas.toolchain.data.datasets.catalogue import SETS, Official, data_folder, unknown
from snnas.toolchain.data.datasets.fetch import fetch
from snnas.toolchain.data.datasets.folder import read_folder, read_one
from snnas.toolchain.data.datasets.frames import FrameOptions
from snnas.toolchain.data.datasets.image_file import Background
from snnas.toolchain.data.datasets.images import read_images
from snnas.toolchain.data.datasets.npz import MAX_ARRAY_BYTES, ArrayOptions, read_npz
from snnas.toolchain.data.datasets.own_recordings import are_recordings, read_own_recordings
from snnas.toolchain.data.datasets.raw import Array, Raw, digest, floats
from snnas.toolchain.data.datasets.series import is_series
from snnas.toolchain.data.datasets.shd import shd, shd_files
from snnas.toolchain.data.datasets.signals import OPTIONS as SIGNAL_OPTIONS
from snnas.toolchain.data.datasets.signals import SLICES, declared, framed, read_signals
from snnas.toolchain.data.datasets.tonic_sets import PREFIX, read_tonic
from snnas.toolchain.data.options import KINDS, DataOptions
from snnas.toolchain.data.split import Masks, split, test_copies_note
from snnas.toolchain.data.split import class_weights as class_weights_of

__all__ = ["NAMES", "Array", "Dataset", "digest", "load", "read_npz"]

NAMES = ("digits", *SETS)
EVENT_OPTIONS = tuple(field.name for field in fields(FrameOptions))
OWN_OPTIONS = {
    "sensor": "event recordings of your own",
    "layout": "a .npz file of your own",
    "groups": "data of your own",
    "background": "a folder of pictures",
}
_EVENT_SETS: dict[str, tuple[Any, Any]] = {
    "nmnist": (recordings.nmnist_files, recordings.nmnist),
    "dvs128_gesture": (recordings.gesture_files, recordings.gesture),
    "cifar10_dvs": (recordings.cifar10_dvs_files, recordings.cifar10_dvs),
    "shd": (shd_files, shd),
}

Advance = Callable[[int, int], None]


class Redraw(Protocol):
    """Draws training samples anew by seed and epoch: the first so many of x_train, None: all."""

    def __call__(self, seed: int, epoch: int, first: int | None = None, /) -> Array: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set with its three splits.

    x_*: float32 in ``range``, (N, C, H, W), or (N, T, C, H, W) for frames; loaded ``compact``, bytes may stay uint8,
    and ``batch`` turns them into that. y_*: int64 (N,), labels 0 .. classes - 1. input_kind: 'analogue', 'spikes' where
    every value of a sequence is 0 or 1, or 'counts'. digest: of x and y before the split, as they are stored (a lone
    .npz: as float32). path: the user's file or folder, absolute, None for a set that has a name. options: what ``load``
    needs beside name and seed to give the same again, plain values. class_names: by label, or (). own_test: the test
    split is the set's own, and not drawn. gain: what a network multiplies each channel by first, or (). signal: what
    was made of signals to get x_*, or None.
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
    notes: tuple[str, ...] = ()
    gain: tuple[float, ...] = ()
    signal: SignalInput | None = None
    class_weights: tuple[float, ...] = ()
    raw_train: Array | None = None
    """Of signals, (N, L, C), as they are stored: what an epoch's samples are made of where a recipe changes them."""
    raw_val: Array | None = None
    """The same of validation samples, which ``--method trained`` draws other splits with."""
    groups_train: Array | None = None
    """int64 (N,), which samples belong together, as ``--data groups=`` or a cut recording says: no draw parts them."""
    groups_val: Array | None = None
    """The same of validation samples; of numbers that no training sample has."""
    group_counts: tuple[int, int, int] | None = None
    """With ``--data groups=``: how many groups train, validate and test."""
    redraw: Redraw | None = None
    """Of recordings with ``augment``: what draws x_train anew."""

    @property
    def summary(self) -> str:
        """What was read, in one line: samples, their shape, classes, kind, and the splits."""
        train, val, test = len(self.y_train), len(self.y_val), len(self.y_test)
        frames = f"{self.x_train.shape[1]} frames of " if self.x_train.ndim == 5 else ""
        shape = " x ".join(map(str, self.input_shape))
        drawn = "the set's own test split" if self.own_test else "test split drawn"
        held = f"{train + val + test:,} samples of {frames}{shape}, {self.classes} classes, {self.input_kind}"
        splits = f"{train:,} training, {val:,} validation, {test:,} test ({drawn})"
        if self.group_counts is not None:
            whole = "{:,} training, {:,} validation, {:,} test".format(*self.group_counts)
            splits += f"; {sum(self.group_counts):,} groups by {self.options['groups']}, none parted: {whole}"
        return f"{self.path.name if self.path else self.name}: {held}; {splits}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.x_train.shape[-3:]
        return channels, height, width

    @property
    def beyond_spikes(self) -> bool:
        """Whether an entry may be more than one spike: a synapse of a chip carries one a timestep."""
        return self.input_kind == "counts" and self.range[1] > 1

    def batch(self, x: Array) -> Array:
        """Some samples of x_train, x_val or x_test as float32 in ``range``; what is float32 comes back as it is."""
        return floats(x, self.unit)


def load(
    name_or_path: str | Path,
    *,
    seed: int,
    data_dir: str | Path | None = None,
    compact: bool = False,
    download: bool = False,
    advance: Advance = lambda done, total: None,
    **given: Unpack[DataOptions],
) -> Dataset:
    """Return the data set of that name, or the one in a .npz file or a folder, split by ``seed``.

    name_or_path: one of NAMES, read from <data_dir>/<name> (data_dir: else $SNNAS_DATA, else ./data); a .npz with x and
    y; a folder (``folder``, ``own_recordings``). compact: bytes stay bytes, a quarter of the memory (digits and a lone
    .npz are float32). download: gets missing official files first. advance: takes (recordings done, in all) while
    frames are made.

    given: of ``options.KINDS``, None like what is left out. Of events: those of ``FrameOptions``; counts is of arrays
    of one's own too; sensor, 'WIDTHxHEIGHT', of recordings that do not say theirs. groups: what belongs together and is
    not parted. layout: ``ArrayOptions``. background: what shows where pictures of a folder are transparent.
    class_weights: 'balanced', the loss weighs a sample by the rarity of its class. train_limit: keeps that many
    training samples, stratified. Of signals, axis to steps: ``Declared``.

    What the set has of a split stays; else 20 % of the samples (10 % of CIFAR10-DVS, the papers' share) are drawn to
    test. 8 % of the samples, or of the official training part, validate. All draws are stratified and rounded up
    (digits: 360 and 144 of 1797). Raises UsageError for a name that is none of these and for an option that does not
    apply, InvalidFileError for a file that is missing or cannot be used, UnsupportedError where a download cannot be
    had.
    """
    name, path = str(name_or_path), Path(name_or_path)
    named, found_in = name in NAMES or name.startswith(PREFIX), data_folder(data_dir)
    if unknown_options := sorted(given.keys() - KINDS.keys()):
        raise TypeError(f"load() got an unexpected keyword argument {unknown_options[0]!r}")
    values: dict[str, Any] = dict(given)
    said = {key: values[key] for key in KINDS if values.get(key) is not None}
    if not said.get("counts"):
        said.pop("counts", None)
    of_signals = {key: said.pop(key) for key in SIGNAL_OPTIONS if key in said}
    of_all = {key: said.pop(key) for key in ("class_weights", "train_limit") if key in said}
    options = said
    if of_signals and named:
        raise UsageError(f"--data {next(iter(of_signals))}: {name} holds no signals; leave it out")
    if options.get("background", "white") not in get_args(Background):
        raise UsageError(f"--data background={options['background']}: expected {' or '.join(get_args(Background))}")
    if of_all.get("class_weights", "balanced") != "balanced":
        raise UsageError(f"--data class_weights={of_all['class_weights']}: expected balanced")
    official = SETS.get(name)
    if official is not None:
        _require_options(options, EVENT_OPTIONS if official.events else (), name)
        if download:
            fetch(official, found_in)
        raw, hashed = _read_official(official, found_in, options, advance)
    elif name == "digits":
        _require_options(options, (), name)
        raw = _digits()
        hashed = digest(raw.x, raw.y)
    elif named:
        _require_options(options, (*EVENT_OPTIONS, "sensor"), name)
        how, sensor = _frames_of(options), options.get("sensor")
        raw, hashed = read_tonic(name.removeprefix(PREFIX), found_in, how, sensor, advance)
    elif is_series(path) or (of_signals and (path.suffix == ".npz" or isdir(path))):
        _require_options(options, ("layout", "groups", *SLICES), name)
        of_arrays = {key: value for key, value in options.items() if key not in SLICES}
        raw = read_signals(path, declared(options | of_signals), ArrayOptions(**of_arrays))
        hashed = digest(raw.x, raw.y)
    elif path.suffix == ".npz" or isdir(path):
        raw, hashed = _own(path, options, advance)
    else:
        raise unknown(name, NAMES)
    place = {"data_dir": str(found_in)} if data_dir is not None and named and name != "digits" else {}
    return _dataset(
        name.replace(":", "-") if named else path.absolute().name.removesuffix(".npz"),
        raw,
        split(raw, seed, name=name, train_limit=of_all.get("train_limit")),
        compact=compact,
        digest=hashed,
        path=None if named else path.absolute(),
        options=options | place | of_signals | of_all,
    )


def require_known(name: str) -> None:
    """UsageError for what is neither a name of NAMES nor a path of an .npz, of a .ts file or of a folder."""
    path = Path(name)
    if name in NAMES or name.startswith(PREFIX) or path.suffix == ".npz" or is_series(path) or isdir(path):
        return
    raise unknown(name, NAMES)


def _require_options(options: dict[str, Any], known: tuple[str, ...], name: str) -> None:
    """UsageError for an option that is not for this data set."""
    for option in options:
        if option in known:
            continue
        if option in EVENT_OPTIONS:
            events = ", ".join(key for key, entry in SETS.items() if entry.events)
            signals = " and signals (say axis= or window= too)" if option in SLICES else ""
            raise UsageError(
                f"--data {option}= is for event data ({events}){signals}, and {name[:80]} holds none; leave it away"
            )
        raise UsageError(f"--data {option}= is for {OWN_OPTIONS[option]}, and {name[:80]} is none; leave it away")


def _own(path: Path, options: dict[str, Any], advance: Advance) -> tuple[Raw, str]:
    """A user's file or folder, and its digest."""
    file = path.suffix == ".npz"
    if not file and are_recordings(path):
        _require_options(options, (*EVENT_OPTIONS, "sensor", "groups"), str(path))
        how = _frames_of(options)
        return read_own_recordings(path, how, options.get("sensor"), options.get("groups"), advance)
    _require_options(options, ("counts", "layout", "groups", *(() if file else ("background",))), str(path))
    arrays = ArrayOptions(**{key: value for key, value in options.items() if key != "background"})
    raw = read_one(path, arrays) if file else read_folder(path, arrays, options.get("background", "white"))
    return raw, digest(raw.x, raw.y)


def _frames_of(options: dict[str, Any]) -> FrameOptions:
    return FrameOptions(**{key: value for key, value in options.items() if key in EVENT_OPTIONS})


def _read_official(official: Official, data_dir: Path, options: dict[str, Any], advance: Advance) -> tuple[Raw, str]:
    how = _frames_of(options)  # refuses before anything is looked for
    folder = official.locate(data_dir)
    if not official.events:
        raw = read_images(official, folder)
        return raw, digest(raw.x, raw.y)
    files, opened = _EVENT_SETS[official.name]
    return cached_frames(
        official, files(official, folder), lambda: opened(official, folder), how, data_dir / ".cache", advance
    )


def takes_frames(name: str | Path) -> bool:
    """Whether a data set is of event recordings, which become as many frames as one likes."""
    official = SETS.get(str(name))
    if official is not None:
        return official.events
    return str(name).startswith(PREFIX) or (isdir(Path(name)) and are_recordings(Path(name)))


def _digits() -> Raw:
    """1797 handwritten digits, 1x8x8, 17 grey levels (UCI optical recognition, bundled with scikit-learn)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UnsupportedError("data set 'digits' needs scikit-learn; install snnas with the extra [search]") from None
    x, y = load_digits(return_X_y=True)
    return Raw(x=(x.reshape(-1, 1, 8, 8) / 16).astype(np.float32), y=y.astype(np.int64), classes=10)


def _dataset(name: str, raw: Raw, masks: Masks, *, compact: bool, options: dict[str, Any], **about: Any) -> Dataset:
    parts = {"train": masks.train, "val": masks.val, "test": masks.test}
    weighted = "class_weights" in options
    known: dict[str, Any] = {
        "name": name,
        **{f"y_{key}": raw.y[mask] for key, mask in parts.items()},
        **{key: getattr(raw, key) for key in ("classes", "input_kind", "class_names", "notes")},
        "own_test": raw.test is not None,
        "class_weights": class_weights_of(raw.y[masks.train], raw.classes) if weighted else (),
        **({} if raw.groups is None else {f"groups_{key}": raw.groups[parts[key]] for key in ("train", "val")}),
        "options": options,
        **about,
    }
    if raw.groups is not None and "groups" in options:
        known["group_counts"] = tuple(len(np.unique(raw.groups[mask])) for mask in parts.values())
    if raw.signal is not None:
        return Dataset(**framed(raw, parts), **known)
    size = math.prod(raw.x.shape[1:]) * int(sum(mask.sum() for mask in parts.values()))
    if not compact and 4 * size > MAX_ARRAY_BYTES:
        raise UsageError(
            f"{name} takes {4 * size / 1e9:.1f} GB as float32, expected at most {MAX_ARRAY_BYTES / 1e9:.1f} GB; take "
            f"fewer samples (--data train_limit=N), and of event data fewer --data frames=N, or --data downsample=2"
        )
    # Split before conversion: the float32 of the whole set need not exist beside that of its parts.
    xs: dict[str, Any] = {f"x_{key}": np.ascontiguousarray(raw.x[mask]) for key, mask in parts.items()}
    high = 1
    if raw.input_kind == "counts":  # what the range is may not depend on the test split
        high = max(int(xs["x_train"].max()), int(xs["x_val"].max()))
        xs["x_test"] = np.minimum(xs["x_test"], high).astype(xs["x_test"].dtype)
    draw = None
    if raw.redraw is not None:
        draw = partial(_drawn, raw.redraw, np.flatnonzero(masks.train), high, 0 if compact else raw.unit)
    if not compact:
        xs = {key: floats(part, raw.unit) for key, part in xs.items()}
    return Dataset(**xs, range=(0.0, float(high)), unit=raw.unit, redraw=draw, **known)


def _drawn(
    redraw: Callable[[Array, int, int], Array],
    rows: Array,
    high: int,
    unit: int,
    seed: int,
    epoch: int,
    first: int | None = None,
) -> Array:
    """``Dataset.redraw``. high: of counts; unit: 0 where bytes stay bytes."""
    x = np.minimum(redraw(rows[:first], seed, epoch), high).astype(np.uint8)
    return floats(x, unit) if unit else x


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
    notes = [*data.notes, *test_copies_note(data.x_train, data.x_test)]
    return {
        "name": name,
        **({"path": str(data.path)} if data.path is not None else {}),
        **({"options": data.options} if data.options else {}),
        "sha256": data.digest,
        "train": len(data.y_train),
        "val": len(data.y_val),
        "test": len(data.y_test),
        "summary": data.summary,
        **({"notes": notes} if notes else {}),
    }
