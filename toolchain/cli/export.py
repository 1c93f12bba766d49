"""``snnas export``: a run, or anybody's graph, to a program on target or to ONNX. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet, RunsDir, Verbose, options_given, options_of, reads
from snnas.toolchain.output.stdout import print_shown

if TYPE_CHECKING:
    from snnas.toolchain.commands.exported import Export
    from snnas.toolchain.models.reading_options import ReadingOptions
    from snnas.toolchain.output.stderr import Narrator

# What a graph of anybody's is asked for, and a run is not.
OF_GRAPHS = (
    "data", "input_kind", "delayed", "limit", "seed", "convention", "dt", "decay", "compare", "reset",
    "current", "readout", "expect", "calibration", "out",
)  # fmt: skip
OF_INTEGERS = ("bits", "ranges", "host", "finetune", "finetune_lr", "early_exit", "calibration")


@reads(
    timesteps=Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Timesteps per sample [as trained, or as the file says].")
    ],
    bits=None,  # which are those of the program
    calibration=Annotated[
        Path | None, typer.Option(help="Of a .nir: an .npz whose x steers the scales [a fifth of --data].")
    ],
)
def export(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, or anybody's .nir; the newest run where left out.")] = None,
    target: Annotated[
        str, typer.Option(help="lava; c: the same program as C99; onnx: the float network, one step.")
    ] = "lava",
    pick: Annotated[int | None, typer.Option(min=1, help="Point of the run's front, from 1.")] = None,
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(help="Samples of the test split that Lava runs and golden.npz keeps.")] = 32,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    bits: Annotated[
        int | None, typer.Option(help="Bits of a weight: 8, 6 or 4 [those it was searched with; else 8].")
    ] = None,
    ranges: Annotated[
        str, typer.Option(help="Registers hold: proved, observed, or auto: proved if bits allow.")
    ] = "auto",
    host: Annotated[
        str | None,
        typer.Option(help="Layers before the first neuron: float, or int16 x uint8: int [of c; else float]."),
    ] = None,
    finetune: Annotated[int | None, typer.Option(help="Epochs of training on the integers; none without.")] = None,
    finetune_lr: Annotated[float | None, typer.Option(help="With --finetune: its learning rate [0.003].")] = None,
    early_exit: Annotated[
        str | None, typer.Option(help="End once the answer is settled: exact, or so many that stay: 0.99.")
    ] = None,
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one Lava run may take.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Also write graph and program here as text to read.")] = None,
    float64: Annotated[bool, typer.Option("--float64", help="Of --target onnx: exact, and slower.")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="Of --target onnx: no model-local functions.")] = False,
    *,
    asked: ReadingOptions,
    out: Annotated[Path | None, typer.Option(help="Of a .nir: the folder to write [NAME-TARGET].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an export of other inputs.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Take a trained run, or a foreign graph, through NIR to an integer program, run it, and report it on target."""
    from snnas.toolchain.commands.export import GraphExportOptions, RunExportOptions, export_graph, export_run
    from snnas.toolchain.output.stderr import Narrator

    of_graph = run is not None and run.endswith(".nir")
    _refuse(context, run, target, of_graph=of_graph)
    narrator = Narrator(quiet=quiet, verbose=verbose)
    if of_graph:
        exported = export_graph(
            options_of(GraphExportOptions, locals(), graph=Path(run or ""), reading=asked), narrator
        )
    else:
        exported = export_run(options_of(RunExportOptions, locals(), timesteps=asked.timesteps), narrator)
    show(exported, as_json, narrator)


def show(exported: Export, as_json: bool, narrator: Narrator) -> None:
    """Prints what an export has made."""
    for note in exported.notes:
        narrator.note(note)
    print_shown(exported, as_json)
    for command in () if as_json else exported.next_commands:
        narrator.next(command)


def _refuse(context: typer.Context, run: str | None, target: str, *, of_graph: bool) -> None:
    """UsageError for options of the other kind of subject, or of the other target."""
    from snnas.hw_sim.errors import UsageError

    if of_graph:
        if odd := options_given(context, ("pick",)):
            raise UsageError(f"{run}: {odd[0]} names a point of a run's front; leave it out")
        _refuse_integers(context, target)
        return
    # What is no run is said when it is looked for.
    no_run = run is not None and (Path(run).is_file() or Path(f"{run}.nir").is_file())
    if not no_run and (odd := options_given(context, OF_GRAPHS)):
        raise UsageError(f"{', '.join(odd)}: of a .nir alone; {run or 'the newest run'} is a run, which knows its own")
    _refuse_integers(context, target)


def _refuse_integers(context: typer.Context, target: str) -> None:
    from snnas.hw_sim.errors import UsageError

    if target == "onnx" and (odd := options_given(context, OF_INTEGERS)):
        raise UsageError(f"{', '.join(odd)}: of an integer program; --target onnx holds the float network")
