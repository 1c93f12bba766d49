"""TOML tables of constants, shipped with the package (``profiles/``, ``systems/``) or brought by the user."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hw_sim.errors import InvalidFileError, UsageError, did_you_mean

TABLE_BYTES_MAX = 1 << 20


def read_table(path: Path) -> dict[str, Any]:
    """A TOML file of constants. InvalidFileError where it is no such file, UsageError where it does not exist."""
    try:
        with path.open("rb") as file:
            data = file.read(TABLE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file that exists") from None
    if len(data) > TABLE_BYTES_MAX:
        raise InvalidFileError(f"{path}: more than {TABLE_BYTES_MAX} bytes; a table of constants is smaller")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8 and overlong numbers
        raise InvalidFileError(f"{path}: no TOML ({str(error).splitlines()[0]}); mend its syntax") from None


def shipped(name: str, folder: str) -> Path:
    """A named table that comes with the package, or the path of a user's own file (``*.toml`` or with a slash)."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return Path(name)
    home = Path(__file__).parent / folder
    known = sorted(p.stem for p in home.glob("*.toml"))
    if name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(
            f"{name[:80]!r} is none of {', '.join(known)} in {folder}; name one, or the path of a .toml file{hint}"
        )
    return home / f"{name}.toml"
