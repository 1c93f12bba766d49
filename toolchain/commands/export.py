"""A run, or anybody's graph, to a program on target, or to ONNX."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.export.compiler.observed_currents import Ranges
from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import UsageError
from snnas.toolchain import runs
from snnas.toolchain.commands.exported import Export
from snnas.toolchain.exporting import of_graph, of_run
from snnas.toolchain.exporting.foreign_folder import folder_of
from snnas.toolchain.exporting.options import ExportOptions, check_target
from snnas.toolchain.exporting.pipeline import write_dump
from snnas.toolchain.finetuning.options import asked as asked_finetuning
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output import silence
from snnas.toolchain.output.card import write_card
from snnas.toolchain.output.chance import chance_note
from snnas.toolchain.output.run import after_export
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.front import member

if TYPE_CHECKING:
    from snnas.toolchain.exporting.onnx import OnnxOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOptions:
    """What every export to an integer program is asked for."""

    target: str = "lava"
    """lava: an integer program in Loihi's arithmetic. c: the same program as C99. onnx: the float network, one step."""
    samples: int = 32
    """Samples that Lava runs and golden.npz keeps."""
    profile: str = "loihi1"
    """Energy profile: a name or a .toml file."""
    bits: int | None = None
    """Of a weight: 8, 6 or 4; None: those that a run was searched with, else 8."""
    host: str | None = None
    """Arithmetic of the linear layers before the first neuron: float, or int: int16 weights on uint8 pixels; None: int
    for C, float for others."""
    ranges: Ranges = "auto"
    """Whether registers are proved for all input (proved), hold what was observed with a margin (observed), or the
    first where it costs no bits (auto)."""
    finetune: int | None = None
    """Epochs of training on the integers; None: none."""
    finetune_lr: float | None = None
    """With ``finetune``: its learning rate; None: 0.003."""
    early_exit: str | None = None
    """exact: an inference ends once its answer cannot change any more. A share, as 0.99: once so many answers stay on
    samples that are held back. None: it takes all timesteps."""
    require_lava: bool = False
    """UnsupportedError (4) where Lava is not usable."""
    python: Path | None = None
    """The Lava worker's Python 3.10; None: looked for."""
    timeout: float | None = None
    """Seconds that one Lava run may take."""
    dump: Path | None = None
    """Folder for graph and program as text to read."""
    force: bool = False
    """Overwrite an export of other inputs."""
    float64: bool = False
    """Of onnx: exact, and slower."""
    inline: bool = False
    """Of onnx: no model-local functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExportOptions(ProgramOptions):
    """What the export of a run is asked for."""

    run: str | None = None
    """Name or folder of a trained run; None: the newest one."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    pick: int | None = None
    """Point of the run's front, from 1; None: the run itself."""
    timesteps: int | None = None
    """T that the network runs at, of samples that are no sequences; None: as it was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphExportOptions(ProgramOptions):
    """What the export of anybody's graph is asked for."""

    graph: Path
    """The .nir."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """Samples, and what the file leaves open."""
    out: Path | None = None
    """Folder to write; None: NAME-lava, NAME-c or NAME-onnx."""


def export_run(options: RunExportOptions, narrator: Narrator = SILENT) -> Export:
    """Takes a trained run through NIR to an integer program, runs it, compares every joint, and reports it on target.

    An export whose inputs have not changed is not made again. GateError (1) names the first spike that differs,
    UsageError (2) an option out of its range, UnsupportedError (4) what the target cannot do.
    """
    check_target(options.target)
    run = _found(options.run, runs.directory(options.runs_dir))
    if options.pick is not None:
        run = member(run, options.pick)
    if options.target == "onnx":
        return _onnx(run, options, narrator)
    with run.lock():
        narrator.say(f"run {run.name} -> {run.export(options.target)}")
        report = of_run.export_run(run, _for_program(options), narrator, timesteps=options.timesteps)
        write_card(run)
    following = after_export(run, report, options.runs_dir)
    return _exported(report, run.export(options.target), options.dump, (following,))


def export_graph(options: GraphExportOptions, narrator: Narrator = SILENT) -> Export:
    """Takes anybody's .nir through the same chain; the float column is what the graph itself does.

    InvalidFileError (3) and UnsupportedError (4) name node and mend; others as ``export_run``.
    """
    if options.target == "onnx":
        from snnas.toolchain.exporting.onnx import export_graph_onnx

        report = export_graph_onnx(options.graph, options.reading, _for_onnx(options), narrator, out=options.out)
        return _in_float(report, folder_of(options.graph, options.out, "onnx"))
    report = of_graph.export_graph(options.graph, options.reading, _for_program(options), narrator, out=options.out)
    folder = folder_of(options.graph, options.out, options.target)
    return _exported(report, folder, options.dump, (), notes=tuple(report["notes"]))


def _for_program(options: ProgramOptions) -> ExportOptions:
    return ExportOptions(
        target=options.target,
        samples=options.samples,
        profile=options.profile,
        bits=options.bits,
        ranges=options.ranges,
        host=options.host,
        early_exit=options.early_exit,
        finetune=asked_finetuning(options.finetune, options.finetune_lr),
        require_lava=options.require_lava,
        lava_python=options.python,
        lava_timeout=options.timeout,
        force=options.force,
    )


def _for_onnx(options: ProgramOptions) -> OnnxOptions:
    """UsageError for what an integer program alone has."""
    for name in ("early_exit", "finetune", "host"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} {getattr(options, name)}: of an integer program, and --target onnx holds "
                "the float network; leave it out"
            )
    from snnas.toolchain.exporting.onnx import OnnxOptions

    if options.samples < 1:
        raise UsageError(f"--samples {options.samples}: expected a whole number >= 1")
    return OnnxOptions(
        precision="float64" if options.float64 else "float32",
        inline=options.inline,
        samples=options.samples,
        force=options.force,
    )


def _exported(
    report: dict[str, Any], folder: Path, dump: Path | None, following: tuple[str, ...], notes: tuple[str, ...] = ()
) -> Export:
    if dump is not None:
        write_dump(folder, dump)
    commands = (shlex.join(["check", str(folder)]), *following)
    mute = silence.of(report, "on_target")
    doubt = None if silence.why_none(mute) else _near_chance(report, folder)
    if doubt:
        notes = (*notes, doubt)
    if mute:
        notes = (*notes, str(mute))
        commands = following or (shlex.join(["diagnose", str(folder)]),) if mute.no_measurement else commands
    return Export(report=report, folder=folder, notes=notes, next_commands=commands)


def _near_chance(report: dict[str, Any], folder: Path) -> str | None:
    """What is said of an accuracy on target that guessing might reach, where the export keeps all of its labels.

    Some of them do not say how often the largest class is right: samples may be sorted by it.
    """
    accuracy, samples = report["accuracy"]["on_target"], report["accuracy"]["samples"]
    labels = read_npz(folder / "stimulus.npz", what="stimulus.npz").get("y")
    if accuracy is None or labels is None or len(labels) < samples:
        return None
    doubt = chance_note(accuracy, labels, split="test", longer="train longer")
    return None if doubt is None else f"on target {doubt}"


def _found(name: str | None, folder: Path) -> Run:
    """The run; UsageError says of a file that is no .nir what it is not."""
    try:
        return runs.find(folder, name, having="weights")
    except UsageError:
        graph = Path(f"{name}.nir")
        if name is None or not (Path(name).is_file() or graph.is_file()):
            raise
        mend = f"did you mean {graph}?" if graph.is_file() else "export it as NIR by its tool's own exporter first"
        raise UsageError(f"{name}: no .nir and no run in {folder}; {mend}") from None


def _onnx(run: Run, options: RunExportOptions, narrator: Narrator) -> Export:
    from snnas.toolchain.exporting.onnx import export_onnx

    with run.lock():
        report = export_onnx(run, _for_onnx(options), narrator, timesteps=options.timesteps)
    return _in_float(report, run.export("onnx"))


def _in_float(report: dict[str, Any], folder: Path) -> Export:
    """What an ONNX export made; what is silent is said beside it."""
    mute = silence.of(report)
    following = shlex.join(["check", str(folder)])
    return Export(report=report, folder=folder, notes=(str(mute),) if mute else (), next_commands=(following,))
