"""What goes wrong, and the exit code that says so.

Every message is one line that names the value, what was expected, where, and the mend. Exit codes are API
(documented in the README): 1 a gate or an equivalence failed, 2 usage, 3 an invalid input file, 4 not supported
on this target or backend missing, 75 the Lava worker timed out or died twice.
"""

from __future__ import annotations


class SnnasError(Exception):
    """Base of the errors that a user can act on. ``exit_code`` is what the command returns."""

    exit_code = 70


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
