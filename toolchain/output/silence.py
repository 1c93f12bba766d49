"""What every table says of a run in which something was silent: the same words, whoever measured it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snnas.hw_sim.simulate.silence import Silence

NONE = "no measurement"


def of(document: Mapping[str, Any], *path: str) -> Silence | None:
    """The silence of a document, at ``path`` beneath its field; None of one of before there was the field."""
    found: Any = document.get("silence")
    for key in path:
        found = found.get(key) if found else None
    return Silence.from_json(found)


def why_none(found: Silence | None) -> str | None:
    """Why an accuracy is no measurement; None where it is one."""
    return None if found is None else found.no_measurement


def rows(found: Silence | None) -> Iterator[tuple[str, str, str]]:
    """Name, value and note of what was silent; nothing where all fires and few answers tie."""
    if found is None:
        return
    if found.ties and found.no_measurement is None:
        yield "  ties", f"{found.ties:,}", f"of {found.samples:,} predictions: the lowest class is taken"
    if found.silent:
        yield "never fire", f"{len(found.silent)} of {found.populations}", ", ".join(found.silent)
    if found.cause:
        yield "  likely cause", "", found.cause
