"""``snnas report``: the figures of one run, of several, and their pages. Registered in ``app``."""

from __future__ import annotations

from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.output.stdout import print_json, print_shown, print_table, print_text


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
    from snnas.toolchain.commands.report import ReportOptions, compare_runs, read_report, write_page
    from snnas.toolchain.output.report import table
    from snnas.toolchain.output.stderr import Narrator

    options = ReportOptions(names=tuple(names or ()), runs_dir=runs_dir, pick=pick)
    narrator = Narrator()
    if html:
        path = write_page(options, narrator)
        if as_json:
            print_json({"schema": "snnas.report.html/1", "path": str(path)})
        else:
            print_text(str(path))
    elif len(options.names) > 1:
        found = compare_runs(options)
        for warning in () if as_json else found.figures["warnings"]:
            narrator.note(warning)
        print_shown(found, as_json)
    else:
        figures = read_report(options, narrator)
        if as_json:
            print_json(figures)
        else:
            print_table(table(figures))
