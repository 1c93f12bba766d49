"""``snnas export --target onnx``: trained run -> deployed network -> model.onnx, compared spike by spike.

The same of anybody's .nir. The float network travels, not the integer program: what runs here is what training ended
with, on any runtime that reads ONNX. The whole test split goes through onnxruntime, and every spike is compared with
the deployed network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snnas.export.compiler.circuit import ors_of
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.onnx_encoder import write_encoder
from snnas.export.formats.onnx_file import write_onnx
from snnas.export.graph import digest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import GateError, UsageError
from snnas.hw_sim.files import sha256, write_json
from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.exporting.foreign_folder import folder_of, rewritten
from snnas.toolchain.exporting.formats import ONNX_FORMAT
from snnas.toolchain.exporting.reuse import reusable
from snnas.toolchain.exporting.source import meta_of
from snnas.toolchain.exporting.stimulus import kept
from snnas.toolchain.models.open import ASKED, open_graph
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.silent import explained
from snnas.toolchain.output import silence as silences
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.runs.versions import fingerprint
from snnas.toolchain.training.restore import network_at

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = ONNX_FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    """What an ONNX export is asked for. samples: how many of the test split stimulus.npz keeps at least."""

    precision: Literal["float32", "float64"] = "float32"
    inline: bool = False
    samples: int = 32
    force: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What of them an export depends on."""
        return {"precision": self.precision, "inline": self.inline, "samples": self.samples}


def export_onnx(run: Run, options: OnnxOptions, narrator: Narrator, *, timesteps: int | None = None) -> dict[str, Any]:
    """Export a run and return what was measured; GateError (exit 1) where one spike differs.

    timesteps: that the network runs, instead of those that it was trained with.
    """
    from snnas.export.executors.deployed import run_deployed

    network, other_time = network_at(run, timesteps)
    final = run.export("onnx")
    inputs = {
        "weights": sha256(run.weights),
        "genotype": sha256(run.genotype),
        "data": run.section("data").get("sha256"),
        **options.settings,
        **other_time,
    }
    reused = reusable(final, inputs, narrator, force=options.force, whole=_current)
    if reused is not None:
        return reused
    data = dataset_of(run)
    timesteps = int(network.config.timesteps)
    meta = meta_of(data, run.name, timesteps)
    graph = fold(network.layers(), meta={**meta, "architecture": network.genotype.architecture_id})
    with staged(final) as stage:
        narrator.say("deployed network -> ONNX")
        narrator.say(f"onnxruntime: {len(data.x_test)} samples")
        wanted = run_deployed(graph, data.x_test, timesteps)
        samples = Samples(x=data.x_test, y=data.y_test, kind=data.input_kind, timesteps=timesteps, wanted=wanted)
        report = _measured(stage, graph, samples, run.name, options)
        if data.signal is not None and data.signal.spikes:
            channels = data.input_shape[0] // data.signal.lines
            report["encoder_spikes_compared"] = write_encoder(stage / "encoder.onnx", data.signal, channels)
            narrator.say(f"  encoder.onnx: 0 of {report['encoder_spikes_compared']:,} spikes differ")
        _finish(stage, report, inputs)
    return report


def export_graph_onnx(
    path: Path, asked: ReadingOptions, options: OnnxOptions, narrator: Narrator, *, out: Path | None = None
) -> dict[str, Any]:
    """Export anybody's .nir to the folder ``out`` (``<stem>-onnx`` by default); what ``export_onnx`` returns.

    Errors as ``open_graph``; GateError where a spike of onnxruntime's is not the interpreter's. Without labels
    ``accuracy`` holds the share of equal predictions alone.
    """
    if asked.data is None:
        raise UsageError(f"{path}: no samples; give --data FILE.npz (x and, for accuracy, y) or --data digits{ASKED}")
    final = folder_of(path, out, "onnx")
    opened = open_graph(path, asked)
    assert opened.x is not None
    inputs = {
        "graph": sha256(path),
        "data": sha256(Path(opened.data)) if Path(opened.data).is_file() else opened.data,
        "asked": {"convention": asked.convention, **asked.single},
        "reading": digest.of_graph(opened.graph),
        "timesteps": opened.timesteps,
        "limit": asked.limit,
        **options.settings,
    }
    reused = reusable(final, inputs, narrator, force=options.force, whole=_current)
    if reused is not None:
        return reused
    x = opened.x[: asked.limit]
    with staged(final) as stage:
        narrator.say("graph -> ONNX")
        graph = rewritten(path, opened, stage)
        narrator.say(f"onnxruntime: {len(x)} samples")
        run = interpreter.run(graph, x, opened.timesteps)
        flat = x.reshape(*x.shape[:-3], *graph.shapes()[graph.input])
        y = None if opened.y is None else opened.y[: asked.limit]
        wanted = run.spikes, run.answers
        samples = Samples(x=x, y=y, kind=opened.kind, timesteps=opened.timesteps, wanted=wanted, fed=flat)
        report = _measured(stage, graph, samples, path.stem, options)
        _finish(stage, report, inputs)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What an ONNX export runs. wanted: the spikes of the graph's neurons, and its answers.

    fed: x in the shape of the graph's input, where that is another.
    """

    x: np.ndarray
    y: np.ndarray | None
    kind: str
    timesteps: int
    wanted: tuple[dict[str, np.ndarray], np.ndarray]
    fed: np.ndarray | None = None


def _measured(stage: Path, graph: Graph, samples: Samples, name: str, options: OnnxOptions) -> dict[str, Any]:
    """Writes model.nir, model.onnx and stimulus.npz; runs the model and compares it with what is wanted."""
    path, (spikes, answers), y = stage / "model.onnx", samples.wanted, samples.y
    write_nir(stage / "model.nir", graph)
    write_onnx(path, graph, timesteps=samples.timesteps, precision=options.precision, inline=options.inline)
    write_npz(stage / "stimulus.npz", kept(samples.x, y, options.samples, whole=False))
    found, total = OnnxModel(path).run(samples.x if samples.fed is None else samples.fed)
    differing = {n: int((found[n].reshape(v.shape) != v).sum()) for n, v in spikes.items()}
    compared = sum(v.size for v in spikes.values())
    if any(differing.values()):
        first = next(n for n, count in differing.items() if count)
        raise GateError(
            f"onnxruntime and the graph differ in {sum(differing.values()):,} of {compared:,} spikes, first at "
            f"{first}: float32 rounds a sum across a threshold; export with --float64"
        )
    watch = Answers()
    watch.add(total)
    ors = ors_of(graph, samples.kind)
    of_neurons = [v for n, v in spikes.items() if n not in ors]
    silence = explained(watch.with_spikes({n: int(v.sum()) for n, v in spikes.items()}), None, samples.x, graph)
    ours, theirs = answers.argmax(axis=1), total.argmax(axis=1)
    agreement = float((ours == theirs).mean())
    accuracy: dict[str, float | None] = {"deployed": None, "onnxruntime": None, "agreement": agreement}
    if y is not None:
        accuracy = {"deployed": float((ours == y).mean()), "onnxruntime": float((theirs == y).mean())}
    return {
        "schema": SCHEMA,
        "run": name,
        "precision": options.precision,
        "inlined": options.inline,
        "timesteps": samples.timesteps,
        "samples": len(samples.x),
        "accuracy": accuracy,
        "spikes_compared": compared,
        "spikes_differing": 0,
        "encoder_spikes_compared": 0,
        "output_difference": float(np.abs(total - answers).max()),
        "sar": sum(int(v.sum()) for v in of_neurons) / max(1, sum(v.size for v in of_neurons)),
        "silence": silence.to_json(),
        "bytes": path.stat().st_size,
    }


def _current(manifest: dict[str, Any], report: dict[str, Any]) -> bool:
    """Whether an export that is there is of today's format."""
    return bool(manifest["format"] == SCHEMA)


def _finish(stage: Path, report: dict[str, Any], inputs: dict[str, Any]) -> None:
    write_json(stage / "report.json", report)
    files = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
    manifest = {"format": SCHEMA, "target": "onnx", "inputs": inputs, "versions": fingerprint("cpu"), "files": files}
    write_json(stage / "manifest.json", manifest)


def table(report: dict[str, Any]) -> Table:
    """The report for a terminal."""
    from rich.table import Table

    out = Table(title=f"{report['run']} as ONNX", title_justify="left", show_header=False)
    accuracy, mute = report["accuracy"], silences.of(report)
    measured = f"measured, {report['samples']:,} samples"
    if why := silences.why_none(mute):
        out.add_row("accuracy", silences.NONE, why)
    elif accuracy["deployed"] is None:
        out.add_row("equal predictions", f"{accuracy['agreement']:.2%}", measured)
    else:
        out.add_row("accuracy, deployed network", f"{accuracy['deployed']:.2%}", measured)
        out.add_row("accuracy, onnxruntime", f"{accuracy['onnxruntime']:.2%}", "measured")
    compared, differing = report["spikes_compared"], report["spikes_differing"]
    out.add_row("spikes that differ", f"{differing} of {compared:,}", "measured")
    out.add_row("spiking activity rate", f"{report['sar']:.4f}", "measured")
    for row in silences.rows(mute):
        out.add_row(*row)
    inlined = ", LIF inlined" if report["inlined"] else ""
    out.add_row("model.onnx", f"{report['bytes'] / 1e3:,.1f} kB", f"{report['precision']}{inlined}")
    return out
