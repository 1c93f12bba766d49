"""What a person sees while it works: progress and narration on stderr. Results go to stdout, elsewhere."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from snnas.hw_sim.errors import UsageError, printable
from snnas.toolchain.output.fitting import HELD, held

Advance = Callable[[int, int], None]
SILENCE = 30.0  # in a pipe, seconds until a line says that something goes on
LONG = 10.0  # seconds: what takes longer is announced before it begins
SOON = 2.0  # and until the first of a stage, which says how long it will take
NARROWEST = 40  # columns, below which a terminal breaks lines itself
# C0 and C1 controls steer a terminal (colours, titles, a pasted command), bidirectional ones re-order what is read;
# half surrogates cannot be written at all.


def counted(number: int, noun: str) -> str:
    """``1 core``, ``2,048 cores``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span_of(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2.5 h``: a span that is guessed, in as few digits as it is worth."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def folded(text: str, width: int, *, after: str = "") -> str:
    """``text`` behind ``after``, folded between words to ``width`` columns; what goes on is indented by two more."""
    bare = text.lstrip()
    begins = after + text[: len(text) - len(bare)]
    if width < NARROWEST or len(begins) + len(bare) <= width:
        return begins + bare
    lines = textwrap.fill(
        held(bare),
        width,
        initial_indent=begins,
        subsequent_indent=" " * (len(begins) + 2),
        break_long_words=False,  # a path is copied whole
        break_on_hyphens=False,
    )
    return lines.replace(HELD, " ")


class _Stderr(Console):
    """Goes silent where nobody reads any more; rich would end the program, in the middle of its work."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class _Bars(Progress):
    """Bars, and what stands beneath them."""

    beneath: RenderableType | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.beneath is not None:
            yield self.beneath


class Narrator:
    """Says what is going on. On a terminal: bars; in a pipe: one line per stage, and one every SILENCE seconds.

    verbose: every line begins with the seconds since the start, and a pipe gets a line per tenth of a stage too.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose ask for opposite things; give one of them")
        self.quiet: bool = quiet
        self.verbose: bool = verbose
        self.start: float = time.monotonic()
        self._said = self.start
        self.console: Console = _Stderr(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        self._bars: _Bars | None = None

    def say(self, text: str, *, whole: bool = False) -> None:
        """Says it, on a terminal folded to its width; whole: not folded, for it is pasted."""
        self._said = time.monotonic()
        if not self.quiet:
            clock = f"[{time.monotonic() - self.start:7.1f} s] " if self.verbose else ""
            shown = clock + printable(text) if whole else self._folded(text, after=clock)
            self.console.print(shown, markup=False)

    @property
    def silence(self) -> float:
        """Seconds since something was said."""
        return time.monotonic() - self._said

    @contextlib.contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Says what is being done as soon as it has taken SOON seconds; nothing of what is done before."""
        if self.quiet:
            yield
            return
        alarm = threading.Timer(SOON, self.say, (f"{what} ...",))
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def ahead(self, seconds: float, what: str) -> None:
        """Says how long what is about to begin will take, where that is long."""
        if seconds >= LONG:
            self.say(f"  about {span_of(seconds)} at these sizes: {what}")

    def note(self, text: str) -> None:
        """Says what a user must know, quiet or not."""
        sys.stderr.write(self._folded(text, after="note: ") + "\n")

    def next(self, command: str) -> None:
        """Says what a user would do next; ``command`` stands behind ``snnas``."""
        self.say(f"next: snnas {command}", whole=True)

    def _folded(self, text: str, *, after: str) -> str:
        """For a terminal folded to its width; elsewhere one line, which a log keeps whole."""
        width = self.console.width - 1 if sys.stderr.isatty() else 0
        return folded(printable(text), width, after=after)

    @contextlib.contextmanager
    def progress(self, what: str, pieces: str = "", *, goes_on: bool = False) -> Iterator[Advance]:
        """Gives ``advance(done, total)``; the bar appears only on a terminal. pieces: what is counted, 'batches'.

        goes_on: what lies before the first call was done by another process, and in none of this one's time.
        """
        if self.quiet or not sys.stderr.isatty():
            self.say(f"{what} ...")
            yield self._lines(f"  {what}: {{}} of {{}} {pieces}".rstrip(), goes_on)
            return
        with self._shown() as bars:
            task = bars.add_task(what, total=None, pieces=pieces)
            try:
                yield lambda done, total: bars.update(task, completed=done, total=total)
            finally:
                bars.remove_task(task)

    def beneath(self, table: Callable[[], Table]) -> None:
        """Puts a table beneath the bars that are on the screen, in place of the one before; without bars, nothing."""
        if self._bars is not None:
            self._bars.beneath = harmless(table())

    @contextlib.contextmanager
    def _shown(self) -> Iterator[_Bars]:
        """The bars on the screen; a stage within a stage has its own beneath."""
        if self._bars is not None:
            yield self._bars
            return
        what, pieces = (TextColumn(f"{{task.{name}}}") for name in ("description", "fields[pieces]"))
        # What is told must not be cut for the sake of a bar.
        bar = BarColumn(bar_width=max(4, min(40, self.console.width - 72)))
        columns = what, bar, MofNCompleteColumn(), pieces, TimeElapsedColumn(), TimeRemainingColumn()
        with _Bars(*columns, console=self.console, transient=True) as bars:
            self._bars = bars
            try:
                yield bars
            finally:
                self._bars = None

    def _lines(self, line: str, goes_on: bool) -> Advance:
        said, told, begun = 0, False, time.monotonic()
        before = None if goes_on else 0

        def advance(done: int, total: int) -> None:
            nonlocal said, told, before
            before = done - 1 if before is None else before
            tenths, spent = 10 * done // max(1, total), time.monotonic() - begun
            guessed = spent >= SOON and before < done < total
            if (self.verbose and tenths > said) or (guessed and not told) or self.silence >= SILENCE:
                said, told = tenths, told or guessed
                left = f"; about {span_of(spent / (done - before) * (total - done))} left" if guessed else ""
                self.say(line.format(done, total) + left)

        return advance


SILENT = Narrator(quiet=True)  # of functions that are given no other


def harmless(table: Table) -> Table:
    """The table, with every text made ``printable``: names of runs, files and foreign graphs steer no terminal.

    Print it on a console without markup.
    """
    table.title, table.caption = (text and printable(str(text)) for text in (table.title, table.caption))
    for column in table.columns:
        column._cells = [printable(str(cell)) for cell in column.cells]
    return table
