"""``snnas export``: trained run -> NIR -> integer program -> whole test split -> Lava -> report, every joint checked.

Everything is built in a folder beside the final one and renamed when it is whole.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.observed_currents import Ranges, check_ranges_option
from snnas.export.compiler.observed_ranges import settled
from snnas.export.compiler.quantisation_error import PopulationError, quantisation_errors, short_of_bits, with_spikes
from snnas.export.compiler.quantise import check_bits
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import GateError, InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.files import read_json, read_text, sha256, write_json, write_text
from snnas.hw_sim.lava import environment as lava_environment
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.hw_sim.tables import shipped
from snnas.toolchain.exporting.float_run import run_floats
from snnas.toolchain.exporting.measured import Measured
from snnas.toolchain.exporting.on_target import compile_calibrated, simulate_split
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.runs.versions import fingerprint, versions_of
from snnas.toolchain.training.restore import network_of

if TYPE_CHECKING:
    from snnas.search.network.network import Network

TARGETS = ("lava", "onnx")  # onnx: snnas.toolchain.exporting.onnx
FORMAT = "snnas.export/1"
FEW_BITS_MEND = "snnas diagnose says what it costs"
OBSERVED_SAMPLES = 256  # on which registers are watched that no proof covers


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What an export is asked for. samples: how many of the test split Lava runs. bits: of a weight.

    ranges: whether registers are proved for all input, or for what was observed (``quantise``).
    finetune: of the program, None for none.
    """

    target: str = "lava"
    samples: int = 32
    profile: str = "loihi1"
    bits: int = WEIGHT_BITS
    ranges: Ranges = "auto"
    finetune: Finetuning | None = None
    require_lava: bool = False
    lava_python: Path | None = None
    lava_timeout: float | None = None
    force: bool = False


def check_options(options: ExportOptions) -> None:
    """Raises before any work is done: unknown target or profile, impossible numbers, a required Lava that is absent."""
    if options.target not in TARGETS:
        raise UsageError(f"unknown target {options.target!r}; expected {', '.join(TARGETS)}")
    if options.samples < 1:
        raise UsageError(f"--samples {options.samples}: expected a whole number >= 1")
    if options.lava_timeout is not None and not 0 < options.lava_timeout < 1e9:
        raise UsageError(f"--timeout {options.lava_timeout:g}: expected a number of seconds > 0")
    check_bits(options.bits)
    check_ranges_option(options.ranges)
    if options.finetune is not None:
        options.finetune.check()
    load_profile(options.profile)
    if options.require_lava:
        python, why = lava_python(options)
        if python is None:
            raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {why}")


def lava_python(options: ExportOptions) -> tuple[Path | None, str]:
    """An interpreter in which Lava works, or why there is none."""
    python, why = lava_environment.find_python(options.lava_python)
    if python is None:
        return None, why
    found = lava_environment.probe(python)
    if not found["usable"]:
        return None, f"{python}: {found['reason']}; make one with: snnas lava setup"
    return python, f"Lava {found['lava']}, Python {found['python']}"


def export(run: Run, options: ExportOptions, narrator: Narrator) -> dict[str, Any]:
    """Exports a run and returns its report; GateError (exit 1) names the first spike that differs."""
    from snnas.toolchain.exporting.report import build_report

    check_options(options)
    network = network_of(run)
    final = run.export(options.target)
    inputs = _inputs(run, options)
    reused = _reuse(final, inputs, options)
    if reused is not None:
        narrator.say(f"  {final} is up to date: its inputs have not changed")
        _show(run, final)
        return reused
    with staged(final) as stage:
        measured = _export(run, network, stage, options, narrator)
        report = build_report(run, measured)
        report["hashes"] = {name: inputs[name] for name in ("weights", "genotype", "data")}
        write_json(stage / "counts.json", measured.target.counts.to_json())
        write_json(stage / "report.json", report)
        manifest = {"format": FORMAT, "target": options.target, "inputs": inputs, "versions": fingerprint("cpu")}
        manifest |= {"conventions": _conventions(measured), **from_report(report)}
        if measured.finetune is not None:
            manifest["finetune"] = finetune_section(measured.finetune)
        manifest["graph_spikes"] = interpreter.spikes_per_timestep(
            {name: fired[: options.samples] for name, fired in measured.nir_spikes.items()}
        )
        manifest["files"] = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
        write_json(stage / "manifest.json", manifest)
    _show(run, final)
    return report


def finetune_section(found: dict[str, Any]) -> dict[str, Any]:
    """[finetune] of a manifest: the report's, and that graph and program part on purpose."""
    note = (
        "program.npz was trained on after it was compiled from model.nir, which stays the float network: weights, "
        "biases, thresholds and readout differ from the graph's by more than rounding, on purpose"
    )
    kept = "no epoch was clearly better on the validation split: program.npz is as it was compiled from model.nir"
    return {**found, "note": note if found["best_epoch"] else kept}


def _show(run: Run, final: Path) -> None:
    """The run's own counts.json and report.json are those of its newest export, which holds them too."""
    for name in ("counts.json", "report.json"):
        write_text(run.path / name, read_text(final / name))


def write_dump(folder: Path, out: Path) -> None:
    """graph.txt and program.txt of an export folder, for a person to follow by hand."""
    from snnas.export.formats.dump import dump, dump_graph

    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "graph.txt", dump_graph(read_nir(folder / "model.nir")))
    write_text(out / "program.txt", dump(read_program(folder / "program.npz")))


def _inputs(run: Run, options: ExportOptions) -> dict[str, Any]:
    config = run.config()
    return {
        "weights": sha256(run.weights),
        "genotype": sha256(run.genotype),
        "network": config.get("network"),
        "data": run.section("data").get("sha256"),
        "seed": config.get("seed"),
        **settings(options),
    }


def settings(options: ExportOptions) -> dict[str, Any]:
    """What of the options, and of snnas itself, decides an export, be it of a run or of a foreign graph."""
    return {
        "samples": options.samples,
        "bits": options.bits,
        "ranges": options.ranges,
        **({"finetune": options.finetune.plain()} if options.finetune is not None else {}),
        "profile": sha256(shipped(options.profile, "profiles")),
        "snnas": versions_of("snnas").get("snnas", ""),
    }


def _reuse(final: Path, inputs: dict[str, Any], options: ExportOptions) -> dict[str, Any] | None:
    """The report of a whole export with these inputs; UsageError where one of others would be lost without --force."""
    if not final.exists() or options.force:
        return None
    try:
        manifest = read_json(final / "manifest.json")
        same = manifest["inputs"] == inputs
        whole = all(sha256(final / name) == value for name, value in manifest["files"].items())
        report: dict[str, Any] = read_json(final / "report.json") if whole else {}
        whole = whole and says_the_same(manifest, report)
    except (InvalidFileError, OSError, KeyError, TypeError, AttributeError):
        return None  # damaged: nothing that could be lost
    if not same:
        raise UsageError(f"{final} holds an export of other inputs; overwrite it with --force")
    if not whole or (not report["checks"]["lava_samples"] and lava_python(options)[0] is not None):
        return None
    return report


def from_report(report: dict[str, Any]) -> dict[str, Any]:
    """What a manifest repeats of the report beside it."""
    figures = {k: report[k] for k in ("accuracy", "sar", "energy_uJ", "latency_us", "resources")}
    return {"schedule": report["schedule"], "checks": report["checks"], "figures": figures}


def says_the_same(manifest: dict[str, Any], report: dict[str, Any]) -> bool:
    """Whether nobody has edited the manifest's figures, which no hash covers."""
    return all(manifest[name] == value for name, value in from_report(report).items())


def _conventions(measured: Measured) -> dict[str, Any]:
    from snnas.export.dialects import conventions

    return {
        "dt": conventions.DT,
        "compare": ">",
        "reset": "zero",
        "thresholds": "one float32 below the trained >=",
        "input_kind": measured.program.input_kind,
        "timesteps": measured.program.timesteps,
    }


def _export(run: Run, network: Network, stage: Path, options: ExportOptions, narrator: Narrator) -> Measured:
    from snnas.export.compiler.fold import fold

    data = dataset_of(run)
    timesteps = int(network.config.timesteps)
    narrator.say("deployed network -> NIR")
    meta = {"run": run.name, "timesteps": timesteps, "input_kind": data.input_kind, "input_range": list(data.range)}
    deployed = fold(network.layers(), meta={**meta, "architecture": network.genotype.architecture_id})
    write_nir(stage / "model.nir", deployed)
    graph = read_nir(stage / "model.nir", use_metadata=False, delayed=deployed.delayed)
    trained, nir = run_floats(network, deployed, graph, data.x_test, timesteps, options.samples, narrator)
    if options.samples > len(data.x_test):
        narrator.say(f"  --samples {options.samples}: the test split has {len(data.x_test)}; all of them are taken")
    narrator.say("NIR -> integer program")
    compiled = program = compile_calibrated(graph, data, timesteps, meta, bits=options.bits, ranges=options.ranges)
    if options.finetune is not None:
        from snnas.toolchain.finetuning import exported

        tuned = exported.of_run(run, network, compiled, graph, data, options.finetune, narrator)
        program = tuned.program
    write_program(stage / "program.npz", program)
    program = read_program(stage / "program.npz")
    ranges = settled(program, data.x_test[: max(options.samples, OBSERVED_SAMPLES)])
    mapping = map_program(program, load_system())
    target = simulate_split(program, mapping, data.x_test, options.samples, narrator)
    write_npz(stage / "golden.npz", {**target.golden, "labels": data.y_test[: options.samples]})
    write_npz(stage / "stimulus.npz", {"x": data.x_test[: options.samples], "y": data.y_test[: options.samples]})
    script = Path(lava.__file__).with_name("run_lava.py")
    write_text(stage / "run_lava.py", script.read_text(encoding="utf-8"))
    comparison, note = _run_lava(stage, program, target.golden, options, narrator)
    finetuned = None
    if options.finetune is not None:
        finetuned = exported.figures(tuned, compiled, data.x_test, data.y_test, target.predictions)
    return Measured(
        graph=deployed,
        program=program,
        ranges=ranges,
        errors=with_spikes(errors_of(graph, program, narrator), program, target.golden, nir.spikes),
        mapping=mapping,
        profile=load_profile(options.profile),
        trained=trained,
        nir_predictions=nir.predictions,
        nir_spikes=nir.spikes,
        nir_differing=0,  # or it had ended there
        nir_margin=nir.margin,
        target=target,
        labels=data.y_test,
        lava=comparison,
        lava_note=note,
        finetune=finetuned,
    )


def errors_of(graph: Graph, program: Program, narrator: Narrator) -> dict[str, PopulationError]:
    """``quantisation_errors``; warns of populations whose weights have few bits left."""
    errors = quantisation_errors(graph, program)
    for line in short_of_bits(errors, program):
        narrator.say(f"  warning: {line}; {FEW_BITS_MEND}")
    return errors


def _run_lava(
    stage: Path, program: Program, golden: dict[str, np.ndarray], options: ExportOptions, narrator: Narrator
) -> tuple[lava.Comparison | None, str]:
    """Lava on the recorded samples; GateError names the first population, step and neuron that differ."""
    python, why = lava_python(options)
    if python is None:
        if options.require_lava:
            raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {why}")
        narrator.say(f"  Lava not run: {why}")
        return None, why
    samples = len(golden["logits"])
    narrator.say(f"Lava: {samples} samples ({why})")
    out = stage / "lava"
    result = lava.run_worker(stage, out, samples=samples, python=python, timeout=options.lava_timeout)
    comparison = lava.compare(golden, result["arrays"], program, samples)
    shutil.rmtree(out, ignore_errors=True)
    if not comparison.equal and comparison.first is not None:
        f = comparison.first
        raise GateError(
            f"Lava and the simulator differ in {comparison.differing_spikes} of {comparison.spikes} spikes: first at "
            f"population {f.population}, sample {f.sample}, timestep {f.timestep}, neuron {f.neuron}; "
            "this is a fault of ours, please report it"
        )
    narrator.say(
        f"  0 of {comparison.spikes} spikes differ; {result['hardware_steps']} steps in {result['run_seconds']:.1f} s"
    )
    return comparison, why
