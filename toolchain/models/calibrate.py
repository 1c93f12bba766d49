"""Which samples steer the scales and the rounding of a program, which are left to be measured, and the compiling.

One recipe for every command that compiles a graph, so that the same graph with the same data is the same program:

* a named set: the first CALIBRATION_SAMPLES of its training split; its test split is measured;
* a file: a fifth of it, drawn; the rest is measured. ``--limit`` cuts what is measured alone;
* ``--calibration FILE``: the first CALIBRATION_SAMPLES of that file; all of ``--data`` is measured;
* without samples, or with fewer than five: none. The program is then another one, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.observed_currents import Ranges
from snnas.export.compiler.paths import shape3
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.program import Program
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.user_samples import frames, read_arrays, repeated, scaled
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.models.reading_options import ReadingOptions

CALIBRATION_SAMPLES = 256
CALIBRATION_SHARE = 5  # one of so many samples of a user's file calibrates


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """x, y: measured. calibration: what steers the scales; None for nothing. Both as the program takes them.

    share: what calibrates, in words.
    """

    x: np.ndarray | None
    y: np.ndarray | None
    calibration: np.ndarray | None
    share: str

    @property
    def note(self) -> str:
        """What is said where the program was compiled from a graph."""
        return f"calibrated on {self.share}" if self.calibration is not None else f"uncalibrated: {self.share}"


def split_of(opened: Opened, wanted: ReadingOptions) -> Split:
    """The samples of an opened graph, divided; raises InvalidFileError for a ``--calibration`` that does not fit."""
    if opened.x is None:
        return Split(x=None, y=None, calibration=None, share="there are no samples")
    from snnas.toolchain.data.load import NAMES, load  # with the readers of all data sets: only where there are samples

    if wanted.data in NAMES:
        train = repeated(load(str(wanted.data), seed=opened.seed).x_train, opened.timesteps, opened.kind)
        train = frames(train[:CALIBRATION_SAMPLES], input_shape(opened.graph), opened.data)
        return _limited(opened.x, opened.y, train, f"{len(train)} samples of the training split", wanted)
    if wanted.calibration is not None:
        x = _of_file(opened, wanted.calibration)
        return _limited(opened.x, opened.y, x, f"{len(x)} samples of {Path(wanted.calibration).name}", wanted)
    total = len(opened.x)
    taken = min(CALIBRATION_SAMPLES, total // CALIBRATION_SHARE)
    if taken == 0:
        few = f"{total} samples, fewer than the {CALIBRATION_SHARE} of which a fifth would calibrate"
        return _limited(opened.x, opened.y, None, few, wanted)
    drawn = stream(opened.seed, "calibration").permutation(total)
    mine, rest = np.sort(drawn[:taken]), np.sort(drawn[taken:])
    y = None if opened.y is None else opened.y[rest]
    return _limited(opened.x[rest], y, opened.x[mine], f"{taken} of {total} samples, drawn", wanted)


def require_calibration(split: Split, opened: Opened) -> np.ndarray:
    """What calibrates; UsageError where nothing does."""
    if split.calibration is None:
        total = 0 if opened.x is None else len(opened.x)
        raise UsageError(
            f"{opened.data}: {total} samples; at least {CALIBRATION_SHARE} are needed, of which a fifth calibrates; "
            "or give --calibration FILE.npz"
        )
    return split.calibration


def compile_opened(
    opened: Opened,
    split: Split,
    *,
    name: str,
    graph: Graph | None = None,
    bits: int | None = None,
    ranges: Ranges = "auto",
    soft_reset: bool = False,
) -> Program:
    """The program of an opened graph by the recipe above.

    name: of its file. graph: in place of the opened one. bits: None for all of them. ranges, soft_reset: as
    ``compile_graph`` takes them.
    """
    graph = opened.graph if graph is None else graph
    steps, kind, by = opened.timesteps, opened.kind, split.calibration
    spikes = None if by is None else calibration_spikes(graph, by, steps, kind)
    return compile_graph(
        graph,
        timesteps=steps,
        input_kind=kind,
        input_range=opened.range,
        spikes=spikes,
        bits=bits or WEIGHT_BITS,
        ranges=ranges,
        soft_reset=soft_reset,
        meta={"graph": name},
    )


def input_shape(graph: Graph) -> tuple[int, int, int]:
    return shape3(graph.shapes()[graph.input])


def _limited(x: np.ndarray, y: np.ndarray | None, by: np.ndarray | None, share: str, wanted: ReadingOptions) -> Split:
    return Split(x=x[: wanted.limit], y=None if y is None else y[: wanted.limit], calibration=by, share=share)


def _of_file(opened: Opened, name: str) -> np.ndarray:
    """The samples of another file, read as those that are measured were."""
    x, _ = read_arrays(name)
    x = frames(x[:CALIBRATION_SAMPLES], input_shape(opened.graph), name)
    x = repeated(scaled(x, opened.kind), opened.timesteps, opened.kind)
    if x.ndim == 5 and x.shape[1] != opened.timesteps:
        raise InvalidFileError(f"{name}: x has {x.shape[1]} frames; {opened.data} has {opened.timesteps}")
    return x
