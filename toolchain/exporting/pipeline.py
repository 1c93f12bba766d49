"""``snnas export --target lava`` or ``c``: float network -> NIR -> integer program -> every sample -> Lava -> report.

One road for every source; each joint is checked. Everything is built in a folder beside the final one and renamed when
it is whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from snnas.export.compiler.observed_ranges import prove_or_observe
from snnas.export.compiler.quantisation_error import PopulationError, quantisation_errors, short_of_bits, with_spikes
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.files import sha256, write_json, write_text
from snnas.hw_sim.host_stage import coarse_channels, with_integers
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.toolchain.exporting.early_exit import with_rule
from snnas.toolchain.exporting.formats import FORMAT
from snnas.toolchain.exporting.host import against_floats
from snnas.toolchain.exporting.lava import run_lava, script
from snnas.toolchain.exporting.measured import Measured
from snnas.toolchain.exporting.on_target import simulate_split
from snnas.toolchain.exporting.options import ExportOptions, lava_python, settings
from snnas.toolchain.exporting.report import build_report
from snnas.toolchain.exporting.reuse import from_report, reusable, says_the_same
from snnas.toolchain.exporting.source import Source
from snnas.toolchain.exporting.stimulus import kept
from snnas.toolchain.models.silent import explained
from snnas.toolchain.output.stderr import Narrator, counted
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.runs.versions import fingerprint

FEW_BITS_MEND = "snnas diagnose says what it costs"
OBSERVED_SAMPLES = 256  # on which registers are watched that no proof covers


def export(source: Source, options: ExportOptions, narrator: Narrator) -> dict[str, Any]:
    """Exports a source and returns its report; GateError (exit 1) names the first spike that differs."""
    final = source.folder
    options = replace(options, bits=options.bits or source.bits)
    inputs = {**source.inputs, **settings(options)}
    reused = reusable(final, inputs, narrator, force=options.force, whole=lambda m, r: _current(final, m, r, options))
    if reused is not None:
        return reused
    with staged(final) as stage:
        measured = _measure(source, stage, options, narrator)
        report = build_report(source.origin, measured)
        source.amend(report, measured, stage, narrator)
        report["hashes"] = {name: inputs[name] for name in source.hashed}
        write_json(stage / "counts.json", measured.target.counts.to_json())
        write_json(stage / "report.json", report)
        manifest = {
            "format": FORMAT,
            "target": options.target,
            "inputs": inputs,
            "versions": fingerprint("cpu"),
        }
        manifest |= {"conventions": source.conventions(report), **from_report(report)}
        if measured.finetune is not None:
            manifest["finetune"] = _finetune_section(measured.finetune)
        manifest["graph_spikes"] = interpreter.spikes_per_timestep(measured.nir.spikes)
        manifest["files"] = {p.name: sha256(p) for p in sorted(stage.iterdir()) if p.is_file()}
        write_json(stage / "manifest.json", manifest)
    return report


def write_dump(folder: Path, out: Path) -> None:
    """graph.txt and program.txt of an export folder, for a person to follow by hand."""
    from snnas.export.formats.dump import dump, dump_graph

    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "graph.txt", dump_graph(read_nir(folder / "model.nir")))
    write_text(out / "program.txt", dump(read_program(folder / "program.npz")))


def _current(final: Path, manifest: dict[str, Any], report: dict[str, Any], options: ExportOptions) -> bool:
    """Whether an older export, in ``final``, is what one of today would be."""
    same_script = manifest["files"].get("run_lava.py") == hashlib.sha256(script().encode()).hexdigest()
    return (
        manifest["format"] == FORMAT
        and same_script
        and says_the_same(manifest, report)
        and _run_whole(final, manifest, report, options)
    )


def _run_whole(final: Path, manifest: dict[str, Any], report: dict[str, Any], options: ExportOptions) -> bool:
    """Whether an older export was run on all that there is here."""
    if options.target == "c":
        from snnas.export.formats.c.encoder import SOURCES, signal_of
        from snnas.toolchain.models.in_c import complete

        encodes = signal_of(read_program(final / "program.npz")) is not None
        if encodes and not {*SOURCES} <= manifest["files"].keys():
            return False  # of a version that wrote no encoder
        return complete(report["c"]) and (bool(report["checks"]["lava_samples"]) or not options.require_lava)
    return bool(report["checks"]["lava_samples"]) or lava_python(options)[0] is None


def _measure(source: Source, stage: Path, options: ExportOptions, narrator: Narrator) -> Measured:
    floats = source.floats(stage, options, narrator)
    x = floats.x
    keep = min(options.samples, len(x))
    if options.samples > keep:
        narrator.say(f"  --samples {options.samples}: there are {keep} to measure; all of them are taken")
    narrator.say("NIR -> integer program")
    program = compiled = _with_host(source, source.compile(floats, options), options, narrator)
    tuned = None
    if options.finetune is not None:
        tuned = source.tune(compiled, floats, options.finetune, narrator)
        program = tuned.program
    if options.early_exit is not None:
        program = with_rule(program, options.early_exit, source.held_back)
    write_program(stage / "program.npz", program)
    program = read_program(stage / "program.npz")
    ranges = prove_or_observe(program, x[: max(keep, OBSERVED_SAMPLES)])
    mapping = map_program(program, load_system())
    target = simulate_split(program, mapping, x, keep, narrator)
    labels = {} if floats.y is None else {"labels": floats.y[:keep]}
    write_npz(stage / "golden.npz", {**target.golden, **labels})
    whole = program.input_kind != "analogue"
    write_npz(stage / "stimulus.npz", kept(x, floats.y, keep, whole=whole))
    calibration = source.calibration
    write_npz(stage / "calibration.npz", kept(calibration, None, len(calibration), whole=whole))
    write_text(stage / "run_lava.py", script())
    comparison, note = run_lava(stage, program, target.golden, options, narrator)
    host = against_floats(program, x, floats.labels, target, keep, narrator)
    c = None
    if options.target == "c":
        from snnas.toolchain.exporting.c import export_c

        c = export_c(stage, program, x, target.logits, keep, narrator)
    finetuned = None
    if tuned is not None:
        from snnas.toolchain.finetuning.exported import figures

        finetuned = figures(tuned, compiled, x, floats.labels, target.predictions)
    return Measured(
        graph=floats.graph,
        program=program,
        ranges=ranges,
        errors=with_spikes(_errors(floats.read, program, narrator), program, target.golden, floats.nir.spikes),
        mapping=mapping,
        profile=load_profile(options.profile),
        trained=source.trained(floats, program),
        nir=floats.nir,
        target=target,
        labels=floats.labels,
        silence=explained(target.silence, program, x, floats.read),
        lava=comparison,
        lava_note=note,
        finetune=finetuned,
        host=host,
        c=c,
    )


def _with_host(source: Source, program: Program, options: ExportOptions, narrator: Narrator) -> Program:
    """The program with the host stage that is asked for; of spikes there is none.

    Channels of the calibration samples that integers round away are warned of.
    """
    if not program.host:
        if options.host == "int":
            narrator.say("  --host int: the input is spikes, there is no host stage")
        return program
    if not options.integer_host:
        return program
    program = with_integers(program, source.seen)
    if coarse := coarse_channels(program, source.calibration):
        named = ", ".join(f"{channel} ({left})" for channel, left in [*coarse.items()][:4])
        named += ", ..." if len(coarse) > 4 else ""
        narrator.say(
            f"  warning: integers leave {counted(len(coarse), 'channel')} of the input few of 256 values: {named}; "
            "clip what lies far out, or export with --host float"
        )
    return program


def _errors(graph: Graph, program: Program, narrator: Narrator) -> dict[str, PopulationError]:
    """``quantisation_errors``; warns of populations whose weights have few bits left."""
    errors = quantisation_errors(graph, program)
    for line in short_of_bits(errors, program):
        narrator.say(f"  warning: {line}; {FEW_BITS_MEND}")
    return errors


def _finetune_section(found: dict[str, Any]) -> dict[str, Any]:
    """[finetune] of a manifest: the report's, and that graph and program part on purpose."""
    note = (
        "program.npz was trained on after it was compiled from model.nir, which stays the float network: weights, "
        "biases, thresholds and readout differ from the graph's by more than rounding, on purpose"
    )
    kept = "no epoch was clearly better on the validation split: program.npz is as it was compiled from model.nir"
    return {**found, "note": note if found["best_epoch"] else kept}
