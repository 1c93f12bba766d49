"""The figures of one exported run, of several, and their pages."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UsageError
from snnas.toolchain import runs
from snnas.toolchain.output import report
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.front import member

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """Whose figures are asked for."""

    names: tuple[str, ...] = ()
    """Runs, by name or folder; or one export folder of anybody's graph. None at all: the newest run."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    pick: int | None = None
    """Point of each run's front, from 1; None: the run itself."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Compared(Shown):
    """Runs beside each other."""

    figures: dict[str, Any]
    """As ``--json`` prints them: each run's report, and what was set otherwise."""
    head: Sequence[str]
    """Titles of the columns."""
    rows: Sequence[Sequence[str]]
    """The figures as a person reads them, a row each."""

    @property
    def headline(self) -> str:
        return f"{len(self.head) - 1} columns, {len(self.rows)} figures"

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.figures)

    def tables(self) -> Iterator[Table]:
        yield self.table()

    def table(self) -> Table:
        """As a person reads it."""
        from rich.table import Table

        out = Table()
        for k, name in enumerate(self.head):
            out.add_column(name, justify="right" if 0 < k < len(self.head) - 1 else "left")
        for row in self.rows:
            out.add_row(*row)
        return out


def read_report(options: ReportOptions, narrator: Narrator = SILENT) -> dict[str, Any]:
    """The report of one exported run, or of an export folder, as ``snnas export`` wrote it.

    A note where the run's weights are newer. UsageError (2) where there is none, InvalidFileError (3) where it is
    damaged.
    """
    if len(options.names) == 1 and _is_export(Path(options.names[0])):
        return report.read_report(Path(options.names[0]) / "report.json")
    (run,) = _named(options)
    if not run.report.exists():
        points = sorted(path.parent.name for path in run.path.glob("front/*/report.json"))
        if not points:
            run.require_network()
        front = f", or see its points, of which {', '.join(points)} have one, with --pick" if points else ""
        raise UsageError(
            f"run {run.name} has no report yet; make it with: snnas export {run.spoken} --target lava{front}"
        )
    figures = report.read_report(run.report)
    if report.stale(run, figures):
        narrator.note("these figures are of older weights; export again")
    return figures


def compare_runs(options: ReportOptions) -> Compared:
    """Two to twelve runs beside each other; one that is not exported takes part with what it has."""
    from snnas.toolchain.html import compared

    figures, head, rows = compared(_named(options))
    return Compared(figures=figures, head=head, rows=rows)


def write_page(options: ReportOptions, narrator: Narrator = SILENT) -> Path:
    """Writes report.html into the run, or comparison.html of several beside them; one page that needs no network."""
    from snnas.toolchain.html import write_comparison, write_html

    every = _named(options)
    if len(every) == 1:
        return write_html(every[0])
    path = runs.directory(options.runs_dir) / "comparison.html"
    if path.exists():
        narrator.note(f"{path} was of another comparison, or older; it is replaced")
    return write_comparison(every, path)


def _named(options: ReportOptions) -> list[Run]:
    folder, having = runs.directory(options.runs_dir), "" if options.pick else "a report"
    every = [runs.find(folder, name, having=having) for name in options.names or (None,)]
    return every if options.pick is None else [member(run, options.pick) for run in every]


def _is_export(folder: Path) -> bool:
    """A folder that snnas export wrote of anybody's graph: it has a report and is no run."""
    return (folder / "report.json").is_file() and not (folder / "run.toml").exists()
