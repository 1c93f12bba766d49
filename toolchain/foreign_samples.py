"""Which samples of a foreign graph's export calibrate, which train and choose, and which are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.paths import shape3
from hw_sim.errors import InvalidFileError, UsageError
from toolchain import data as datasets
from toolchain import samples
from toolchain.seeds import stream
from toolchain.subjects import CALIBRATION_SAMPLES, Opened
from toolchain.wanted import Wanted

if TYPE_CHECKING:
    from toolchain.finetuning.exported import Samples

CALIBRATION_SHARE = 5  # one of so many samples of a user's file calibrates


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """x: measured. calibration: what steers the scales. Both as the program takes them. learnt: of a fine-tuning."""

    x: np.ndarray
    y: np.ndarray | None
    calibration: np.ndarray
    share: str
    learnt: Samples | None = None


def split_of(opened: Opened, wanted: Wanted, *, finetuned: bool) -> Split:
    """A named set's training split calibrates and its test split is measured; of a file, a drawn fifth calibrates, or
    the samples of ``wanted.calibration`` do.

    Of a fine-tuning, the training split trains and calibrates and the validation split chooses; of a file, drawn parts.
    """
    assert opened.x is not None
    if wanted.data in datasets.NAMES:
        data = datasets.load(str(wanted.data), seed=opened.seed)
        train, val = (samples.repeated(x, opened.timesteps, opened.kind) for x in (data.x_train, data.x_val))
        learnt = _samples(train, data.y_train, val, data.y_val) if finetuned else None
        calibration = train[:CALIBRATION_SAMPLES]
        share = f"{len(calibration)} samples of the training split"
        return Split(x=opened.x, y=opened.y, calibration=calibration, share=share, learnt=learnt)
    if wanted.calibration is not None:
        return _calibrated_by(opened, wanted.calibration)
    if finetuned:
        return _drawn(opened)
    total = len(opened.x)
    taken = min(CALIBRATION_SAMPLES, total // CALIBRATION_SHARE)
    if taken == 0:
        raise UsageError(
            f"{opened.data}: {total} samples; at least {CALIBRATION_SHARE} are needed, of which a fifth calibrates; "
            "or give --calibration FILE.npz"
        )
    drawn = stream(opened.seed, "calibration").permutation(total)
    mine, rest = np.sort(drawn[:taken]), np.sort(drawn[taken:])
    y = None if opened.y is None else opened.y[rest]
    return Split(x=opened.x[rest], y=y, calibration=opened.x[mine], share=f"{taken} of {total} samples, drawn")


def _calibrated_by(opened: Opened, name: str) -> Split:
    """Every sample is measured; those of another file, read as they were, steer the scales."""
    x, _ = samples.read_arrays(name)
    x = samples.frames(x[:CALIBRATION_SAMPLES], shape3(opened.graph.shapes()[opened.graph.input]), name)
    x = samples.repeated(samples.scaled(x, opened.kind), opened.timesteps, opened.kind)
    if x.ndim == 5 and x.shape[1] != opened.timesteps:
        raise InvalidFileError(f"{name}: x has {x.shape[1]} frames; {opened.data} has {opened.timesteps}")
    share = f"{len(x)} samples of {Path(name).name}"
    assert opened.x is not None
    return Split(x=opened.x, y=opened.y, calibration=x, share=share)


def _drawn(opened: Opened) -> Split:
    """A user's samples in three parts: what is learnt from, what chooses, and what is measured."""
    from toolchain.finetuning.exported import drawn

    x, y = opened.x, opened.y
    assert x is not None
    train, val, rest = drawn(len(x), opened.seed)
    labels = [None if y is None else y[part] for part in (train, val, rest)]
    share = f"{min(CALIBRATION_SAMPLES, len(train))} of {len(train)} samples that train, drawn of {len(x)}"
    learnt = _samples(x[train], labels[0], x[val], labels[1])
    return Split(x=x[rest], y=labels[2], calibration=x[train[:CALIBRATION_SAMPLES]], share=share, learnt=learnt)


def _samples(x_train: np.ndarray, y_train: np.ndarray | None, x_val: np.ndarray, y_val: np.ndarray | None) -> Samples:
    from toolchain.finetuning.exported import Samples

    x_train, x_val = (np.ascontiguousarray(x, dtype=np.float32) for x in (x_train, x_val))
    return Samples(x_train, y_train, x_val, y_val)
