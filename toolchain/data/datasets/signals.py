"""A user's signals: what ``--data`` declares of them, and the samples that the declaration makes of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.signals import DEFAULT_LEVELS, DEFAULT_STEPS, DEFAULT_THRESHOLD, MAX_TIMESTEPS, SignalInput, slices
from snnas.toolchain.data.datasets.folder import part_names, require_trained, together
from snnas.toolchain.data.datasets.npz import (
    MAX_ARRAY_BYTES,
    SIGNAL_LAYOUTS,
    ArrayOptions,
    Stored,
    check_classes,
    numbered,
    read_stored,
)
from snnas.toolchain.data.datasets.raw import Array, Raw, cut_note, own_split
from snnas.toolchain.data.datasets.series import Series, is_series, read_series

AXES = ("time", "length")
OPTIONS = ("axis", "window", "hop", "length", "fit", "encoder", "threshold", "levels", "steps")
SLICES = ("slice", "slice_overlap")  # options of event recordings too
DECLARE = (
    "say what time is: --data axis=time (a timestep per sample), --data window=W,hop=H (a window per timestep) or "
    "--data axis=length (one still window)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What was said of a signal. UsageError for what does not go together.

    axis: 'time' or 'length'; window, hop: samples; length: to cut or fill to; fit: 'hold', or 'stretch' to that length;
    slice, slice_overlap: samples, where recordings are cut into several; encoder and its numbers: of SignalInput.
    """

    axis: str | None = None
    window: int | None = None
    hop: int | None = None
    length: int | None = None
    fit: str | None = None
    slice: int | None = None
    slice_overlap: int | None = None
    encoder: str | None = None
    threshold: float | None = None
    levels: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.axis is not None and self.axis not in AXES:
            raise UsageError(f"--data axis={self.axis}: expected {' or '.join(AXES)}, or window=W,hop=H instead")
        if (self.axis is None) == (self.window is None):
            found = f"axis={self.axis} and window={self.window}" if self.axis else "neither axis nor window"
            raise UsageError(f"--data of a signal: {found}; {DECLARE}")
        if self.hop is not None and self.window is None:
            raise UsageError(f"--data hop={self.hop}: expected window=W with it")
        if self.fit not in (None, "hold", "stretch"):
            raise UsageError(f"--data fit={self.fit}: expected hold or stretch")
        if self.slice is None and self.slice_overlap is not None:
            raise UsageError(f"--data slice_overlap={self.slice_overlap}: expected slice=L with it")
        if self.slice is not None:
            if self.length is not None or self.fit is not None:
                raise UsageError(f"--data slice={self.slice}: every sample is that long; leave length and fit out")
            if (self.slice_overlap or 0) >= self.slice:
                raise UsageError(
                    f"--data slice_overlap={self.slice_overlap}: expected less than the slice, {self.slice}"
                )
        for name, encoder in (("threshold", "delta"), ("levels", "level"), ("steps", "latency")):
            if getattr(self, name) is not None and self.encoder != encoder:
                raise UsageError(f"--data {name}={getattr(self, name)}: expected encoder={encoder} with it")
        self.of(1)  # its values, before a file is read

    def of(self, longest: int) -> SignalInput:
        """The declaration, for signals of at most ``longest`` samples."""
        length = self.slice or self.length or longest
        encoding: Any = self.encoder or "direct"
        return SignalInput(
            window=0 if self.axis == "time" else length if self.axis == "length" else self.window or 0,
            hop=self.hop or 0,
            length=length,
            stretched=self.fit == "stretch",
            sliced=self.slice is not None,
            encoding=encoding,
            threshold=self.threshold or DEFAULT_THRESHOLD,
            levels=self.levels or DEFAULT_LEVELS,
            steps=self.steps or DEFAULT_STEPS,
        )


def declared(options: dict[str, Any]) -> Declared | None:
    """What of ``options`` is of signals; None where nothing is."""
    given = {name: options[name] for name in (*OPTIONS, *SLICES) if options.get(name) is not None}
    return Declared(**given) if given.keys() - SLICES else None


def read_signals(path: Path, said: Declared | None, how: ArrayOptions) -> Raw:
    """The signals of an .npz, a .ts file or a folder, as they are stored; ``signal`` says what becomes of them.

    InvalidFileError for a file that cannot be used; UsageError where nothing is said of time.
    """
    if said is None:
        raise UsageError(f"{path} holds signals; {DECLARE}")
    if how.layout is not None and how.layout not in SIGNAL_LAYOUTS:
        raise UsageError(f"--data layout={how.layout}: expected {' or '.join(SIGNAL_LAYOUTS)} of signals")
    names: tuple[str, ...] = ()
    notes: list[str] = []
    if is_series(path):
        series = read_series(path)
        blocks = [sample[None] for sample in series.samples]
        y, parts, names, notes = series.y, series.parts, series.class_names, [*series.notes]
        groups = _groups_of(series, how, path)
    else:
        blocks, y, parts, groups = _arrays(path, how)
        length, channels = blocks[0].shape[1:]
        if how.layout is None and channels > length:
            notes.append(f"{length} values in {channels} channels: if channels stand before time, add layout=NCL")
    if said.slice is None:
        x = _one_length(blocks, said, notes)
    else:
        x, sources = _cut(blocks, said.slice, said.slice_overlap or 0, path)
        y, parts, groups = y[sources], parts[sources], sources if groups is None else groups[sources]
        notes.append(cut_note(sources))
    check_classes(y[parts == "train"], path, least=3 if set(parts) == {"train"} else 2)
    signal = said.of(x.shape[1])
    _check_size(signal, x, path)
    spikes = not signal.spikes and bool(((x == 0) | (x == 1)).all())
    return Raw(
        x=x,
        y=y,
        **own_split(parts),
        classes=max(len(names), int(y.max()) + 1),
        class_names=names,
        groups=groups,
        input_kind="spikes" if spikes or signal.spikes else "analogue",
        signal=replace(signal, length=x.shape[1]),
        notes=tuple(notes),
    )


def _cut(blocks: list[Array], length: int, overlap: int, path: Path) -> tuple[Array, Array]:
    """Whole slices (n, length, C) of signals, and which of them each is of; UsageError where they are too many."""
    signals = [sample for block in blocks for sample in block]
    count = sum(max(0, len(sample) - length) // (length - overlap) + 1 for sample in signals)
    if 4 * count * length * signals[0].shape[1] > MAX_ARRAY_BYTES:
        raise UsageError(f"{path}: {count:,} slices of {length} are over {MAX_ARRAY_BYTES / 1e9:.1f} GB; overlap less")
    pieces = [slices(sample, length, overlap) for sample in signals]
    return np.concatenate(pieces), np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])


def _one_length(blocks: list[Array], said: Declared, notes: list[str]) -> Array:
    """Signals (n, L, C) of several lengths as one array; says in ``notes`` what became of them."""
    lengths = [block.shape[1] for block in blocks]
    length = said.length or max(lengths)
    x = np.concatenate([said.of(max(lengths)).fit(block, length) for block in blocks])
    if min(lengths) < length or (said.fit == "stretch" and min(lengths) < max(lengths)):
        how_fit = f"stretched to {length}" if said.fit == "stretch" else "the last value held"
        notes.append(f"lengths {min(lengths)} .. {max(lengths)}, {how_fit}")
    return x


def _groups_of(series: Series, how: ArrayOptions, path: Path) -> Array | None:
    """Which samples of files that hold no arrays belong together; UsageError for what they cannot say."""
    if how.layout is not None:
        raise UsageError(f"--data layout={how.layout}: {path} is no .npz file; leave it out")
    if how.groups is None:
        return None
    if series.tree is None or how.groups != "folder":
        raise UsageError(
            f"--data groups={how.groups}: {path} holds no such column; expected groups=folder of .csv files in a "
            f"folder of their group, CLASS/GROUP/FILE, or an .npz with an array of that name"
        )
    return numbered([np.array(series.tree.by_folder())])


def framed(raw: Raw, masks: Mapping[str, Array]) -> dict[str, Any]:
    """What a Dataset holds of signals: the splits, by their masks, as frames or spikes, and what made them so.

    The encoder's constants, the range and the gains come from training and validation alone: values of the test split
    beyond that range are cut off. A gain is a power of two, so that it changes no digit of a weight it is folded into.
    """
    assert raw.signal is not None
    known = raw.x[masks["train"] | masks["val"]]
    low, high = (0.0, 1.0) if raw.input_kind == "spikes" else (float(known.min()), float(known.max()))
    signal = raw.signal.fitted(known)
    parts = {f"x_{key}": signal.apply(raw.x[mask]).astype(np.float32) for key, mask in masks.items()}
    gain: tuple[float, ...] = ()
    if raw.input_kind != "spikes":
        parts["x_test"] = parts["x_test"].clip(low, high)
        largest = np.abs(known).reshape(-1, known.shape[2]).max(0)
        gain = tuple(float(2.0 ** -np.ceil(np.log2(value))) if value else 1.0 for value in largest)
    raws = {f"raw_{key}": raw.x[masks[key]] for key in ("train", "val")}
    return {**parts, **raws, "range": (low, high), "gain": gain, "signal": signal}


def _arrays(path: Path, how: ArrayOptions) -> tuple[list[Array], Array, Array, Array | None]:
    """Arrays x (N, L, C) of each file, y, parts and groups of an .npz, or of a folder of train, test and val.npz."""

    def stored(file: Path) -> Stored:
        return read_stored(file, how, partial(_signal, layout=how.layout))

    if path.suffix == ".npz":
        files = {"train": stored(path)}
        return [files["train"][0]], *together(files)
    files = {part: stored(path / f"{part}.npz") for part in part_names(path)}
    x, y, _ = files["train"]
    for part, (other, labels, _) in files.items():
        if x.shape[2] != other.shape[2]:
            raise InvalidFileError(
                f"the samples of {path} have {x.shape[2]} channels to train and {other.shape[2]} to {part}, expected "
                "as many"
            )
        require_trained(labels, y, path, part)
    return [other for other, _, _ in files.values()], *together(files)


def _signal(x: Array, path: Path, layout: str | None = None) -> Array:
    """An array of signals as float32 (N, L, C); InvalidFileError for one that holds none."""
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise InvalidFileError(
            f"x of {path} has shape {x.shape}, expected signals (N, L) or (N, L, C), time second; of images leave "
            "axis and window out"
        )
    if layout is not None and x.ndim != len(layout):
        raise InvalidFileError(f"x of {path} has shape {x.shape}, expected three axes for --data layout={layout}")
    x = x.transpose(0, 2, 1) if layout == "NCL" else x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        first = int((~np.isfinite(x)).reshape(len(x), -1).any(1).argmax())
        raise InvalidFileError(f"x of {path}: NaN or infinity, first in sample {first}; fill or leave out such samples")
    return x.reshape(*x.shape[:2], -1)


def _check_size(signal: SignalInput, x: Array, path: Path) -> None:
    """UsageError where there are too many timesteps, or the frames do not fit in memory."""
    shape = signal.shape(x.shape[2])
    timesteps, size = shape[0], math.prod(shape) * len(x)
    if timesteps > MAX_TIMESTEPS:
        raise UsageError(
            f"{path}: {timesteps} timesteps, expected at most {MAX_TIMESTEPS}; take a longer window and hop, or cut "
            "the signals with --data length=L"
        )
    if 4 * size > MAX_ARRAY_BYTES:
        raise UsageError(
            f"{path} takes {4e-9 * size:.1f} GB as frames, expected at most {MAX_ARRAY_BYTES / 1e9:.1f} "
            "GB; take a longer hop"
        )
