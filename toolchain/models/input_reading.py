"""What a graph of anybody's leaves open besides its convention: input kind, timesteps and the range of its input.

The options say it, or the metadata, or the samples themselves; what is left is asked for, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.program import InputKind
from snnas.toolchain.data.user_samples import ARRAYS
from snnas.toolchain.models.reading_options import KINDS, ReadingOptions


def kind_and_timesteps(
    graph: Graph, x: np.ndarray | None, wanted: ReadingOptions, path: Path, name: str
) -> tuple[InputKind, int]:
    """Input kind and timesteps, of the options, the file or the samples; one UsageError asks for all that is open."""
    kind = _input_kind(graph, x, wanted, path)
    known = wanted.timesteps or graph.meta.get("timesteps")
    frames = x.shape[1] if x is not None and x.ndim == 5 else None
    if known is not None and (type(known) is not int or known < 1):
        raise InvalidFileError(f"{path}: its metadata's timesteps are {known!r}; expected a whole number >= 1")
    if x is not None and known is not None and frames not in (None, known):
        mend = "put time second, as numpy.swapaxes(x, 0, 1) does" if len(x) == known else "make them equal"
        raise UsageError(f"{name}: x has {frames} frames, but {known} timesteps are asked for; {mend}")
    timesteps = known or frames
    if kind is not None and timesteps is not None:
        return kind, int(timesteps)
    open_, options = [], []
    if kind is None:
        open_.append("what its input is" + ("" if x is None else " (the samples are not all 0 or 1)"))
        options.append("--input-kind analogue (currents, such as pixels), spikes or counts")
    if timesteps is None:
        open_.append("how many timesteps a sample takes")
        options.append("--timesteps T")
    raise UsageError(f"{path} does not say {' nor '.join(open_)}; give {', and '.join(options)}")


def _input_kind(graph: Graph, x: np.ndarray | None, wanted: ReadingOptions, path: Path) -> InputKind | None:
    found = wanted.input_kind or graph.meta.get("input_kind")
    for kind in KINDS:
        if found == kind:
            return kind
    if found is not None:
        raise InvalidFileError(f"{path}: its metadata's input kind is {found!r}; expected {', '.join(KINDS)}")
    return "spikes" if x is not None and bool(((x == 0) | (x == 1)).all()) else None


def input_range(graph: Graph, x: np.ndarray | None) -> tuple[float, float]:
    """The values that an input may take: the metadata's, else 0..1 widened to the samples."""
    given = graph.meta.get("input_range")
    if isinstance(given, list) and len(given) == 2 and all(isinstance(v, int | float) for v in given):
        return float(given[0]), float(given[1])
    return (0.0, 1.0) if x is None else (min(0.0, float(x.min())), max(1.0, float(x.max())))


def reading_notes(graph: Graph, x: np.ndarray, kind: str, wanted: ReadingOptions, name: str) -> Iterator[str]:
    """How a user's samples are read where they could have been meant otherwise."""
    if not (name.endswith(".npz") or name == ARRAYS) or graph.meta.get("format") == conventions.FORMAT:
        return
    if kind == "analogue" and x.dtype == np.uint8:
        yield f"{name}: x holds bytes, read as x / 255; give floats where the model was trained on other values"
    if x.ndim == 5 and wanted.timesteps is None and "timesteps" not in graph.meta:
        yield f"{name}: x is read as {len(x)} samples of {x.shape[1]} timesteps (time is the second axis)"
