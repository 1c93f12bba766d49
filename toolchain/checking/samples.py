"""The samples that an export is judged on: those that it carries in stimulus.npz, or the caller's own (``--data``).

Who writes a folder chooses what it is measured on. Digests of samples and labels let a caller pin them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz
from snnas.export.graph import digest as digests
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import Program, Shape
from snnas.toolchain.models.calibrate import CALIBRATION_SAMPLES
from snnas.toolchain.models.reading_options import ReadingOptions

LIMIT_BYTES = 1 << 30
OBSERVED_SAMPLES = 256  # as an export watches registers on them


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """x: float32 (N, C, H, W) or (N, T, C, H, W). y: int (N,), None without labels. given: by the caller, by name.

    stored: of a caller's .npz with labels the digest that a training on it keeps; '' for everything else. split: of a
    named set, whose choice its test split is, in words.
    """

    x: np.ndarray
    y: np.ndarray | None
    given: str | None = None
    stored: str = ""
    split: str = ""

    @property
    def stimulus(self) -> str:
        """A digest of the samples."""
        return digests.of_array(self.x)

    @property
    def labels(self) -> str:
        """A digest of the labels; '' without."""
        return "" if self.y is None else digests.of_array(self.y.astype(np.int64))

    def first(self, number: int) -> Samples:
        return replace(self, x=self.x[:number], y=None if self.y is None else self.y[:number])

    def __len__(self) -> int:
        return len(self.x)


def read_stimulus(folder: Path, shape: Shape, timesteps: int, bounds: tuple[float, float], classes: int) -> Samples:
    """What the export carries: finite, within the input's range, labels that the program has an answer for."""
    place = folder / "stimulus.npz"
    arrays = read_npz(place, limit_bytes=LIMIT_BYTES, what="stimulus.npz")
    x, y = arrays.get("x"), arrays.get("y")
    if x is None or x.dtype.kind not in "fu" or x.shape[-3:] != shape or x.ndim not in (4, 5) or not len(x):
        raise InvalidFileError(f"{place}: x does not fit the program's input {shape}; export again")
    if x.ndim == 5 and x.shape[1] != timesteps:
        raise InvalidFileError(f"{place}: x has {x.shape[1]} timesteps, the program {timesteps}; export again")
    low, high = bounds
    x = x.astype(np.float32)
    if not (np.isfinite(x).all() and x.min() >= low and x.max() <= high):
        raise InvalidFileError(f"{place}: x leaves the input's range {low:g}..{high:g}; export again")
    if y is not None and (y.dtype.kind not in "iu" or y.shape != (len(x),) or y.min() < 0 or y.max() >= classes):
        raise InvalidFileError(f"{place}: y does not give each sample one of {classes} classes; export again")
    return Samples(x=x, y=y)


def calibration_of(folder: Path, program: Program) -> np.ndarray | None:
    """float32: what the program was calibrated with; None where an older export keeps none."""
    place = folder / "calibration.npz"
    if not place.is_file():
        return None
    x = read_npz(place, limit_bytes=LIMIT_BYTES, what="calibration.npz").get("x")
    like = (program.input_shape, (program.timesteps, *program.input_shape))
    if x is None or x.dtype.kind not in "fu" or x.shape[1:] not in like or not len(x):
        raise InvalidFileError(f"{place}: x does not fit the program's input {program.input_shape}; export again")
    if len(x) > CALIBRATION_SAMPLES:
        raise InvalidFileError(f"{place}: {len(x)} samples; at most {CALIBRATION_SAMPLES} calibrate; export again")
    x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise InvalidFileError(f"{place}: x is not finite; export again")
    return x


def of_arrays(arrays: Mapping[str, np.ndarray]) -> Samples:
    """X and y of a stimulus.npz, unchecked: for their digests."""
    return Samples(x=arrays["x"].astype(np.float32), y=arrays.get("y"))


def stimulus_of(folder: Path, program: Program) -> Samples:
    return read_stimulus(
        folder, program.input_shape, program.timesteps, program.input_range, program.readout.classes
    )  # fmt: skip


def given(folder: Path, reading: ReadingOptions) -> Samples | None:
    """The samples of ``--data``, as the folder's program takes them; None without. Raises as ``open_subject``."""
    if reading.data is None:
        return None
    from snnas.toolchain.models.open import open_subject, with_samples

    name, stored, split = reading.data, "", ""
    if name.endswith(".npz"):
        from snnas.toolchain.data.datasets.raw import byte_unit, digest, floats
        from snnas.toolchain.data.user_samples import read_arrays, sliced_arrays

        subject = open_subject(folder, replace(reading, data=None, samples=False))
        x, y = read_arrays(name)
        stored = "" if y is None else digest(floats(x, byte_unit(x)), y.astype(np.int64))
        x, y = sliced_arrays(x, y, subject.program.meta)
        subject = with_samples(subject, x[: reading.limit], None if y is None else y[: reading.limit], name)
    else:
        subject = open_subject(folder, reading)
        whose = "--seed" if reading.seed is not None else "the folder's run.toml, or 0 without one: --seed is yours"
        split = f"its test split, where one is drawn by seed {subject.seed} ({whose})"
    return Samples(x=subject.samples.astype(np.float32), y=subject.y, given=name, stored=stored, split=split)


def are_trained_on(samples: Samples, report: Mapping[str, Any]) -> bool:
    """Whether a caller's file is the data set that the report's network was trained on: all of it."""
    hashes = report.get("hashes")
    known = hashes.get("data") if isinstance(hashes, Mapping) else None
    return bool(samples.stored) and samples.stored == known
