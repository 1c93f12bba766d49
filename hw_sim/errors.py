"""What goes wrong, and the exit code that says so.

Every message is one line that names the value, what was expected, where, and the mend. Exit codes are API
(documented in the README): 1 a gate or an equivalence failed, 2 usage, 3 an invalid input file, 4 not supported
on this target or backend missing, 75 the Lava worker timed out or died twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any


class SnnasError(Exception):
    """Base of the errors that a user can act on. ``exit_code`` is what the command returns.

    code: the rule of ``snnas check`` that is broken (toolchain/checking/rules), where the fault is one of a file.
    """

    exit_code = 70

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        self.code = code


class GateError(SnnasError):
    """A check, a budget or an equivalence failed."""

    exit_code = 1


class UsageError(SnnasError):
    """The command or its configuration is wrong."""

    exit_code = 2


class InvalidFileError(SnnasError):
    """An input file cannot be read, or does not hold what its format promises."""

    exit_code = 3


class UnsupportedError(SnnasError):
    """The target cannot express this, or a backend is missing."""

    exit_code = 4


class WorkerError(SnnasError):
    """The Lava worker timed out or died, twice."""

    exit_code = 75


def overflowed(population: str, register: str, value: int, limit: int) -> UnsupportedError:
    """A register of a population whose range was observed, not proved, and does not hold on other samples."""
    what = {"a": "synaptic input", "u": "current"}[register]
    return UnsupportedError(
        f"population {population}: violated: its {what} {register} reaches {value} on these samples, the limit is "
        f"{limit}; its scale comes from the calibration samples: calibrate on samples like these, or export with "
        "--ranges proved"
    )


def brief(value: object, length: int = 60) -> str:
    """``repr`` in at most ``length`` characters, of whatever a file holds: nested without end, or of 5,000 digits."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"
    return text if len(text) <= length else text[: length - 3] + "..."


def exact(value: Any) -> str:
    """A NumPy number in as few digits as tell it from its neighbours: ``1.0000001``, not ``1``; whole ones plain."""
    return str(value).removesuffix(".0")


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """``'; did you mean X?'`` where a choice is close to ``value``, else an empty string."""
    from difflib import get_close_matches

    choices = list(choices)
    near = get_close_matches(value, choices, n=1) or _a_word_apart(value, choices)
    return f"; did you mean {near[0]!r}?" if near else ""


def _a_word_apart(value: str, choices: Iterable[str]) -> list[str]:
    """The one choice, if it is one, that differs in a single word: 'block.lif' of 'encoder.lif', or of 'lif'."""
    words = WORD.findall(value)
    near = []
    for choice in choices:
        theirs = WORD.findall(choice)
        shared = sum((Counter(words) & Counter(theirs)).values())
        if 0 < shared >= max(len(words), len(theirs)) - 1:
            near.append(choice)
    return near if len(near) == 1 else []


WORD = re.compile(r"[^\W_]+")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` in one line with a ``?`` for whatever is not to be shown: names in files are somebody else's."""
    return UNPRINTABLE.sub("?", re.sub(r"[\n\t]+", " ", text))
