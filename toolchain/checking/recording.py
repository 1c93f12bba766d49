"""GRAPH.check.npz: what a lone graph was given and what it fired, kept beside it and replayed by every check.

Arrays: ``recording.json`` (UTF-8 bytes: ``FORMAT``, how the graph is read, its nodes, a digest of every parameter),
``x`` and, with labels, ``y`` as ``--data`` takes them, ``spikes.NODE`` uint8 (B, T, ceil(N / 8)) packed bits,
``counts.NODE`` int64 (T,), spikes of all samples at each timestep, and ``answers`` float64 (B, classes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import InputKind
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.models.reading_options import ReadingOptions

FORMAT = "snnas.recording/1"
LIMIT_BYTES = 1 << 30
SAMPLES = 32  # where --limit does not say
DRAWN_RATE = 0.3  # of drawn spikes, per input and timestep
SAID = ("timesteps", "input_kind")
ANEW = "restore it from version control, or make a new one: snnas check GRAPH --record auto --new-recording"
OPTIONS = ("timesteps", "input_kind", "convention", "dt", "decay", "compare", "reset", "current", "readout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording. options: how the graph is read, as the command line says it. content: digests by parameter.

    says: what the graph's own metadata said of ``SAID`` when it was recorded; empty in recordings that do not know.
    """

    x: np.ndarray
    y: np.ndarray | None
    nodes: Mapping[str, tuple[int, ...]]
    spikes: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]
    answers: np.ndarray
    content: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    says: Mapping[str, Any] = field(default_factory=dict)

    @property
    def timesteps(self) -> int:
        return len(next(iter(self.counts.values())))

    @property
    def wanted(self) -> ReadingOptions:
        known = {key: value for key, value in self.options.items() if key in OPTIONS}
        return ReadingOptions(**known, delayed=tuple(self.options.get("delayed", ())), samples=False)


def path_of(graph: Path) -> Path:
    """Where a graph's recording lies: ``graph.nir`` has ``graph.nir.check.npz``."""
    return graph.with_name(f"{graph.name}.check.npz")


def make(
    x: np.ndarray,
    y: np.ndarray | None,
    run: Fired,
    content: Mapping[str, str],
    wanted: ReadingOptions,
    source: str,
    meta: Mapping[str, Any] | None = None,
) -> Recording:
    """The recording of a run on the samples x. meta: the graph's own metadata."""
    options = {key: getattr(wanted, key) for key in OPTIONS if getattr(wanted, key) is not None}
    if wanted.delayed:
        options["delayed"] = list(wanted.delayed)
    return Recording(
        x=x,
        y=y,
        nodes={name: fired.shape[2:] for name, fired in run.spikes.items()},
        spikes=run.packed(),
        counts=counts_of(run),
        answers=np.asarray(run.answers, np.float64),
        content=content,
        options=options,
        source=source,
        says=said(meta or {}),
    )


def said(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What of a graph's metadata steers its runs and stands in no digest."""
    return {key: meta[key] for key in SAID if isinstance(meta.get(key), int | str)}


def counts_of(run: Fired) -> dict[str, np.ndarray]:
    """{node: int64 (T,)}: spikes of all samples and neurons at each timestep."""
    return {
        name: fired.sum(axis=(0, *range(2, fired.ndim)), dtype=np.int64) for name, fired in run.spikes.items()
    }  # fmt: skip


def write(path: Path, recording: Recording) -> None:
    """Whole or not at all; the same recording gives the same bytes."""
    about = {
        "format": FORMAT,
        "nodes": [[name, list(shape)] for name, shape in recording.nodes.items()],
        "content": dict(recording.content),
        "options": dict(recording.options),
        "source": recording.source,
        "says": dict(recording.says),
    }
    text = json.dumps(about, sort_keys=True, allow_nan=False).encode()
    arrays = {"recording.json": np.frombuffer(text, np.uint8), "x": recording.x}
    if recording.y is not None:
        arrays["y"] = recording.y
    for name in recording.nodes:
        arrays[f"spikes.{name}"] = recording.spikes[name]
        arrays[f"counts.{name}"] = recording.counts[name]
    write_npz(path, {**arrays, "answers": recording.answers})


def read(path: Path) -> Recording:
    """A recording, every shape checked against its own description. InvalidFileError (SN301, SN101, SN102)."""
    try:
        arrays = read_npz(path, limit_bytes=LIMIT_BYTES, what="recording")
    except InvalidFileError as error:
        why = str(error).partition("; write it again")[0]  # whose mend is that of an export
        raise InvalidFileError(f"{why}; {ANEW}", code=error.code) from None
    try:
        return _read(arrays)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise InvalidFileError(f"recording {path}: {why}; {ANEW}", code="SN301") from None
    except InvalidFileError as error:
        raise InvalidFileError(f"recording {path}: {error}", code=error.code) from None


def _read(arrays: dict[str, np.ndarray]) -> Recording:
    text = _array(arrays, "recording.json", np.uint8, None)
    about = json.loads(text.tobytes().decode())
    if not isinstance(about, dict):
        raise ValueError("recording.json is no JSON object")
    if about.get("format") != FORMAT:
        found = str(about.get("format"))[:40]
        code = "SN102" if found.startswith(FORMAT.partition("/")[0] + "/") else "SN301"
        raise InvalidFileError(
            f"format {found!r}; this version reads {FORMAT!r}: upgrade snnas, or --record auto --new-recording",
            code=code,
        )
    x = arrays.get("x")
    if x is None or x.dtype.kind not in "fiub" or x.ndim < 2 or 0 in x.shape or not np.isfinite(x).all():
        raise ValueError("array x is missing, empty or not finite")
    y = arrays.get("y")
    if y is not None and (y.dtype.kind not in "iu" or y.shape != (len(x),)):
        raise ValueError("array y does not give one whole number per sample")
    nodes = {str(name): tuple(int(n) for n in shape) for name, shape in about["nodes"]}
    if not nodes or any(n < 1 for shape in nodes.values() for n in shape):
        raise ValueError("it names no node, or one without neurons")
    counts = {name: _array(arrays, f"counts.{name}", np.int64, None) for name in nodes}
    steps = {len(c) for c in counts.values()}
    if len(steps) != 1 or steps == {0}:
        raise ValueError("the arrays counts.* disagree in their number of timesteps")
    (timesteps,) = steps
    spikes = {}
    for name, shape in nodes.items():
        width = -(-int(np.prod(shape, dtype=object)) // 8)
        spikes[name] = _array(arrays, f"spikes.{name}", np.uint8, (len(x), timesteps, width))
    answers = _array(arrays, "answers", np.float64, None)
    if answers.ndim != 2 or len(answers) != len(x):
        raise ValueError(f"array answers has shape {answers.shape}; expected one row per sample")
    options = about.get("options", {})
    if options.get("timesteps", timesteps) != timesteps:
        raise ValueError(f"its option timesteps is {str(options['timesteps'])[:40]}, its spikes have {timesteps}")
    content = {str(k): str(v) for k, v in dict(about.get("content", {})).items()}
    return Recording(
        x=x,
        y=y,
        nodes=nodes,
        spikes=spikes,
        counts=counts,
        answers=answers,
        content=content,
        options=_options(options),
        source=str(about.get("source", "")),
        says=said(dict(about.get("says", {}))),
    )


def _options(given: dict[str, Any]) -> dict[str, Any]:
    kinds: dict[str, tuple[type, ...]] = {"timesteps": (int,), "dt": (int, float)}
    for key, value in given.items():
        if key == "delayed":
            right = isinstance(value, list) and all(isinstance(edge, str) for edge in value)
        else:
            right = key in OPTIONS and isinstance(value, kinds.get(key, (str,)))
        if not right:
            raise ValueError(f"its option {key[:40]!r} is {str(value)[:40]!r}")
    return given


def _array(
    arrays: dict[str, np.ndarray], name: str, dtype: type[np.generic], shape: tuple[int, ...] | None
) -> np.ndarray:
    found = arrays.get(name)
    if found is None:
        raise ValueError(f"array {name} is missing")
    if found.dtype != np.dtype(dtype) or (shape is not None and found.shape != shape):
        raise ValueError(f"array {name} is {found.dtype} {found.shape}; expected {np.dtype(dtype)} {shape or ''}")
    return found


def drawn(
    shape: tuple[int, ...], timesteps: int, kind: InputKind, bounds: tuple[float, float], seed: int, number: int
) -> np.ndarray:
    """Samples for a graph that comes with none: images of uniform values, or spikes at ``DRAWN_RATE``."""
    rng = stream(seed, "stimulus")
    if kind == "analogue":
        return rng.uniform(*bounds, (number, *shape)).astype(np.float32)
    return (rng.random((number, timesteps, *shape)) < DRAWN_RATE).astype(np.uint8)
