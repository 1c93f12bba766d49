"""``snnas runs``: list the runs, show one, remove some. Registered in ``cli``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.output.stdout import print_json, print_table, print_text

runs_app = typer.Typer(help="The runs on disk: list (the default), show, remove.")


@runs_app.callback(invoke_without_command=True)
def runs(context: typer.Context, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """The runs on disk: list them (the default), show one, remove some."""
    context.obj = (runs_dir, as_json)
    if context.invoked_subcommand is None:
        list_runs(context)


@runs_app.command(name="list")
def list_runs(context: typer.Context, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """List the runs by name, with the stage that each has come to."""
    from snnas.toolchain.output import run as run_view
    from snnas.toolchain.runs import run as home

    folder, as_json = _asked(context, runs_dir, as_json)
    rows = run_view.overview(folder)
    if as_json:
        print_json({"schema": run_view.LIST_SCHEMA, "folder": str(folder), "runs": rows})
    elif rows:
        print_table(run_view.overview_table(rows))
    else:
        print_text(f"no run in {folder.absolute()}; {home.ELSEWHERE}")


@runs_app.command(short_help="Show one run: how it was made, what it found.")
def show(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of one run: how it was made, what it found, what it has on disk."""
    from snnas.toolchain.output import run as run_view
    from snnas.toolchain.runs import run as home

    folder, as_json = _asked(context, runs_dir, as_json)
    found = home.find(folder, run)
    if as_json:
        print_json(run_view.describe(found))
    else:
        print_table(run_view.table(found))


@runs_app.command(short_help="Remove runs; asks first.")
def remove(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names or folders of runs.")],
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs with all that is in their folders; all of them, or none where one is in use or is no run."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.runs import remove as removing

    folder, as_json = _asked(context, runs_dir, as_json)
    with removing.held(folder, names) as found:
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nobody can be asked here, stdin is no terminal; remove without asking with --yes")
            for run in found:
                sys.stderr.write(f"{run.path}: {removing.size_of(run)}\n")
            if not typer.confirm("remove for good?", err=True):
                return
        for run in found:
            removing.remove(run)
    if as_json:
        print_json({"schema": removing.SCHEMA, "removed": [str(run.path) for run in found]})
    else:
        print_text("\n".join(f"removed {run.path}" for run in found))


def _asked(context: typer.Context, runs_dir: Path | None, as_json: bool) -> tuple[Path, bool]:
    """Options stand behind ``runs`` or behind its command; the nearer one counts."""
    from snnas.toolchain.runs import run as home

    outer_dir, outer_json = context.obj
    return home.directory(runs_dir or outer_dir), as_json or outer_json
