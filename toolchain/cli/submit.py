"""``snnas submit``: a row of the leaderboard. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.options import AsJson, RunName, RunsDir, options_given, options_of
from snnas.toolchain.output.stdout import print_json, print_text


def submit(
    context: typer.Context,
    run: RunName = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the row to this .json; with --files: their folder [this one].")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A row that this run makes again: exit code 1 where they do not agree.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="Of this row: write the files that its commands name, and show them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the row is called [the run's name].")] = None,
    note: Annotated[str, typer.Option(help="What a reader must know of it.")] = "",
    not_blind: Annotated[bool, typer.Option("--not-blind", help="A choice has seen test samples.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained and exported run as a row of the leaderboard: figures, and the commands that make it again."""
    from snnas.toolchain.commands.submit import SubmitOptions
    from snnas.toolchain.commands.submit import submit as make
    from snnas.toolchain.output.stderr import Narrator

    if files is not None:
        _write_files(context, files, out or Path(), force, as_json)
        return
    found = make(options_of(SubmitOptions, locals(), blind=not not_blind))
    narrator = Narrator()
    if out is not None:
        narrator.say(f"row -> {out}")
    if as_json:
        print_json(found.row)
        for line in found.differences or ():
            narrator.say(f"differs: {line}")
    else:
        for line in found.lines():
            print_text(line)
    raise typer.Exit(found.exit_code)


def _write_files(context: typer.Context, row: Path, folder: Path, force: bool, as_json: bool) -> None:
    """``--files``: a row's files, and on stdout the commands that take them."""
    from snnas.toolchain.commands.submit import write_row_files
    from snnas.toolchain.output.stderr import Narrator

    names = {p.name or "" for p in context.command.params} - {"files", "out", "force", "as_json"}
    if odd := options_given(context, names):
        raise UsageError(f"--files {row}: takes --out, --force and --json beside it, not {odd[0]}")
    found = write_row_files(row, folder, force=force)
    for path in found.paths:
        Narrator().say(f"file -> {path}")
    if as_json:
        print_json(found.to_dict())
        return
    for command in found.commands:
        print_text(command)
