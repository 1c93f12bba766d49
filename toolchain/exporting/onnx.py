"""``snnas export --target onnx``: trained run -> deployed network -> model.onnx, compared spike by spike.

The float network travels, not the integer program: what runs here is what training ended with, on any runtime that
reads ONNX. The whole test split goes through onnxruntime, and every spike is compared with the deployed network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snnas.export.compiler.fold import fold
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.onnx_file import write_onnx
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.files import sha256, write_json
from snnas.toolchain.exporting.reuse import reusable
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.runs.versions import fingerprint
from snnas.toolchain.training.restore import network_of

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "snnas.export.onnx/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxOptions:
    """What an ONNX export is asked for. samples: how many of the test split stimulus.npz keeps."""

    precision: Literal["float32", "float64"] = "float32"
    inline: bool = False
    samples: int = 32
    force: bool = False


def export_onnx(run: Run, options: OnnxOptions, narrator: Narrator) -> dict[str, Any]:
    """Export a run and return what was measured; GateError (exit 1) where one spike differs."""
    from snnas.export.executors.deployed import run_deployed

    network = network_of(run)
    final = run.export("onnx")
    inputs = {
        "weights": sha256(run.weights),
        "genotype": sha256(run.genotype),
        "data": run.section("data").get("sha256"),
        "precision": options.precision,
        "inline": options.inline,
        "samples": options.samples,
    }
    reused = reusable(final, inputs, force=options.force)
    if reused is not None:
        narrator.say(f"  {final} is up to date: its inputs have not changed")
        return reused
    data = dataset_of(run)
    timesteps = int(network.config.timesteps)
    meta = {"run": run.name, "timesteps": timesteps, "input_kind": data.input_kind, "input_range": list(data.range)}
    graph = fold(network.layers(), meta={**meta, "architecture": network.genotype.architecture_id})
    with staged(final) as stage:
        narrator.say("deployed network -> ONNX")
        write_nir(stage / "model.nir", graph)
        path = stage / "model.onnx"
        write_onnx(path, graph, timesteps=timesteps, precision=options.precision, inline=options.inline)
        write_npz(stage / "stimulus.npz", {"x": data.x_test[: options.samples], "y": data.y_test[: options.samples]})
        narrator.say(f"onnxruntime: {len(data.x_test)} samples")
        wanted, summed = run_deployed(graph, data.x_test, timesteps)
        found, total = OnnxModel(path).run(data.x_test)
        differing = {name: int((found[name].reshape(v.shape) != v).sum()) for name, v in wanted.items()}
        report = {
            "schema": SCHEMA,
            "run": run.name,
            "precision": options.precision,
            "inlined": options.inline,
            "timesteps": timesteps,
            "samples": len(data.x_test),
            "accuracy": {
                "deployed": float((summed.argmax(1) == data.y_test).mean()),
                "onnxruntime": float((total.argmax(1) == data.y_test).mean()),
            },
            "spikes_compared": sum(v.size for v in wanted.values()),
            "spikes_differing": sum(differing.values()),
            "output_difference": float(np.abs(total - summed).max()),
            "sar": sum(int(v.sum()) for v in wanted.values()) / max(1, sum(v.size for v in wanted.values())),
            "bytes": path.stat().st_size,
        }
        if report["spikes_differing"]:
            first = next(name for name, count in differing.items() if count)
            raise GateError(
                f"onnxruntime and the deployed network differ in {report['spikes_differing']} of "
                f"{report['spikes_compared']} spikes, first at {first}: float32 rounds a sum across a threshold; "
                "export with --precision float64"
            )
        write_json(stage / "report.json", report)
        files = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
        versions = fingerprint("cpu")
        write_json(
            stage / "manifest.json",
            {"format": SCHEMA, "target": "onnx", "inputs": inputs, "versions": versions, "files": files},
        )
    return report


def table(report: dict[str, Any]) -> Table:
    """The report for a terminal."""
    from rich.table import Table

    out = Table(title=f"{report['run']} as ONNX", title_justify="left", show_header=False)
    accuracy = report["accuracy"]
    out.add_row("accuracy, deployed network", f"{accuracy['deployed']:.2%}", f"measured, {report['samples']} samples")
    out.add_row("accuracy, onnxruntime", f"{accuracy['onnxruntime']:.2%}", "measured")
    compared, differing = report["spikes_compared"], report["spikes_differing"]
    out.add_row("spikes that differ", f"{differing} of {compared:,}", "measured")
    out.add_row("spiking activity rate", f"{report['sar']:.4f}", "measured")
    inlined = ", LIF inlined" if report["inlined"] else ""
    out.add_row("model.onnx", f"{report['bytes'] / 1e3:,.1f} kB", f"{report['precision']}{inlined}")
    return out
