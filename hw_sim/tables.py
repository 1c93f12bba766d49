"""TOML tables of constants, shipped with the package (``profiles/``, ``systems/``) or brought by the user."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean
from snnas.hw_sim.files import read_bytes

TABLE_BYTES_MAX = 1 << 20
DEPTH_MAX = 32


def read_table(path: Path) -> dict[str, Any]:
    """A TOML file of constants. InvalidFileError where it is no such file, UsageError where it does not exist."""
    try:
        data = read_bytes(path, TABLE_BYTES_MAX)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file that exists") from None
    try:
        return parse_toml(data.decode())
    except ValueError as error:  # TOML, UTF-8 and overlong numbers
        raise InvalidFileError(f"{path}: no TOML ({str(error).splitlines()[0]}); mend its syntax") from None


def parse_toml(text: str) -> dict[str, Any]:
    """What ``text`` says in TOML; ValueError where it is none, or holds what would end whoever prints it.

    That is over ``DEPTH_MAX`` levels, which dotted keys make without end, and integers beyond the 64 bits of TOML.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("arrays nested without end") from None
    pending: list[tuple[Any, int]] = [(table, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > DEPTH_MAX:
            raise ValueError(f"over {DEPTH_MAX} levels of tables and arrays")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise ValueError("an integer of over 64 bits")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        pending += [(each, depth + 1) for each in inner]
    return table


HOMES = {"profiles": "energy/profiles", "systems": "map/systems"}


def known(folder: str) -> list[str]:
    """The names of the tables that come with the package."""
    return sorted(p.stem for p in (Path(__file__).parent / HOMES[folder]).glob("*.toml"))


def shipped(name: str, folder: str) -> Path:
    """A named table that comes with the package, or the path of a user's own file (``*.toml`` or with a slash)."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return Path(name)
    names = known(folder)
    if name not in names:
        hint = did_you_mean(name, names)
        raise UsageError(
            f"{name[:80]!r} is none of {', '.join(names)} in {folder}; name one, or the path of a .toml file{hint}"
        )
    return Path(__file__).parent / HOMES[folder] / f"{name}.toml"
