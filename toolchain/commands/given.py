"""What a caller of ``import snnas`` may give in several forms, in the one form that records take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def path_of(value: str | Path | None) -> Path | None:
    """A path, unless it is left out."""
    return None if value is None else Path(value)


def several(value: str | Sequence[str]) -> tuple[str, ...]:
    """All of them; a lone text is one, not its letters."""
    return (value,) if isinstance(value, str) else tuple(value)
