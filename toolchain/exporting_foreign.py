"""``snnas export GRAPH.nir``: anybody's graph -> integer program -> its samples -> Lava -> report, as of a run of ours.

There is no training side: its column holds what the graph itself does, run in float by the NumPy interpreter. Part of
the samples calibrates the scales and is left out of every figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from export import interpreter, netx_file
from export.compile import compile_graph
from export.graph import Graph
from export.nir_file import read_nir, write_nir
from export.npz_file import write_npz
from export.observed_ranges import settled
from export.program_file import read_program, write_program
from export.quantisation_error import quantisation_errors, with_spikes
from hw_sim import lava
from hw_sim.energy import load_profile
from hw_sim.errors import GateError, UsageError
from hw_sim.mapping import load_system, map_program
from hw_sim.tables import shipped
from toolchain import data as datasets
from toolchain import exporting, runs, samples
from toolchain.exporting import FORMAT, ExportOptions, Measured
from toolchain.files import sha256, write_json, write_text
from toolchain.float_runs import Trained
from toolchain.narration import Narrator
from toolchain.on_target import simulate_split
from toolchain.runs import Run
from toolchain.seeds import stream
from toolchain.staging import staged
from toolchain.subjects import CALIBRATION_SAMPLES, Opened, Wanted, open_graph

if TYPE_CHECKING:
    from toolchain.finetuning.exported import Samples

CALIBRATION_SHARE = 5  # one of so many samples of a user's file calibrates
CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """What the report asks a run for, of a graph that no run of ours made."""

    name: str
    data: dict[str, Any]
    seed: int
    versions: dict[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        return {"seed": self.seed, "versions": self.versions}

    def section(self, name: str) -> dict[str, Any]:
        return {"data": self.data, "method": {"name": "a foreign graph"}}.get(name, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """x: measured. calibration: what steers the scales. Both as the program takes them. learnt: of a fine-tuning."""

    x: np.ndarray
    y: np.ndarray | None
    calibration: np.ndarray
    share: str
    learnt: Samples | None = None


def export_graph(
    path: Path, wanted: Wanted, options: ExportOptions, narrator: Narrator, *, out: Path | None = None
) -> dict[str, Any]:
    """Exports a .nir and returns its report. out: the folder, ``<stem>-lava`` by default.

    InvalidFileError (3) and UnsupportedError (4) name node and mend; GateError (1) the first spike that differs.
    """
    from toolchain.report import build_report

    if options.target != "lava":
        raise UsageError(f"--target {options.target}: a foreign graph goes to lava alone")
    exporting.check_options(options)
    if wanted.data is None:
        raise UsageError(f"{path}: no samples; give --data FILE.npz (x and, for accuracy, y) or --data digits")
    final = folder_of(path, out)
    opened = open_graph(path, wanted)
    for note in opened.notes:
        narrator.say(f"  {note}")
    inputs = _inputs(path, wanted, opened, options)
    reused = exporting._reuse(final, inputs, options)
    if reused is not None:
        narrator.say(f"  {final} is up to date: its inputs have not changed")
        return reused
    split = _split(opened, wanted, finetuned=options.finetune is not None)
    with staged(final) as stage:
        measured = _export(path, opened, split, stage, options, narrator)
        origin = _Origin(
            name=path.stem,
            data={"name": Path(opened.data).name, "sha256": inputs["data"]},
            seed=opened.seed,
            versions=runs.fingerprint("cpu"),
        )
        report = build_report(cast(Run, origin), measured)
        _complete(report, opened, split, measured)
        report["netx"] = _netx(stage, measured, narrator)
        report["hashes"] = {name: inputs[name] for name in ("graph", "data")}
        write_json(stage / "counts.json", measured.target.counts.to_json())
        write_json(stage / "report.json", report)
        manifest = {"format": FORMAT, "target": options.target, "inputs": inputs, "versions": origin.versions}
        manifest |= {"conventions": report["convention"], "schedule": report["schedule"], "checks": report["checks"]}
        manifest["figures"] = {k: report[k] for k in ("accuracy", "sar", "energy_uJ", "latency_us", "resources")}
        if measured.finetune is not None:
            manifest["finetune"] = exporting.finetune_section(measured.finetune)
        manifest["graph_spikes"] = interpreter.spikes_per_timestep(
            {name: fired[: options.samples] for name, fired in measured.nir_spikes.items()}
        )
        manifest["files"] = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
        write_json(stage / "manifest.json", manifest)
    return report


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
        "convention": opened.graph.convention.to_metadata(),
        "delayed": sorted(f"{s}:{d}" for s, d in opened.graph.delayed),
        "seed": opened.seed,
        "samples": options.samples,
        "bits": options.bits,
        **({"finetune": options.finetune.plain()} if options.finetune is not None else {}),
        "profile": sha256(shipped(options.profile, "profiles")),
        "snnas": runs.fingerprint("cpu").get("snnas", ""),
    }


def _split(opened: Opened, wanted: Wanted, *, finetuned: bool) -> _Split:
    """A named set's training split calibrates and its test split is measured; of a file, a drawn fifth calibrates.

    Of a fine-tuning, the training split trains and calibrates and the validation split chooses; of a file, drawn parts.
    """
    assert opened.x is not None
    if wanted.data in datasets.NAMES:
        data = datasets.load(str(wanted.data), seed=opened.seed)
        train, val = (samples.repeated(x, opened.timesteps, opened.kind) for x in (data.x_train, data.x_val))
        learnt = _samples(train, data.y_train, val, data.y_val) if finetuned else None
        calibration = train[:CALIBRATION_SAMPLES]
        share = f"{len(calibration)} samples of the training split"
        return _Split(x=opened.x, y=opened.y, calibration=calibration, share=share, learnt=learnt)
    if finetuned:
        return _drawn(opened)
    total = len(opened.x)
    taken = min(CALIBRATION_SAMPLES, total // CALIBRATION_SHARE)
    if taken == 0:
        raise UsageError(
            f"{opened.data}: {total} samples; at least {CALIBRATION_SHARE} are needed, of which a fifth calibrates"
        )
    drawn = stream(opened.seed, "calibration").permutation(total)
    mine, rest = np.sort(drawn[:taken]), np.sort(drawn[taken:])
    y = None if opened.y is None else opened.y[rest]
    return _Split(x=opened.x[rest], y=y, calibration=opened.x[mine], share=f"{taken} of {total} samples, drawn")


def _drawn(opened: Opened) -> _Split:
    """A user's samples in three parts: what is learnt from, what chooses, and what is measured."""
    from toolchain.finetuning.exported import drawn

    x, y = opened.x, opened.y
    assert x is not None
    train, val, rest = drawn(len(x), opened.seed)
    labels = [None if y is None else y[part] for part in (train, val, rest)]
    share = f"{min(CALIBRATION_SAMPLES, len(train))} of {len(train)} samples that train, drawn of {len(x)}"
    learnt = _samples(x[train], labels[0], x[val], labels[1])
    return _Split(x=x[rest], y=labels[2], calibration=x[train[:CALIBRATION_SAMPLES]], share=share, learnt=learnt)


def _samples(x_train: np.ndarray, y_train: np.ndarray | None, x_val: np.ndarray, y_val: np.ndarray | None) -> Samples:
    from toolchain.finetuning.exported import Samples

    x_train, x_val = (np.ascontiguousarray(x, dtype=np.float32) for x in (x_train, x_val))
    return Samples(x_train, y_train, x_val, y_val)


def _export(
    path: Path, opened: Opened, split: _Split, stage: Path, options: ExportOptions, narrator: Narrator
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
    calibration = interpreter.run(graph, split.calibration, opened.timesteps)
    program = compile_graph(
        graph,
        timesteps=opened.timesteps,
        input_kind=opened.kind,
        input_range=opened.range,
        spikes=calibration.spikes,
        bits=options.bits,
        meta={"graph": path.name},
    )
    compiled = program
    if options.finetune is not None:
        from toolchain.finetuning import exported as finetuning

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
    script = Path(lava.__file__).with_name("lava_worker") / "run_lava.py"
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
        errors=with_spikes(quantisation_errors(graph, program), program, target.golden, ours.spikes),
        mapping=mapping,
        profile=load_profile(options.profile),
        trained=_as_trained(ours),
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
        "verified": not opened.notes,
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


def _as_trained(run: interpreter.Run) -> Trained:
    first = [s[:CHUNK] for s in run.spikes.values()]
    return Trained(
        predictions=run.predictions,
        spikes={n: int(s.sum()) for n, s in run.spikes.items()},
        sizes={n: int(np.prod(s.shape[2:])) for n, s in run.spikes.items()},
        differing_from_deployed=0,
        first_batch_sar=sum(int(s.sum()) for s in first) / max(1, sum(s.size for s in first)),
    )


def _complete(report: dict[str, Any], opened: Opened, split: _Split, m: Measured) -> None:
    """What a foreign graph's report says otherwise: no unfolded network, perhaps no labels, and a convention."""
    report["checks"]["fold_differing_spikes"] = None
    report["convention"] = {
        **opened.graph.convention.to_metadata(),
        "verified": not opened.notes,
        "input_kind": opened.kind,
        "timesteps": opened.timesteps,
    }
    report["notes"] = list(opened.notes)
    report["calibration"] = split.share
    if split.y is None:
        accuracy = report["accuracy"]
        accuracy["agreement"] = float((m.target.predictions == m.nir_predictions).mean())
        accuracy |= dict.fromkeys(("training", "nir", "on_target", "interval", "flips_to_wrong", "flips_to_right"))
