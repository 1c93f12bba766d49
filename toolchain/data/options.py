"""``--data NAME=VALUE``: what a data set takes beside its name (``load``), as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypedDict, get_args, get_type_hints

from snnas.hw_sim.errors import UsageError, did_you_mean


class DataOptions(TypedDict, total=False):
    """What ``load`` takes of a data set beside its name; None like what is left out."""

    frames: int | None
    split_by: str | None
    duration: int | None
    event_count: int | None
    overlap: int | None
    downsample: int | None
    polarity: str | None
    hot_pixels: int | None
    transform: str | None
    augment: str | None
    slice: int | None
    slice_by: str | None
    slice_overlap: int | None
    crop: str | None
    sensor: str | None
    counts: bool | None
    layout: str | None
    background: str | None
    groups: str | None
    class_weights: str | None
    train_limit: int | None
    axis: str | None
    window: int | None
    hop: int | None
    length: int | None
    fit: str | None
    encoder: str | None
    threshold: float | None
    levels: int | None
    steps: int | None


KINDS: dict[str, type] = {"data_dir": str} | {
    name: get_args(kind)[0] for name, kind in get_type_hints(DataOptions).items()
}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_options(items: Iterable[str] | None) -> dict[str, Any]:
    """``["frames=16", "split_by=time"]`` -> {"frames": 16, "split_by": "time"}; UsageError names what is wrong."""
    options: dict[str, Any] = {}
    for item in (part for given in items or () for part in parts(given)):
        name, _, text = item.partition("=")
        if name not in KINDS or not text:
            hint = "" if name in KINDS else did_you_mean(name, KINDS)
            raise UsageError(f"--data {item[:80]!r}: expected NAME=VALUE with a name of {', '.join(KINDS)}{hint}")
        options[name] = _value(item, KINDS[name], text)
    return options


def parts(given: str) -> list[str]:
    """``"window=32,hop=16"`` is two options; a comma that no name of an option follows belongs to the value."""
    found: list[str] = []
    for part in given.split(","):
        if found and not _begins_an_option(part):
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _begins_an_option(part: str) -> bool:
    """Whether it has the name of an option, or one that is misspelt, and is no end of a value with a comma."""
    name, sign, _ = part.partition("=")
    return name in KINDS or bool(sign and did_you_mean(name, KINDS))


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
