"""``snnas submit``: a row of the leaderboard. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.output.stdout import print_json, print_text


def submit(
    run: Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the row to this .json.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A row that this run makes again: exit code 1 where they do not agree.")
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

    found = make(
        SubmitOptions(
            run=run, runs_dir=runs_dir, out=out, name=name, note=note, blind=not not_blind, compare=compare, force=force
        )
    )
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
