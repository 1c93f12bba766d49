"""Who is told what goes on while a function works: nobody, stderr, or a callback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from snnas.toolchain.output.spoken import to_python
from snnas.toolchain.output.stderr import Advance, Narrator

# Called with the stage, what is done of it, and how much it is; (text, 0, 0) for a line of narration.
Callback = Callable[[str, int, int], None]
Progress = bool | Callback | Narrator | None


class ToPython(Narrator):
    """Tells a function's caller what a command would tell who typed it."""

    def note(self, text: str) -> None:
        super().note(to_python(text))


class Telling(ToPython):
    """Tells a callback what a terminal would be shown."""

    def __init__(self, callback: Callback) -> None:
        super().__init__(quiet=True)
        self.callback: Callback = callback

    def say(self, text: str, *, whole: bool = False) -> None:
        self.callback(text, 0, 0)

    @contextlib.contextmanager
    def progress(self, what: str, pieces: str = "", *, goes_on: bool = False) -> Iterator[Advance]:
        yield lambda done, total: self.callback(what, done, total)


def narrator_of(progress: Progress) -> Narrator:
    """None and False: silent but for notes. True: on stderr, with bars on a terminal. A callback is told all of it."""
    if isinstance(progress, Narrator):
        return progress
    return Telling(progress) if callable(progress) else ToPython(quiet=not progress)
