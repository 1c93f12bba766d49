"""``snnas export``: a run, or anybody's graph, to a program on target or to ONNX. Registered in ``cli``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import (
    AsJson,
    Compare,
    ConventionName,
    Data,
    Decay,
    Delayed,
    Dt,
    Expect,
    InputKind,
    Limit,
    Quiet,
    Reset,
    RunsDir,
    Seed,
    Timesteps,
    Verbose,
    given,
    wanted,
)
from snnas.toolchain.output.stdout import print_json, print_table

# What a graph of anybody's is asked for, and a run is not.
FOREIGN = (
    "data", "timesteps", "input_kind", "delayed", "limit", "seed", "convention", "dt", "decay", "compare", "reset",
    "expect", "calibration", "out",
)  # fmt: skip


def export(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, or anybody's .nir; the newest run where left out.")] = None,
    target: Annotated[str, typer.Option(help="lava, or onnx: the float network, one step.")] = "lava",
    pick: Annotated[int | None, typer.Option(min=1, help="Point of the run's front, from 1.")] = None,
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(help="Samples of the test split that Lava runs and golden.npz keeps.")] = 32,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    bits: Annotated[int, typer.Option(help="Bits of a weight: 8, 6 or 4.")] = 8,
    ranges: Annotated[
        str, typer.Option(help="Registers hold: proved, observed, or auto: proved if bits allow.")
    ] = "auto",
    finetune: Annotated[int | None, typer.Option(help="Epochs of training on the integers; none without.")] = None,
    finetune_lr: Annotated[float | None, typer.Option(help="With --finetune: its learning rate [0.003].")] = None,
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one Lava run may take.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Also write graph and program here as text to read.")] = None,
    float64: Annotated[bool, typer.Option("--float64", help="Of --target onnx: exact, and slower.")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="Of --target onnx: no model-local functions.")] = False,
    data: Data = None,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
    limit: Limit = None,
    seed: Seed = None,
    convention: ConventionName = None,
    dt: Dt = None,
    decay: Decay = None,
    compare: Compare = None,
    reset: Reset = None,
    expect: Expect = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Of a .nir: an .npz whose x steers the scales [a fifth of --data].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Of a .nir: the folder to write [NAME-lava].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an export of other inputs.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take a trained run, or a foreign graph, through NIR to an integer program, run it, and report it on target."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.exporting import of_run as exporting
    from snnas.toolchain.finetuning.options import asked as asked_finetuning
    from snnas.toolchain.output import run as run_view
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import run as runs

    narrator = Narrator(quiet=quiet, verbose=verbose)
    options = exporting.ExportOptions(
        target=target,
        samples=samples,
        profile=profile,
        bits=bits,
        ranges=ranges,  # type: ignore[arg-type]  # checked with the other options
        finetune=asked_finetuning(finetune, finetune_lr),
        require_lava=require_lava,
        lava_python=python,
        lava_timeout=timeout,
        force=force,
    )
    if run is not None and run.endswith(".nir"):
        if pick is not None:
            raise UsageError(f"{run}: --pick {pick} names a point of a run's front; leave it out")
        asked = wanted(data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset, expect)
        asked = replace(asked, calibration=None if calibration is None else str(calibration))
        _export_graph(Path(run), asked, options, out, dump, narrator, as_json)
        return
    odd = [f"--{name.replace('_', '-')}" for name in FOREIGN if given(context, name)]
    found = _found(run, runs.directory(runs_dir))
    if odd:
        raise UsageError(f"{', '.join(odd)}: of a .nir alone; {found.name} is a run, which knows its own")
    if target == "onnx":
        integers = [
            f"--{name.replace('_', '-')}"
            for name in ("bits", "ranges", "finetune", "finetune_lr")
            if given(context, name)
        ]
        if integers:
            raise UsageError(f"{', '.join(integers)}: of an integer program; --target onnx holds the float network")
        _export_onnx(found, samples, float64, inline, force, as_json, quiet)
        return
    if pick is not None:
        from snnas.toolchain.searching.front import member

        found = member(found, pick)
    with found.lock():
        narrator.say(f"run {found.name} -> {found.export(target)}")
        report = exporting.export(found, options, narrator)
    _exported(report, found.export(target), dump, narrator, as_json)
    if not as_json:
        narrator.next(run_view.after_export(found, report), runs_dir)


def _found(name: str | None, folder: Path) -> Any:
    """The run; UsageError says of a file that is no .nir what it is not."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.runs import run as runs

    try:
        return runs.find(folder, name, having="weights")
    except UsageError:
        graph = Path(f"{name}.nir")
        if name is None or not (Path(name).is_file() or graph.is_file()):
            raise
        mend = f"did you mean {graph}?" if graph.is_file() else "export it as NIR by its tool's own exporter first"
        raise UsageError(f"{name}: no .nir and no run in {folder}; {mend}") from None


def _export_graph(
    path: Path, wanted: Any, options: Any, out: Path | None, dump: Path | None, narrator: Any, as_json: bool
) -> None:
    from snnas.toolchain.exporting import of_graph as exporting_foreign

    report = exporting_foreign.export_graph(path, wanted, options, narrator, out=out)
    for note in report["notes"]:
        sys.stderr.write(f"note: {note}\n")
    _exported(report, exporting_foreign.folder_of(path, out), dump, narrator, as_json)


def _exported(report: dict[str, Any], folder: Path, dump: Path | None, narrator: Any, as_json: bool) -> None:
    from snnas.toolchain.exporting import of_run as exporting
    from snnas.toolchain.output.report import table

    if dump is not None:
        exporting.write_dump(folder, dump)
    if as_json:
        print_json(report)
    else:
        print_table(table(report))
        narrator.next(f"check {folder}")


def _export_onnx(run: Any, samples: int, float64: bool, inline: bool, force: bool, as_json: bool, quiet: bool) -> None:
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.exporting.onnx import OnnxOptions, export_onnx, table
    from snnas.toolchain.output.stderr import Narrator

    if samples < 1:
        raise UsageError(f"--samples {samples}: expected a whole number >= 1")
    options = OnnxOptions(precision="float64" if float64 else "float32", inline=inline, samples=samples, force=force)
    with run.lock():
        report = export_onnx(run, options, Narrator(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        print_table(table(report))
