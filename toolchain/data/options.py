"""``--data NAME=VALUE``: what a data set takes beside its name (``load``), as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from snnas.hw_sim.errors import UsageError

KINDS: dict[str, type] = {
    "data_dir": str,
    "frames": int,
    "split_by": str,
    "duration": int,
    "event_count": int,
    "overlap": int,
    "downsample": int,
    "polarity": str,
    "hot_pixels": int,
    "transform": str,
    "augment": str,
    "slice": int,
    "sensor": str,
    "counts": bool,
    "layout": str,
    "background": str,
    "groups": str,
    "class_weights": str,
    "train_limit": int,
    "axis": str,
    "window": int,
    "hop": int,
    "length": int,
    "fit": str,
    "encoder": str,
    "threshold": float,
    "levels": int,
    "steps": int,
}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_options(items: Iterable[str] | None) -> dict[str, Any]:
    """``["frames=16", "split_by=time"]`` -> {"frames": 16, "split_by": "time"}; UsageError names what is wrong."""
    options: dict[str, Any] = {}
    for item in (part for given in items or () for part in parts(given)):
        name, _, text = item.partition("=")
        if name not in KINDS or not text:
            raise UsageError(f"--data {item[:80]!r}: expected NAME=VALUE with a name of {', '.join(KINDS)}")
        options[name] = _value(item, KINDS[name], text)
    return options


def parts(given: str) -> list[str]:
    """``"window=32,hop=16"`` is two options; a comma that no name of an option follows belongs to the value."""
    found: list[str] = []
    for part in given.split(","):
        if found and part.partition("=")[0] not in KINDS:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _value(item: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in WORDS:
            raise UsageError(f"--data {item[:80]!r}: expected true or false")
        return WORDS[text.lower()]
    if kind is int:
        if not (text.isdecimal() and len(text) < 10 and int(text) >= 1):
            raise UsageError(f"--data {item[:80]!r}: expected a whole number >= 1")
        return int(text)
    if kind is float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise UsageError(f"--data {item[:80]!r}: expected a number > 0")
        return value
    return text
