"""Which samples of a foreign graph's export calibrate, which train and choose, and which are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnas.toolchain.data import load as datasets
from snnas.toolchain.data import user_samples as samples
from snnas.toolchain.models.calibrate import CALIBRATION_SAMPLES, Split, require_calibration, split_of
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.models.reading_options import ReadingOptions

if TYPE_CHECKING:
    from snnas.toolchain.finetuning.exported import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSplit(Split):
    """As every command divides samples, with samples in all of its parts. learnt: of a fine-tuning."""

    x: np.ndarray
    calibration: np.ndarray
    learnt: Samples | None = None


def export_split(opened: Opened, wanted: ReadingOptions, *, finetuned: bool) -> ExportSplit:
    """As every command divides samples (``models.calibrate``), and for a fine-tuning what it learns from.

    There the training split of a named set trains and calibrates and its validation split chooses; of a file, drawn
    parts do.
    """
    if finetuned and wanted.data not in datasets.NAMES:
        return _drawn(opened, wanted)
    split = split_of(opened, wanted)
    calibration = require_calibration(split, opened)
    assert split.x is not None
    learnt = None
    if finetuned:
        from snnas.toolchain.finetuning.exported import Samples

        data = datasets.load(str(wanted.data), seed=opened.seed)
        train, val = (samples.repeated(x, opened.timesteps, opened.kind) for x in (data.x_train, data.x_val))
        learnt = Samples(train, data.y_train, val, data.y_val)
    return ExportSplit(x=split.x, y=split.y, calibration=calibration, share=split.share, learnt=learnt)


def _drawn(opened: Opened, wanted: ReadingOptions) -> ExportSplit:
    """A user's samples in three parts: what is learnt from, what chooses, and what is measured."""
    from snnas.toolchain.finetuning.exported import Samples, drawn

    x, y = opened.x, opened.y
    assert x is not None
    train, val, rest = drawn(len(x), opened.seed)
    labels = [None if y is None else y[part] for part in (train, val, rest)]
    share = f"{min(CALIBRATION_SAMPLES, len(train))} of {len(train)} samples that train, drawn of {len(x)}"
    learnt = Samples(x[train], labels[0], x[val], labels[1])
    measured, named = x[rest][: wanted.limit], None if labels[2] is None else labels[2][: wanted.limit]
    calibration = x[train[:CALIBRATION_SAMPLES]]
    return ExportSplit(x=measured, y=named, calibration=calibration, share=share, learnt=learnt)
