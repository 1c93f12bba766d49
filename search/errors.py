"""What goes wrong in a search, and the exit code that says so.

Every message is one line: the value, what was expected, where, and the mend. The codes are those of the command
(1 a gate failed, 2 usage, 3 an invalid input file, 4 not supported); they repeat the ones of the back end because
``search`` imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SearchError(Exception):
    """Base of the errors that a user can act on. ``exit_code`` is what the command returns."""

    exit_code = 70


class GateError(SearchError):
    """A budget leaves no candidate."""

    exit_code = 1


class NoScoreError(GateError):
    """No candidate has a finite score, so that whichever is taken is arbitrary."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"none of {what} has a finite score, expected some that tell the samples of the batch apart; take another "
            "--seed, more --timesteps or a smaller --batch, and look whether samples are nearly equal"
        )


class UsageError(SearchError):
    """The command or its configuration is wrong."""

    exit_code = 2


class InvalidFileError(SearchError):
    """An input file cannot be read, or does not hold what its format promises."""

    exit_code = 3


class UnsupportedError(SearchError):
    """What was asked for exists, but not here."""

    exit_code = 4


def brief(value: object, length: int = 60) -> str:
    """Return ``repr`` in at most ``length`` characters, of whatever a file holds: endless nesting, or 5,000 digits."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"
    return text if len(text) <= length else text[: length - 3] + "..."


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Return ``'; did you mean X?'`` when a choice is close to ``value``, else an empty string."""
    near = get_close_matches(value, list(choices), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
