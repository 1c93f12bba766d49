"""``snnas export GRAPH.nir``: anybody's graph -> integer program -> its samples -> Lava -> report, as of a run of ours.

There is no training side: its column holds what the graph itself does, run in float by the NumPy interpreter. Part of
the samples calibrates the scales and is left out of every figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.observed_ranges import settled
from snnas.export.compiler.quantisation_error import with_spikes
from snnas.export.executors import interpreter
from snnas.export.formats import netx_file
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph import digest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import GateError, UnsupportedError, UsageError
from snnas.hw_sim.files import sha256, write_json, write_text
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.toolchain.data import load as datasets
from snnas.toolchain.data import user_samples as samples
from snnas.toolchain.exporting import of_run as exporting
from snnas.toolchain.exporting.float_run import Trained
from snnas.toolchain.exporting.measured import Measured
from snnas.toolchain.exporting.of_run import FORMAT, ExportOptions
from snnas.toolchain.exporting.on_target import simulate_split
from snnas.toolchain.exporting.split import ExportSplit, export_split
from snnas.toolchain.models.calibrate import compile_opened
from snnas.toolchain.models.convention_options import Wanted
from snnas.toolchain.models.open import ASKED, open_graph
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.extras import install
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.runs.versions import fingerprint

CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """What the report asks a run for, of a graph that no run of ours made."""

    name: str
    data: dict[str, Any]
    seed: int
    tool: str
    versions: dict[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        return {"seed": self.seed, "versions": self.versions}

    def section(self, name: str) -> dict[str, Any]:
        return {"data": self.data, "method": {"name": f"a foreign graph, read as {self.tool or 'nir'}"}}.get(name, {})


def export_graph(
    path: Path, wanted: Wanted, options: ExportOptions, narrator: Narrator, *, out: Path | None = None
) -> dict[str, Any]:
    """Exports a .nir and returns its report. out: the folder, ``<stem>-lava`` by default.

    InvalidFileError (3) and UnsupportedError (4) name node and mend; GateError (1) the first spike that differs.
    """
    from snnas.toolchain.exporting.report import build_report

    if options.target != "lava":
        only = "of a run alone, whose network is known as it was trained" if options.target == "onnx" else "unknown"
        raise UsageError(f"--target {options.target}: {only}; a .nir goes to lava")
    exporting.check_options(options)
    _check(wanted, options)
    if wanted.data is None:
        raise UsageError(f"{path}: no samples; give --data FILE.npz (x and, for accuracy, y) or --data digits{ASKED}")
    final = folder_of(path, out)
    opened = open_graph(path, wanted)
    trace(opened.graph, opened.kind)  # what no chip can do is refused before anything runs
    inputs = _inputs(path, wanted, opened, options)
    reused = exporting._reuse(final, inputs, options)
    if reused is not None:
        narrator.say(f"  {final} is up to date: its inputs have not changed")
        return reused
    split = export_split(opened, wanted, finetuned=options.finetune is not None)
    with staged(final) as stage:
        measured = _export(path, opened, split, stage, options, narrator)
        origin = _Origin(
            name=path.stem,
            data={"name": Path(opened.data).name, "sha256": inputs["data"]},
            seed=opened.seed,
            tool=wanted.said,
            versions=fingerprint("cpu"),
        )
        report = build_report(cast(Run, origin), measured)
        _complete(report, opened, wanted, split, measured)
        report["netx"] = _netx(stage, measured, narrator)
        report["hashes"] = {name: inputs[name] for name in ("graph", "data")}
        write_json(stage / "counts.json", measured.target.counts.to_json())
        write_json(stage / "report.json", report)
        manifest = {"format": FORMAT, "target": options.target, "inputs": inputs, "versions": origin.versions}
        manifest |= {"conventions": report["convention"], **exporting.from_report(report)}
        if measured.finetune is not None:
            manifest["finetune"] = exporting.finetune_section(measured.finetune)
        manifest["graph_spikes"] = interpreter.spikes_per_timestep(
            {name: fired[: options.samples] for name, fired in measured.nir_spikes.items()}
        )
        manifest["files"] = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
        write_json(stage / "manifest.json", manifest)
    return report


def _check(wanted: Wanted, options: ExportOptions) -> None:
    """Raises before any work is done."""
    if wanted.calibration is not None and options.finetune is not None:
        raise UsageError("--calibration: of an export without --finetune, which trains on a part of --data")
    if wanted.calibration is not None and not Path(wanted.calibration).is_file():
        raise UsageError(f"--calibration {wanted.calibration}: no such file; name an .npz with x")
    if wanted.calibration is not None and wanted.data in datasets.NAMES:
        raise UsageError(f"--calibration: {wanted.data} is calibrated on its own training split; leave it out")
    if options.finetune is not None and find_spec("torch") is None:
        raise UnsupportedError(f"--finetune needs torch, which is not installed; leave it out, or {install('search')}")


def _netx(stage: Path, measured: Measured, narrator: Narrator) -> str:
    """Writes model.net where lava-dl can hold the program; its name, or why there is none."""
    reason = netx_file.why_not(measured.program)
    if reason is None:
        netx_file.write_net(stage / "model.net", measured.program)
        return "model.net"
    narrator.say(f"  no model.net: {reason}")
    return reason


def folder_of(path: Path, out: Path | None) -> Path:
    """Where the artefacts go."""
    final = out if out is not None else Path(f"{path.stem}-lava")
    if final.exists() and not (final.is_dir() and ((final / "manifest.json").is_file() or not any(final.iterdir()))):
        raise UsageError(f"{final} exists and is no export of ours; name another folder with --out")
    return final


def _inputs(path: Path, wanted: Wanted, opened: Opened, options: ExportOptions) -> dict[str, Any]:
    file = Path(opened.data)
    return {
        "graph": sha256(path),
        "data": sha256(file) if file.is_file() else opened.data,
        "limit": wanted.limit,
        "timesteps": opened.timesteps,
        "input_kind": opened.kind,
        # What the options ask for and what came of it: the same file means other things in other tools.
        "asked": {"convention": wanted.convention, **wanted.single},
        "reading": digest.of_graph(opened.graph),
        "expect": None if opened.confirmed is None else opened.confirmed.sha256,
        "calibration": None if wanted.calibration is None else sha256(Path(wanted.calibration)),
        "seed": opened.seed,
        **exporting.settings(options),
    }


def _export(
    path: Path, opened: Opened, split: ExportSplit, stage: Path, options: ExportOptions, narrator: Narrator
) -> Measured:
    narrator.say("graph -> NIR of ours")
    graph = _rewritten(path, opened, stage)
    ours = _run(opened.graph, split.x, opened.timesteps, narrator)
    keep = min(options.samples, len(split.x))
    if options.samples > len(split.x):
        narrator.say(f"  --samples {options.samples}: there are {len(split.x)}; all of them are taken")
    again = interpreter.run(graph, split.x[:keep], opened.timesteps)
    differing = sum(int((ours.spikes[n][:keep] != again.spikes[n]).sum()) for n in ours.spikes)
    if differing:
        raise GateError(f"{path} and what we wrote of it differ in {differing} spikes; this is a fault of ours")
    narrator.say("NIR -> integer program")
    program = compile_opened(
        opened, split.compiled, name=path.name, graph=graph, bits=options.bits, ranges=options.ranges
    )
    compiled = program
    if options.finetune is not None:
        from snnas.toolchain.finetuning import exported as finetuning

        assert split.learnt is not None
        tuned = finetuning.of_graph(compiled, graph, split.learnt, options.finetune, opened.seed, narrator)
        program = tuned.program
    write_program(stage / "program.npz", program)
    program = read_program(stage / "program.npz")
    samples.check_range(split.x, program, opened.data)
    ranges = settled(program, split.x[: max(keep, exporting.OBSERVED_SAMPLES)])
    mapping = map_program(program, load_system())
    target = simulate_split(program, mapping, split.x, keep, narrator)
    labels = {} if split.y is None else {"y": split.y[:keep]}
    write_npz(stage / "golden.npz", {**target.golden, **({"labels": labels["y"]} if labels else {})})
    write_npz(stage / "stimulus.npz", {"x": np.ascontiguousarray(split.x[:keep], dtype=np.float32), **labels})
    script = Path(lava.__file__).with_name("run_lava.py")
    write_text(stage / "run_lava.py", script.read_text(encoding="utf-8"))
    comparison, note = exporting._run_lava(stage, program, target.golden, options, narrator)
    labels_or_float = ours.predictions if split.y is None else split.y
    finetuned = None
    if options.finetune is not None:
        finetuned = finetuning.figures(tuned, compiled, split.x, labels_or_float, target.predictions)
    return Measured(
        graph=graph,
        program=program,
        ranges=ranges,
        errors=with_spikes(exporting.errors_of(graph, program, narrator), program, target.golden, ours.spikes),
        mapping=mapping,
        profile=load_profile(options.profile),
        trained=_as_trained(ours, program),
        nir_predictions=ours.predictions,
        nir_spikes=ours.spikes,
        nir_differing=differing,
        nir_margin=ours.margin,
        target=target,
        labels=labels_or_float,
        lava=comparison,
        lava_note=note,
        finetune=finetuned,
    )


def _rewritten(path: Path, opened: Opened, stage: Path) -> Graph:
    """model.nir: the graph laid open, with everything that was settled as its metadata; read back."""
    meta = {
        "timesteps": opened.timesteps,
        "input_kind": opened.kind,
        "input_range": list(opened.range),
        "verified": opened.verified,
        "origin": {"file": path.name, "sha256": sha256(path)},
    }
    write_nir(stage / "model.nir", replace(opened.graph, meta=meta))
    return read_nir(stage / "model.nir")


def _run(graph: Graph, x: np.ndarray, timesteps: int, narrator: Narrator) -> interpreter.Run:
    """The float run of all samples."""
    parts = []
    with narrator.progress("float run of the graph") as advance:
        for k in range(0, len(x), CHUNK):
            parts.append(interpreter.run(graph, x[k : k + CHUNK], timesteps))
            advance(min(k + CHUNK, len(x)), len(x))
    return interpreter.Run(
        spikes={n: np.concatenate([p.spikes[n] for p in parts]) for n in parts[0].spikes},
        output=np.concatenate([p.output for p in parts]),
        margin=min(p.margin for p in parts),
        reads_last=graph.reads_last,
    )


def _as_trained(run: interpreter.Run, program: Program) -> Trained:
    """The float run's counts, of the neurons that the program counts as such: its ORs are overhead in both columns."""
    node_of = program.meta["node_of"]
    nodes = {node_of[p.id] for p in program.populations if p.role == "neuron"}
    spikes = {n: s for n, s in run.spikes.items() if n in nodes}
    first = [s[:CHUNK] for s in spikes.values()]
    return Trained(
        predictions=run.predictions,
        spikes={n: int(s.sum()) for n, s in spikes.items()},
        sizes={n: int(np.prod(s.shape[2:])) for n, s in spikes.items()},
        differing_from_deployed=0,
        first_batch_sar=sum(int(s.sum()) for s in first) / max(1, sum(s.size for s in first)),
    )


def _complete(report: dict[str, Any], opened: Opened, wanted: Wanted, split: ExportSplit, m: Measured) -> None:
    """What a foreign graph's report says otherwise: no unfolded network, perhaps no labels, and a convention."""
    report["checks"]["fold_differing_spikes"] = None
    report["convention"] = {
        **opened.graph.convention.to_metadata(),
        "verified": opened.verified,
        "recording": None if opened.confirmed is None else opened.confirmed.to_json(),
        "of": wanted.said or None,
        "input_kind": opened.kind,
        "timesteps": opened.timesteps,
    }
    report["notes"] = list(opened.notes)
    report["calibration"] = split.share
    if split.y is None:
        accuracy = report["accuracy"]
        accuracy["agreement"] = float((m.target.predictions == m.nir_predictions).mean())
        accuracy |= dict.fromkeys(("training", "nir", "on_target", "interval", "flips_to_wrong", "flips_to_right"))
