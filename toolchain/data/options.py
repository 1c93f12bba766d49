"""``--data NAME=VALUE``: what a data set takes beside its name (``load``), as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snnas.hw_sim.errors import UsageError

KINDS: dict[str, type] = {
    "data_dir": str,
    "frames": int,
    "split_by": str,
    "duration": int,
    "overlap": int,
    "downsample": int,
    "polarity": str,
    "hot_pixels": int,
    "transform": str,
    "sensor": str,
    "counts": bool,
    "layout": str,
    "background": str,
    "groups": str,
    "class_weights": str,
    "train_limit": int,
}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_options(items: Iterable[str] | None) -> dict[str, Any]:
    """``["frames=16", "split_by=time"]`` -> {"frames": 16, "split_by": "time"}; UsageError names what is wrong."""
    options: dict[str, Any] = {}
    for item in items or ():
        name, _, text = item.partition("=")
        if name not in KINDS or not text:
            raise UsageError(f"--data {item[:80]!r}: expected NAME=VALUE with a name of {', '.join(KINDS)}")
        options[name] = _value(item, KINDS[name], text)
    return options


def _value(item: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in WORDS:
            raise UsageError(f"--data {item[:80]!r}: expected true or false")
        return WORDS[text.lower()]
    if kind is int:
        if not (text.isdecimal() and len(text) < 10 and int(text) >= 1):
            raise UsageError(f"--data {item[:80]!r}: expected a whole number >= 1")
        return int(text)
    return text
