"""Budgets: names, units and limits of what a network may cost, for ``check --max`` and ``search --budget``.

Energy and latency bind on the upper end of their band.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_sim.errors import InvalidFileError, UsageError
from hw_sim.tables import read_table

Limits = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What can be limited. unit: of its numbers. units: what may stand behind one. figure: where a manifest has it."""

    unit: str = ""
    units: Mapping[str, float]
    figure: tuple[str, ...] = ()


_ENERGY = {"nJ": 1e-3, "uJ": 1.0, "mJ": 1e3}
_TIME = {"us": 1.0, "ms": 1e3}
_COUNT = {"k": 1e3, "M": 1e6}
_BYTES = {"kB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2, "B": 1.0}

METRICS = {
    "energy_total": Metric(unit="uJ", units=_ENERGY, figure=("energy_uJ", "total", "high")),
    "energy_dynamic": Metric(unit="uJ", units=_ENERGY, figure=("energy_uJ", "dynamic", "high")),
    "latency": Metric(unit="us", units=_TIME, figure=("latency_us", "high")),
    "sar": Metric(units={"%": 0.01}, figure=("sar", "on_target")),
    "cores": Metric(units=_COUNT, figure=("resources", "cores")),
    "chips": Metric(units=_COUNT, figure=("resources", "chips")),
    "neurons": Metric(units=_COUNT, figure=("resources", "neurons")),
    "parameters": Metric(units=_COUNT, figure=("resources", "parameters")),
    "memory": Metric(unit="B", units=_BYTES),
}
ALIASES = {"params": "parameters", "energy": "energy_total"}
EXPORTED = tuple(name for name, metric in METRICS.items() if metric.figure)


@dataclass(frozen=True, slots=True)
class Excess:
    """One limit that is not kept. value None: there is no such figure."""

    metric: str
    value: float | None
    limit: float

    @property
    def ratio(self) -> float:
        """Value over limit; infinite where there is no figure."""
        return self.value / self.limit if self.value is not None and self.limit else math.inf

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        unit = f" {unit}" if unit else ""
        if self.value is None:
            return f"there is no figure for {self.metric} (does the program fit, does the profile price it?)"
        share = f" by {self.ratio - 1:.1%}" if self.limit else ""
        return f"{self.metric} {self.value:.6g}{unit} is over {self.limit:.6g}{unit}{share}"


def excesses(limits: Mapping[str, float], figures: Mapping[str, float | None]) -> list[Excess]:
    """The limits that ``figures`` do not keep, the worst first; a limit without an entry is not looked at."""
    found = []
    for name, limit in limits.items():
        if name not in figures:
            continue
        value = figures[name]
        if value is None or not 0 <= value <= limit:
            found.append(Excess(name, value if value is not None and 0 <= value < math.inf else None, limit))
    return sorted(found, key=lambda e: -e.ratio)


def parse_limits(text: str | None, *, option: str = "--max", names: Iterable[str] = EXPORTED) -> Limits:
    """``energy_total=60uJ,sar=0.1,cores=8`` -> numbers in each metric's unit; UsageError names what is wrong."""
    limits: Limits = {}
    for part in filter(None, (text or "").split(",")):
        name, value = _pair(part, f"{option} {part!r}", tuple(names))
        limits[name] = value
    return limits


def parse_budgets(items: Sequence[str]) -> Limits:
    """``--budget`` as often as given: limits as above, or the name of a TOML file; of two for one metric the smaller.

    The file holds ``energy_total = "60uJ"`` or ``cores = 8`` at the top, or in a table [budget]. UsageError or
    InvalidFileError name what is wrong.
    """
    limits: Limits = {}
    for item in items:
        found = _read(Path(item)) if item.endswith(".toml") else parse_limits(item, option="--budget", names=METRICS)
        if not found:
            raise UsageError(f"--budget {item!r}: nothing in it; expected NAME=VALUE or a .toml file")
        for name, value in found.items():
            limits[name] = min(value, limits.get(name, math.inf))
    return limits


def check_limits(table: Mapping[str, Any], where: str) -> Limits:
    """Limits as a run keeps them, plain numbers in each metric's unit; InvalidFileError for anything else."""
    for name, value in table.items():
        if name not in METRICS or type(value) not in (int, float) or not 0 <= value < math.inf:
            raise InvalidFileError(f"{where}: {name} = {str(value)[:40]!r} is no limit; expected {', '.join(METRICS)}")
    return {name: float(value) for name, value in table.items()}


def _read(path: Path) -> Limits:
    table = read_table(path)
    table = table["budget"] if isinstance(table.get("budget"), dict) else table
    limits: Limits = {}
    for key, value in table.items():
        text = value if isinstance(value, str) else repr(value)
        try:
            name, number = _pair(f"{key}={text}", f"{path}: {key}", tuple(METRICS))
        except UsageError as error:
            raise InvalidFileError(str(error)) from None
        limits[name] = number
    return limits


def _pair(part: str, where: str, names: tuple[str, ...]) -> tuple[str, float]:
    given, _, value = part.partition("=")
    name = ALIASES.get(given.strip(), given.strip())
    if name not in names:
        raise UsageError(f"{where}: unknown metric {given.strip()!r}; expected {', '.join(names)}")
    return name, _number(value.strip(), METRICS[name].units, where)


def _number(value: str, units: Mapping[str, float], where: str) -> float:
    number, factor = value, 1.0
    # The longest first: kB ends in B.
    for unit in sorted(units, key=len, reverse=True):
        if value.endswith(unit):
            number, factor = value.removesuffix(unit), units[unit]
            break
    try:
        found = float(number) * factor
    except ValueError:
        raise UsageError(f"{where}: {value!r} is no number{' in ' + ', '.join(units) if units else ''}") from None
    if not math.isfinite(found) or found < 0:
        raise UsageError(f"{where}: expected a finite number >= 0")
    return found
