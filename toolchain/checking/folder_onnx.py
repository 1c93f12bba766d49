"""The ONNX model of an export folder beside its graph, on the samples that it carries."""

from __future__ import annotations

import math
from collections.abc import Set
from pathlib import Path
from typing import Any

from snnas.export.compiler.circuit import ors_of
from snnas.export.executors import interpreter
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.graph.graph import Graph
from snnas.hw_sim.files import read_json
from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.checking import determinism
from snnas.toolchain.checking.equivalence import Fired, first_difference
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.graph_rules import neurons_of
from snnas.toolchain.checking.lone_onnx import onnx_figures, run_onnx
from snnas.toolchain.checking.made import Made
from snnas.toolchain.checking.said import check_samples_said, first_unlike, measured_of, unlike
from snnas.toolchain.checking.samples import Samples, read_stimulus
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.results.reading import hold
from snnas.toolchain.searching.budgets import GATED

COMPARED = 32  # samples: the interpreter takes its time


def check_onnx(book: Book, graph: Graph, model: OnnxModel, *, judged: bool) -> Made:
    """SN308: the interpreter on model.nir and onnxruntime on model.onnx, on the first samples; SN6xx.

    The figures of all samples, where they are judged.
    """
    shape = graph.shapes()[graph.input]
    boxed: Any = shape if len(shape) == 3 else (*shape, 1, 1)
    classes = math.prod(graph.shapes()[graph.output])
    samples = read_stimulus(book.subject, boxed, model.timesteps, (-math.inf, math.inf), classes)
    x = samples.first(COMPARED).x
    done = interpreter.run(graph, x, model.timesteps)
    names = neurons_of(graph)
    fired = run_onnx(model, x.reshape(*x.shape[:-3], *shape))
    if {n: s.shape for n, s in fired.spikes.items()} != {n: done.spikes[n].shape for n in names}:
        problem: str | None = "their neuron layers are not the same"
    else:
        wanted = Fired({n: done.spikes[n] for n in names}, done.answers).packed()
        difference = first_difference(wanted, fired, names)
        problem = difference.text() if difference else None
    good = f"0 of {fired.total():,} differ, {amount_of(len(x), 'sample')}"
    book.judge("SN308", "ONNX against NIR", problem, good, book.subject / "model.onnx")
    flat = x.reshape(*x.shape[:-3], *shape)
    determinism.check_runs(book, "model", lambda s, batch: run_onnx(model, s, batch), flat, fired, tolerance=1e-5)
    ors = ors_of(graph, model.about.get("input_kind") or "analogue")
    return _figures(book, model, samples, shape, ors) if judged else Made(judged=samples)


def _figures(book: Book, model: OnnxModel, samples: Samples, shape: tuple[int, ...], ors: Set[str]) -> Made:
    place = book.subject / "report.json"
    report = book.attempt("SN307", "report's figures", lambda: _report(place))
    if report is None:
        return Made(judged=samples)
    check_samples_said(book, samples, report["samples"])
    fired = run_onnx(model, samples.x.reshape(*samples.x.shape[:-3], *shape))
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
