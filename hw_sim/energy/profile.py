"""Profiles: the constants that energy and latency are computed with, each with its band and where it comes from.

A profile is a TOML file. Each constant has ``value``, ``low``, ``high``, ``unit``, ``node`` (process), ``volt``,
``year``, ``basis`` and ``source``; which constants exist is ``UNITS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, brief
from snnas.hw_sim.tables import read_table, shipped

BASES = ("measured", "calibrated", "simulated", "derived", "analytic")  # strongest first
VALUE_MAX = 1e12
_SYNOPS = ("synop", "synop_conv", "synop_dense", "synop_sparse")
_UPDATES = ("update_active", "update_idle")
_NETWORK = ("spike_generation", "message", "hop_ew", "hop_ns", "crossing")
UNITS = {
    **{
        f"energy.{n}": "pJ"
        for n in (*_SYNOPS, *_UPDATES, *_NETWORK, "host_mac", "host_comparison", "input_spike", "cycle")
    },
    **{f"power.{n}": "mW" for n in ("idle", "run")},
    **{f"time.{n}": "ns" for n in ("synop", *_UPDATES, "message", "barrier", "cycle")},
    "cycles.instruction": "cycles",
}
REFUSED = {
    "loihi2": "no per-operation constants of Loihi 2 are public; name a measured .toml file of your own, or use loihi1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """low <= nominal <= high."""

    low: float
    nominal: float
    high: float

    def __add__(self, other: Band) -> Band:
        return Band(low=self.low + other.low, nominal=self.nominal + other.nominal, high=self.high + other.high)

    def __mul__(self, factor: float) -> Band:
        return Band(low=self.low * factor, nominal=self.nominal * factor, high=self.high * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant in pJ, mW, ns or cycles, and where it comes from."""

    value: float
    low: float
    high: float
    unit: str
    node: str
    volt: float
    year: int
    basis: str
    source: str
    note: str = ""

    @property
    def band(self) -> Band:
        return Band(low=self.low, nominal=self.value, high=self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named set of constants; keys as in ``UNITS``."""

    name: str
    version: int
    scope: str
    constants: Mapping[str, Constant]
    banner: str = ""

    def get(self, key: str) -> Constant | None:
        """A constant; a format's own synop, or else the general one."""
        if key not in self.constants and key.startswith("energy.synop_"):
            key = "energy.synop"
        return self.constants.get(key)


def load_profile(name_or_path: str) -> Profile:
    """A profile by name or by path (``*.toml``). UsageError: no such one. UnsupportedError: refused by name.

    InvalidFileError: an unknown constant, one with an entry missing, or one that is no finite number >= 0
    with low <= value <= high in the unit of ``UNITS``.
    """
    if name_or_path.lower() in REFUSED:
        raise UnsupportedError(f"profile {name_or_path}: {REFUSED[name_or_path.lower()]}")
    path = shipped(name_or_path, "profiles")
    return parse_profile(read_table(path), path)


def parse_profile(table: dict[str, Any], path: Path) -> Profile:
    """A profile from a TOML table; ``path`` is for messages. Errors as ``load_profile``."""
    constants = {}
    head = {"name": path.stem, "version": 1, "scope": "per_term", "banner": ""}
    for key, default in head.items():
        head[key] = table.get(key, default)
        if type(head[key]) is not type(default):
            raise InvalidFileError(f"{path}: {key} is {brief(head[key])}; expected a {type(default).__name__}")
    if head["scope"] != "per_term":
        raise InvalidFileError(
            f"{path}: scope {brief(head['scope'])}; an all-in chip average holds the floor already and is not to be "
            "mixed with per-operation terms: use per_term constants"
        )
    for section, entries in table.items():
        if section in head:
            continue
        if section not in ("energy", "power", "time", "cycles") or not isinstance(entries, dict):
            raise InvalidFileError(f"{path}: {brief(section)} is no section; expected energy, power, time or cycles")
        for name, entry in entries.items():
            key = f"{section}.{name}"
            if key not in UNITS:
                known = ", ".join(k for k in UNITS if k.startswith(section))
                raise InvalidFileError(f"{path}: constant {key[:80]} is unknown; expected one of {known}")
            constants[key] = read_constant(entry, key, path)
    if not constants:
        raise InvalidFileError(f"{path}: no constant in it; expected sections energy, power or time")
    return Profile(**head, constants=constants)  # type: ignore[arg-type]


def read_constant(entry: Any, key: str, path: Path) -> Constant:
    """A constant from its table; InvalidFileError where it is none."""
    place = f"{path}: {key}"
    if not isinstance(entry, dict):
        raise InvalidFileError(
            f"{place} is {brief(entry)}; expected a table with value, low, high, unit and provenance"
        )
    types = {"value": float, "low": float, "high": float, "unit": str, "node": str, "volt": float, "year": int}
    types |= {"basis": str, "source": str}
    odd = (set(types) - set(entry)) | (set(entry) - set(types) - {"note"})
    if odd:
        raise InvalidFileError(f"{place}: entries {', '.join(sorted(odd))[:80]} are missing or unknown; mend the table")
    for name, kind in (types | {"note": str}).items():
        found = entry.get(name, "")
        good = type(found) is kind
        if kind is float:  # TOML writes whole numbers as integers, and may write nan and inf
            good = type(found) in (int, float) and 0 <= found <= VALUE_MAX
        if not good:
            expected = f"a number in 0..{VALUE_MAX:g}" if kind is float else "a whole number" if kind is int else "text"
            raise InvalidFileError(f"{place}.{name} is {brief(found)!r}; expected {expected}")
    if entry["unit"] != UNITS[key]:
        raise InvalidFileError(f"{place} is in {brief(entry['unit'])}; expected {UNITS[key]}: convert it")
    if entry["basis"] not in BASES:
        raise InvalidFileError(f"{place}: basis {brief(entry['basis'])}; expected one of {', '.join(BASES)}")
    if not entry["low"] <= entry["value"] <= entry["high"]:
        raise InvalidFileError(f"{place}: low {entry['low']}, value {entry['value']}, high {entry['high']} must ascend")
    return Constant(**entry)


def weakest(bases: list[str]) -> str | None:
    """The weakest of the bases used; None of none."""
    return max(bases, key=BASES.index, default=None)
