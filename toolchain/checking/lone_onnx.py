"""An .onnx by itself: harmless, valid, firing in onnxruntime as its recording says."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.graph import digest
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import InputKind
from snnas.toolchain.checking import again, determinism, recording, replay
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.onnx_rules import open_onnx
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.recording import Recording
from snnas.toolchain.data import user_samples
from snnas.toolchain.models.reading_options import ReadingOptions

ANSWERS = 1e-5  # float32, summed in another order
Figures = dict[str, float | None]


def check_onnx(book: Book, options: CheckOptions) -> tuple[Figures, Path | None]:
    """SN1xx, SN3xx and SN6xx; the figures that a float network has, and the recording."""
    path = book.subject
    making = again.to_record(path, options)
    old = again.replaced(making, options)
    opened = open_onnx(book, path)
    if opened is None:
        return {}, None
    model, digests = opened
    if making:
        kept: Path | None = making
        known = book.attempt(
            "SN105", "run", lambda: _record(book, model, digests, making, options.reading, old), asked=True
        )
    else:
        kept = replay.found_for(book, path, options.recording)
        known = replay.read_for(book, kept)
    if kept is None or known is None:
        return {}, None
    if known.timesteps != model.timesteps:
        problem = f"{model.timesteps} timesteps, recorded were {known.timesteps}"
        book.add("SN302", "recorded spikes", "failed", problem, kept)
        return {}, kept
    fired = book.attempt("SN301", "recorded spikes", lambda: run_onnx(model, known.x), kept)
    if fired is None:
        return {}, kept
    replay.check_replay(book, known, fired, tolerance=ANSWERS, place=kept)
    book.judge("SN306", "content", digest.changed(known.content, digests), "as recorded")
    determinism.check_runs(book, "model", lambda x, batch: run_onnx(model, x, batch), known.x, fired, tolerance=ANSWERS)
    return onnx_figures(fired, known.y), kept


def run_onnx(model: OnnxModel, x: np.ndarray, batch: int = 128) -> Fired:
    """The model on samples (B, *shape) or (B, T, *shape); InvalidFileError where the runtime refuses it."""
    try:
        parts = [model.run(x[k : k + batch]) for k in range(0, len(x), batch)]
    except Exception as error:  # onnxruntime has a type of its own for every way to fail
        why = " ".join(str(error).split())[:200]
        raise InvalidFileError(
            f"{model.path}: onnxruntime does not run it on samples of shape {x.shape[1:]} "
            f"({type(error).__name__}: {why})"
        ) from None
    spikes = {name: np.concatenate([p[0][name] for p in parts]) for name in parts[0][0]}
    return Fired(spikes, np.concatenate([p[1] for p in parts]))


def onnx_figures(fired: Fired, y: np.ndarray | None, ors: Set[str] = frozenset()) -> Figures:
    """Accuracy (with labels), SAR and spikes of the float network. ors: what SAR leaves out, where a graph says it."""
    number = len(fired.answers)
    spikes = sum(int(s.sum()) for s in fired.spikes.values())
    rated = [s for name, s in fired.spikes.items() if name not in ors]
    sar = sum(int(s.sum()) for s in rated) / max(1, sum(s.size for s in rated))
    hits = None if y is None else float((fired.answers.argmax(axis=1) == y).mean())
    return {"accuracy": hits, "sar": sar, "spikes": spikes / number}


def _record(
    book: Book, model: OnnxModel, digests: Mapping[str, str], out: Path, asked: ReadingOptions, old: Recording | None
) -> Recording:
    wanted = again.reading(out, old, asked) if old else asked
    kind = _kind(model, wanted.input_kind)
    shape, seed, number = model.input_shape, wanted.seed or 0, wanted.limit or recording.SAMPLES
    if wanted.data is None:
        x, y = recording.drawn(shape, model.timesteps, kind, (0.0, 1.0), seed, number), None
        source = f"{len(x)} samples drawn with seed {seed}"
    else:
        x, y = _given(wanted.data, number, seed)
        x = user_samples.scaled(x, kind)
        x = user_samples.frames(x, shape, wanted.data) if len(shape) == 3 else x
        x = np.ascontiguousarray(user_samples.repeated(x, model.timesteps, kind))
        source = f"{len(x)} samples of {Path(wanted.data).name}"
    if old is not None:
        if wanted.data is not None:
            again.must_be_recorded(out, old, x, y, wanted.data)
        if old.timesteps != model.timesteps:
            raise again.other(out, f"the model has {model.timesteps} timesteps, recorded were {old.timesteps}")
        x, y, source = old.x, old.y, old.source
    fired = run_onnx(model, x)
    settled = replace(wanted, timesteps=model.timesteps, input_kind=kind)
    return again.keep(book, out, recording.make(x, y, fired, digests, settled, source), old)


def _kind(model: OnnxModel, asked: str | None) -> InputKind:
    found: Any = asked or model.about.get("input_kind") or "analogue"
    return found if found in ("spikes", "counts") else "analogue"


def _given(name: str, limit: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    if name.endswith(".npz"):
        x, y = user_samples.read_arrays(name)
    else:
        from snnas.toolchain.data.load import load

        split = load(name, seed=seed)
        x, y = split.x_test, split.y_test
    return x[:limit], None if y is None else y[:limit]
