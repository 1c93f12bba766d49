"""The ONNX model of an export folder beside its graph: written once more, and run on the samples that it carries."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from snnas.export.compiler.circuit import ors_of
from snnas.export.dialects import conventions
from snnas.export.executors import interpreter
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.formats.onnx_encoder import CHECKED, encoder_bytes
from snnas.export.formats.onnx_file import build_onnx
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, SnnasError, brief
from snnas.hw_sim.files import read_bytes, read_json
from snnas.hw_sim.signals import SignalInput
from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.checking import determinism
from snnas.toolchain.checking.equivalence import Fired, first_difference
from snnas.toolchain.checking.findings import Book, amount_of, written_otherwise
from snnas.toolchain.checking.graph_rules import neurons_of
from snnas.toolchain.checking.lone_onnx import onnx_figures, run_onnx
from snnas.toolchain.checking.made import Made
from snnas.toolchain.checking.onnx_rules import parsed
from snnas.toolchain.checking.said import check_samples_said, first_unlike, measured_of, unlike
from snnas.toolchain.checking.samples import Samples, read_stimulus
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.results.reading import hold
from snnas.toolchain.searching.budgets import GATED

COMPARED = 32  # samples: the interpreter takes its time
PRECISIONS = ("float32", "float64")
ENCODER = "encoder.onnx"
Built = TypeVar("Built")


def check_written(book: Book, graph: Graph, model: OnnxModel, version: str) -> None:
    """SN315: operators, numbers, inputs, outputs and metadata are those that model.nir gives, written once more.

    Runs alone would miss a readout in another order, or a weight that fires nothing else on a few samples. version: of
    the snnas that wrote it; another one may write it otherwise.
    """
    held, precision = parsed(model.path), model.about["precision"]
    if precision not in PRECISIONS:
        problem = f"its precision is {brief(precision)}, expected {' or '.join(PRECISIONS)}; export again"
        book.add("SN315", "ONNX", "failed", problem, model.path)
        return
    steps = graph.meta.get("timesteps", model.timesteps)
    made = _made_again(book, lambda: build_onnx(graph, timesteps=steps, precision=precision, inline=not held.functions))
    ours, theirs = _parts(made), _parts(held)
    odd = sorted({name for name, _ in (ours - theirs) + (theirs - ours)})
    count = f"{amount_of(len(odd), 'part')} {'is' if len(odd) == 1 else 'are'}"
    problem = f"{count} not what model.nir gives: {', '.join(odd[:6])}; {written_otherwise(version)}"
    good = f"{amount_of(len(held.graph.node), 'node')} and {amount_of(len(held.graph.initializer), 'tensor')} as "
    book.judge("SN315", "ONNX", problem if odd else None, f"{good}written again", model.path)


def check_encoder(book: Book, graph: Graph, said: int, version: str) -> None:
    """SN315: encoder.onnx is, byte for byte, what model.nir's encoder of signals gives; there is none for any other.

    SN307: ``said``, how many spikes of it were compared by the report.
    """
    place, compared = book.subject / ENCODER, 0
    held = read_bytes(place) if place.is_file() else None
    made: bytes | None = None
    if graph.meta.get("signal") is not None:
        signal = SignalInput.of(graph.meta["signal"], str(book.subject / "model.nir"))
        channels = graph.shapes()[graph.input][0] // signal.lines
        if signal.spikes:
            made = _made_again(book, lambda: encoder_bytes(signal, channels))
            compared = CHECKED * math.prod(signal.shape(channels))
    if made is not None or held is not None:
        problem = None if made == held else f"not what model.nir gives; {written_otherwise(version)}"
        if made is None:
            problem = "model.nir says of no encoder of signals, so that nothing gives it; export again"
        elif held is None:
            problem = f"model.nir says of an encoder of signals, and there is none; {written_otherwise(version)}"
        book.judge("SN315", "ONNX encoder", problem, f"{len(held or b''):,} bytes as written again", place)
    told = unlike(said, compared, "encoder_spikes_compared")
    if told is not None or compared:
        good = f"{compared:,} spikes, as many as are compared"
        book.judge("SN307", "spikes of the encoder", told, good, book.subject / "report.json")


def _made_again(book: Book, build: Callable[[], Built]) -> Built:
    """What ``build`` makes of model.nir; InvalidFileError where nothing comes of it."""
    try:
        return build()
    except SnnasError:
        raise
    except Exception as error:  # onnx has a type of its own for every way in which a model is none
        why = " ".join(str(error).split())[:120]
        place = book.subject / "model.nir"
        raise InvalidFileError(f"{place}: no ONNX model comes of it ({why}); export again") from None


def _parts(model: Any) -> Counter[tuple[str, bytes]]:
    """All of a model that is computed, or says how, by name; what it is called and notes in words are left out."""
    graph, parts = model.graph, Counter[tuple[str, bytes]]()
    for kind in ("initializer", "sparse_initializer", "input", "output"):
        for part in getattr(graph, kind):
            name = part.values.name if kind == "sparse_initializer" else part.name
            parts[f"{kind} {name}", part.SerializeToString(deterministic=True)] += 1
    for node in graph.node:
        alike = type(node)()
        alike.CopyFrom(node)
        if alike.op_type == "Sum":  # of any order: edges are sorted where a graph is written
            alike.input[:] = sorted(alike.input)
        parts[f"node {node.name}", alike.SerializeToString(deterministic=True)] += 1
    for function in model.functions:
        parts[f"function {function.name}", function.SerializeToString(deterministic=True)] += 1
    for opset in model.opset_import:
        parts[f"opset {opset.domain or 'ai.onnx'}", str(opset.version).encode()] += 1
    about = [entry.value for entry in model.metadata_props if entry.key == conventions.KEY]
    parts["metadata", str(len(about)).encode()] += 1
    for key, value in json.loads(about[-1]).items():
        plain = sorted(map(str, value)) if key == "spikes" else value  # by name, in the order of the nodes in the file
        parts[f"metadata {key}", json.dumps(plain, sort_keys=True).encode()] += 1
    return parts


def check_onnx(book: Book, graph: Graph, model: OnnxModel, version: str, *, judged: bool) -> Made:
    """SN315, and SN308: the interpreter on model.nir and onnxruntime on model.onnx, on the first samples; SN6xx.

    The figures of all samples, where they are judged.
    """
    shape = graph.shapes()[graph.input]
    boxed: Any = shape if len(shape) == 3 else (*shape, 1, 1)
    classes = math.prod(graph.shapes()[graph.output])
    report = book.attempt("SN307", "report's figures", lambda: _report(book.subject / "report.json"))
    samples = read_stimulus(book.subject, boxed, model.timesteps, (-math.inf, math.inf), classes)
    if report is None:
        return Made(judged=samples)
    x = samples.first(COMPARED).x
    fed = samples.x.reshape(*samples.x.shape[:-3], *shape)
    done = interpreter.run(graph, x, model.timesteps)
    names = neurons_of(graph)
    fired = run_onnx(model, fed[:COMPARED])
    if {n: s.shape for n, s in fired.spikes.items()} != {n: done.spikes[n].shape for n in names}:
        problem: str | None = "their neuron layers are not the same"
    else:
        wanted = Fired({n: done.spikes[n] for n in names}, done.answers).packed()
        difference = first_difference(wanted, fired, names)
        problem = difference.text() if difference else None
    good = f"0 of {fired.total():,} differ, {amount_of(len(x), 'sample')}"
    book.judge("SN308", "ONNX against NIR", problem, good, book.subject / "model.onnx")
    check_written(book, graph, model, version)
    check_encoder(book, graph, report.get("encoder_spikes_compared", 0), version)
    again = partial(run_onnx, model)
    determinism.check_runs(book, "model", again, fed[:COMPARED], fired, tolerance=1e-5)
    ors = ors_of(graph, model.about.get("input_kind") or "analogue")
    return _figures(book, model, samples, fed, ors, report) if judged else Made(judged=samples)


def _figures(
    book: Book, model: OnnxModel, samples: Samples, fed: np.ndarray, ors: Set[str], report: dict[str, Any]
) -> Made:
    """fed: the samples in the shape of the graph's input."""
    place = book.subject / "report.json"
    check_samples_said(book, samples, report["samples"])
    fired = run_onnx(model, fed)
    figures = onnx_figures(fired, samples.y, ors)
    said, reported = {"accuracy": report["accuracy"]["onnxruntime"], "sar": report["sar"]}, report["samples"]
    intervals = {}
    if figures["accuracy"] is not None:
        intervals["accuracy"] = wilson(round(figures["accuracy"] * len(samples)), len(samples))
    if len(samples) == reported:
        told = next(filter(None, (unlike(v, figures[n], n) for n, v in said.items() if figures[n] is not None)), None)
        told = told or first_unlike(report, _beside(model, fired))
        good = f"{'activity' if samples.y is None else 'accuracy and activity'} as measured again on "
        book.judge("SN307", "report's figures", told, good + amount_of(len(samples), "sample"), place)
    return Made(
        figures=figures,
        intervals=intervals,
        claimed={n: v for n, v in said.items() if v is not None and n in GATED},
        samples=len(samples),
        reported=reported,
        judged=samples,
    )


def _report(place: Path) -> dict[str, Any]:
    """A report.json, held against its record."""
    from snnas.toolchain.results.records.onnx import OnnxExport

    report: dict[str, Any] = read_json(place)
    hold(OnnxExport, report, str(place), "export again")
    return report


def _beside(model: OnnxModel, fired: Fired) -> dict[str, Any]:
    """What the report says beside accuracy and activity, of the file and of its run on all of its samples."""
    answers = Answers()
    answers.add(fired.answers)
    silence = answers.with_spikes({name: int(spikes.sum()) for name, spikes in fired.spikes.items()})
    return {
        "timesteps": model.timesteps,
        "precision": model.about["precision"],
        "bytes": model.path.stat().st_size,
        "spikes_compared": sum(spikes.size for spikes in fired.spikes.values()),
        "silence": measured_of(silence),
    }
