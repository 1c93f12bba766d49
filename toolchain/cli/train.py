"""``snnas train``, and what ``search`` shares with it: how a run goes on, how it is shown. Registered in ``app``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import (
    AsJson,
    DataOptions,
    LogTo,
    Quiet,
    RunName,
    RunsDir,
    Then,
    Verbose,
    options_of,
    typed,
)
from snnas.toolchain.output.stdout import print_json, print_table

if TYPE_CHECKING:
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs.run import Run


def train(
    run: RunName = None,
    runs_dir: RunsDir = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's name, or a .toml file [the run's, or DATASET's].")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs [the recipe's].")] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Parts of a batch, one after the other, to fit the memory [the recipe's].")
    ] = None,
    target_sar: Annotated[float | None, typer.Option(help="Hold the spiking activity rate to this.")] = None,
    genotype: Annotated[Path | None, typer.Option(help="Begin a run with the cell of this genotype.json.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="With --genotype: the data set. Of a run: where its data set is now.")
    ] = None,
    data: DataOptions = None,
    name: Annotated[str | None, typer.Option(help="With --genotype: name of the run.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --genotype: the one seed.")] = 0,
    timesteps: Annotated[
        int | None,
        typer.Option(
            "--timesteps",
            "-T",
            help="With --genotype: timesteps [frames; else the recipe's stages, the design's, or 5].",
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="With --genotype: channels of the first cell [the design's, or 16].")
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="With --genotype: neurons of the classifier [the design's, or 256].")
    ] = None,
    cells: Annotated[int | None, typer.Option(help="With --genotype: as often its cell [as the file has].")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="With --genotype: begin with a run's weights.safetensors of this architecture [drawn]."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="With --genotype: before the classes, lif, bn_lif or linear.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train again where weights exist.")] = False,
    log_to: LogTo = None,
    then: Then = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... [as it was searched].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the network of a run, or a known cell on another data set; a training that was ended goes on."""
    from snnas.toolchain.commands.train import TrainOptions, run_training
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet, verbose=verbose)
    options = options_of(TrainOptions, locals())
    check_then(then)
    begun = goes_on_with("train", runs_dir, then)
    found = run_training(options, narrator, command=typed(), begun=begun)
    if found is not None:
        show(found, as_json, narrator, runs_dir, then)


def goes_on_with(
    command: str, runs_dir: Path | None, target: str | None = None, pick: int | None = None
) -> Callable[[Run], None]:
    """What a run is handed to once it is on disk: an interrupted command then says how it goes on, to its target."""
    from snnas.toolchain.cli import exits
    from snnas.toolchain.output.run import on_run

    more = " ".join([*(["--target", target] if target else []), *([f"--pick {pick}"] if pick else [])])
    return lambda run: exits.go_on_with(f"snnas {on_run(command, run, more, runs_dir=runs_dir)}")


def check_then(target: str | None) -> None:
    """UsageError for a target that there is not, and what else an export refuses, before hours are spent."""
    if target is not None:
        from snnas.toolchain.exporting.options import ExportOptions, check_options

        check_options(ExportOptions(target=target))


def show(
    run: Run,
    as_json: bool,
    narrator: Narrator,
    runs_dir: Path | None,
    target: str | None = None,
    pick: int | None = None,
) -> None:
    """Prints what a search or a training has found; with ``target`` exports it, and as JSON prints that alone.

    pick: the point of a front that is exported.
    """
    from snnas.toolchain.output.run import describe, next_command, table

    if not as_json:
        print_table(table(run, brief=True))
    elif target is None:
        print_json(describe(run))
    if target is not None:
        from snnas.toolchain.cli.export import show as show_export
        from snnas.toolchain.commands.export import RunExportOptions, export_run

        goes_on_with("export", runs_dir, target, pick)(run)
        asked = RunExportOptions(run=str(run.path), runs_dir=runs_dir, target=target, pick=pick)
        show_export(export_run(asked, narrator), as_json, narrator)
    elif not as_json:
        narrator.next(next_command(run, runs_dir, pick))
