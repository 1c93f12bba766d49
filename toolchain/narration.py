"""What a person sees while it works: progress and narration on stderr. Results go to stdout, elsewhere."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Advance = Callable[[int, int], None]
# C0 and C1 controls steer a terminal (colours, titles, a pasted command); half surrogates cannot be written at all.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` in one line with a ``?`` for whatever is not to be shown: names in files are somebody else's."""
    return UNPRINTABLE.sub("?", re.sub(r"[\n\t]+", " ", text))


class _Stderr(Console):
    """Goes silent where nobody reads any more; rich would end the program, in the middle of its work."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Narrator:
    """Says what is going on. On a terminal: bars; in a pipe: one line per stage."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = _Stderr(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(printable(text), markup=False)

    @contextlib.contextmanager
    def progress(self, what: str) -> Iterator[Advance]:
        """Gives ``advance(done, total)``; the bar appears only on a terminal."""
        if self.quiet or not sys.stderr.isatty():
            self.say(f"{what} ...")
            yield lambda done, total: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


def harmless(table: Table) -> Table:
    """The table, with every text made ``printable``: names of runs, files and foreign graphs steer no terminal.

    Print it on a console without markup.
    """
    table.title, table.caption = (text and printable(str(text)) for text in (table.title, table.caption))
    for column in table.columns:
        column._cells = [printable(str(cell)) for cell in column.cells]
    return table
