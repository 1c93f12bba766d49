"""``snnas runs``: list the runs, show one, pack one, remove some. Registered in ``app``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, RunName, RunsDir
from snnas.toolchain.output.stdout import print_json, print_shown, print_table, print_text

if TYPE_CHECKING:
    from snnas.toolchain.runs.run import Run

runs_app = typer.Typer(help="The runs on disk: list (the default), show, pack, remove.")


@runs_app.callback(invoke_without_command=True)
def runs(context: typer.Context, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """The runs on disk: list them (the default), show one, pack one, remove some."""
    context.obj = (runs_dir, as_json)
    if context.invoked_subcommand is None:
        list_runs(context)


@runs_app.command(name="list")
def list_runs(context: typer.Context, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """List the runs by name, with the stage that each has come to."""
    from snnas.toolchain.commands.runs import list_runs as listed
    from snnas.toolchain.runs.run import ELSEWHERE

    runs_dir, as_json = _nearer(context, runs_dir, as_json)
    found = listed(runs_dir)
    if as_json or found.rows:
        print_shown(found, as_json)
    else:
        print_text(f"no run in {found.folder.absolute()}; {ELSEWHERE}")


@runs_app.command(short_help="Show one run: how it was made, what it found.")
def show(
    context: typer.Context,
    run: RunName = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what is known of one run: how it was made, what it found, what it has on disk."""
    from snnas.toolchain.commands.runs import find_run
    from snnas.toolchain.output.run import describe, table, what_follows
    from snnas.toolchain.output.stderr import Narrator

    runs_dir, as_json = _nearer(context, runs_dir, as_json)
    found = find_run(run, runs_dir)
    if as_json:
        print_json(describe(found))
        return
    print_table(table(found))
    if (following := what_follows(found, runs_dir)) is not None:
        Narrator().next(following)


@runs_app.command(name="pack", short_help="Pack one run into a .zip that export, report and check take.")
def pack(
    context: typer.Context,
    run: RunName = None,
    out: Annotated[Path | None, typer.Option(help="The .zip to write [NAME.zip].")] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Pack one run into a .zip: its folder, with a README.md that is a model card, without checkpoints."""
    from dataclasses import asdict

    from snnas.toolchain.commands.runs import pack_run
    from snnas.toolchain.runs.pack import SCHEMA as PACK_SCHEMA

    runs_dir, as_json = _nearer(context, runs_dir, as_json)
    packed = pack_run(run, runs_dir, out=out)
    if as_json:
        print_json({"schema": PACK_SCHEMA, **asdict(packed), "path": str(packed.path)})
    else:
        print_text(str(packed.path))


@runs_app.command(short_help="Remove runs; asks first.")
def remove(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names or folders of runs.")],
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs with all that is in their folders; all of them, or none where one is in use or is no run."""
    from snnas.toolchain.commands.runs import remove_runs
    from snnas.toolchain.runs.remove import SCHEMA

    runs_dir, as_json = _nearer(context, runs_dir, as_json)
    removed = remove_runs(names, runs_dir, agreed=lambda found: yes or _confirmed(found))
    if removed is None:
        return
    if as_json:
        print_json({"schema": SCHEMA, "removed": [str(path) for path in removed]})
    else:
        print_text("\n".join(f"removed {path}" for path in removed))


def _confirmed(found: list[Run]) -> bool:
    """Asks on the terminal; UsageError where there is none."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.runs.remove import size_of

    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here, stdin is no terminal; remove without asking with --yes")
    for run in found:
        sys.stderr.write(f"{run.path}: {size_of(run)}\n")
    return typer.confirm("remove for good?", err=True)


def _nearer(context: typer.Context, runs_dir: Path | None, as_json: bool) -> tuple[Path | None, bool]:
    """Options stand behind ``runs`` or behind its command; the nearer one counts."""
    outer_dir, outer_json = context.obj
    return runs_dir or outer_dir, as_json or outer_json
