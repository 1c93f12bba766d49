"""What a person sees while it works: progress and narration on stderr. Results go to stdout, elsewhere."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from snnas.hw_sim.errors import UsageError, printable

Advance = Callable[[int, int], None]
SILENCE = 30.0  # in a pipe, seconds until a line says that something goes on
# C0 and C1 controls steer a terminal (colours, titles, a pasted command), bidirectional ones re-order what is read;
# half surrogates cannot be written at all.


def counted(number: int, noun: str) -> str:
    """``1 core``, ``2,048 cores``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def with_runs_dir(command: str, runs_dir: Path | None) -> str:
    """The command with the folder of the runs that the user gave, if any."""
    return command if runs_dir is None else f"{command} --runs-dir {shlex.quote(str(runs_dir))}"


class _Stderr(Console):
    """Goes silent where nobody reads any more; rich would end the program, in the middle of its work."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Narrator:
    """Says what is going on. On a terminal: bars; in a pipe: one line per stage, and one every SILENCE seconds.

    verbose: every line begins with the seconds since the start, and a pipe gets a line per tenth of a stage too.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose ask for opposite things; give one of them")
        self.quiet, self.verbose, self.start = quiet, verbose, time.monotonic()
        self._said = self.start
        self.console = _Stderr(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self._said = time.monotonic()
        if not self.quiet:
            clock = f"[{time.monotonic() - self.start:7.1f} s] " if self.verbose else ""
            self.console.print(clock + printable(text), markup=False)

    @property
    def silence(self) -> float:
        """Seconds since something was said."""
        return time.monotonic() - self._said

    def note(self, text: str) -> None:
        """Says what a user must know, quiet or not."""
        sys.stderr.write(f"note: {printable(text)}\n")

    def next(self, command: str, runs_dir: Path | None = None) -> None:
        """Says what a user would do next; ``command`` stands behind ``snnas``."""
        self.say(f"next: snnas {with_runs_dir(command, runs_dir)}")

    @contextlib.contextmanager
    def progress(self, what: str, pieces: str = "") -> Iterator[Advance]:
        """Gives ``advance(done, total)``; the bar appears only on a terminal. pieces: what is counted, 'batches'."""
        if self.quiet or not sys.stderr.isatty():
            self.say(f"{what} ...")
            yield self._lines(f"  {what}: {{}} of {{}} {pieces}".rstrip())
            return
        counted_in = [TextColumn(pieces)] if pieces else []
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(*counted_in, TimeRemainingColumn()),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _lines(self, line: str) -> Advance:
        said = 0

        def advance(done: int, total: int) -> None:
            nonlocal said
            tenths = 10 * done // max(1, total)
            if (self.verbose and tenths > said) or self.silence >= SILENCE:
                said = tenths
                self.say(line.format(done, total))

        return advance


def harmless(table: Table) -> Table:
    """The table, with every text made ``printable``: names of runs, files and foreign graphs steer no terminal.

    Print it on a console without markup.
    """
    table.title, table.caption = (text and printable(str(text)) for text in (table.title, table.caption))
    for column in table.columns:
        column._cells = [printable(str(cell)) for cell in column.cells]
    return table
