"""``snnas diagnose``: why a program does not do what its graph does. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet, options_of, reads
from snnas.toolchain.output.stdout import print_json, print_table

if TYPE_CHECKING:
    from snnas.toolchain.models.reading_options import ReadingOptions


@reads(
    data=Annotated[str | None, typer.Option(help="digits, or an .npz with x and y [the run's test split].")],
    limit=Annotated[int | None, typer.Option(help="Only the first so many samples [128].")],
    expect=None,
)
def diagnose(
    subject: Annotated[
        str | None, typer.Argument(help="A run, a folder that snnas export wrote, or a .nir [the newest run].")
    ] = None,
    program: Annotated[Path | None, typer.Option(help="Of a .nir: the program.npz that is said to be its.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for diagnosis.json, smallest.npz and a picture [of a run: diagnosis, in its folder]."
        ),
    ] = None,
    reduce: Annotated[bool, typer.Option("--reduce/--no-reduce", help="Look for the smallest failing input.")] = True,
    *,
    asked: ReadingOptions,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of the runs [SNNAS_RUNS, else ./runs].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say where a program parts from its graph, which loss does it, and which of its numbers are wrong.

    Exit code 1 where a number of the program is not the graph's.
    """
    from snnas.toolchain.commands.diagnose import DiagnoseOptions
    from snnas.toolchain.commands.diagnose import diagnose as find_causes
    from snnas.toolchain.diagnosing.view import tables
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    found = find_causes(options_of(DiagnoseOptions, locals(), reading=asked), narrator)
    if as_json:
        print_json(found.figures)
    else:
        for part in tables(found.figures):
            print_table(part)
        if found.next_command is not None:
            narrator.next(found.next_command)
    if not found.sound:
        raise typer.Exit(1)
