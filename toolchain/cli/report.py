"""``snnas report``: the figures of one run, of several, and their pages. Registered in ``cli``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.output.stdout import print_json, print_table, print_text


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs, two or more stand beside each other; or one export folder."),
    ] = None,
    runs_dir: RunsDir = None,
    pick: Annotated[int | None, typer.Option(min=1, help="Point of the run's front, from 1.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Write report.html into the run, or comparison.html.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the figures of an exported run, or of several beside each other."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.output.report import read_report, stale
    from snnas.toolchain.runs import run as runs

    if names and len(names) == 1 and not html and _is_export(Path(names[0])):
        _print(read_report(Path(names[0]) / "report.json"), as_json)
        return
    folder = runs.directory(runs_dir)
    wanted: list[str | None] = [*names] if names else [None]
    every = [runs.find(folder, name, having="" if pick else "a report") for name in wanted]
    if pick is not None:
        from snnas.toolchain.searching.front import member

        every = [member(run, pick) for run in every]
    if html:
        from snnas.toolchain.html import write_comparison, write_html

        if len(every) > 1 and (folder / "comparison.html").exists():
            sys.stderr.write(
                f"note: {folder / 'comparison.html'} was of another comparison, or older; it is replaced\n"
            )
        path = write_html(every[0]) if len(every) == 1 else write_comparison(every, folder / "comparison.html")
        if as_json:
            print_json({"schema": "snnas.report.html/1", "path": str(path)})
        else:
            print_text(str(path))
        return
    if len(every) > 1:
        _print_beside(every, as_json)
        return
    found = every[0]
    if not found.report.exists():
        points = sorted(path.parent.name for path in found.path.glob("front/*/report.json"))
        front = f", or see its points, of which {', '.join(points)} have one, with --pick" if points else ""
        raise UsageError(
            f"run {found.name} has no report yet; make it with: snnas export {found.name} --target lava{front}"
        )
    figures = read_report(found.report)
    if stale(found, figures):
        sys.stderr.write("note: these figures are of older weights; export again\n")
    _print(figures, as_json)


def _is_export(folder: Path) -> bool:
    """A folder that snnas export wrote of anybody's graph: it has a report and is no run."""
    return (folder / "report.json").is_file() and not (folder / "run.toml").exists()


def _print(figures: dict[str, Any], as_json: bool) -> None:
    from snnas.toolchain.output.report import table

    if as_json:
        print_json(figures)
    else:
        print_table(table(figures))


def _print_beside(every: list[Any], as_json: bool) -> None:
    from rich.table import Table

    from snnas.toolchain.html import compared, figures_beside

    if as_json:
        print_json(compared(every))
        return
    head, rows = figures_beside(every)
    out = Table()
    for k, name in enumerate(head):
        out.add_column(name, justify="right" if 0 < k < len(head) - 1 else "left")
    for row in rows:
        out.add_row(*row)
    print_table(out)
