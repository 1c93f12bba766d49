"""Budgets: names, units and limits of what a network may cost, for ``check`` and ``search --budget``.

Energy and latency bind on the upper end of their band. Costs are limited from above; accuracy, which ``check`` alone
looks at, from below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief, did_you_mean
from snnas.hw_sim.map.system import CORES
from snnas.hw_sim.tables import read_table

Limits = dict[str, float]
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What can be limited. unit: of its numbers. units: what may stand behind one. figure: where a manifest has it.

    least: the limit is the smallest value allowed, not the largest. rule: of ``snnas check``.
    """

    unit: str = ""
    units: Mapping[str, float]
    figure: tuple[str, ...] = ()
    least: bool = False
    rule: str

    @property
    def banded(self) -> bool:
        """Whether the figure is the upper end of a band."""
        return self.figure[-1:] == ("high",)

    @property
    def is_share(self) -> bool:
        """Whether it lies in 0..1."""
        return "%" in self.units


_ENERGY = {"nJ": 1e-3, "uJ": 1.0, "mJ": 1e3}
_TIME = {"us": 1.0, "ms": 1e3}
_COUNT = {"k": 1e3, "M": 1e6}
_BYTES = {"kB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2, "B": 1.0}

METRICS = {
    "energy_total": Metric(unit="uJ", units=_ENERGY, figure=("energy_uJ", "total", "high"), rule="SN405"),
    "energy_dynamic": Metric(unit="uJ", units=_ENERGY, figure=("energy_uJ", "dynamic", "high"), rule="SN405"),
    "latency": Metric(unit="us", units=_TIME, figure=("latency_us", "high"), rule="SN408"),
    "sar": Metric(units={"%": 0.01}, figure=("sar", "on_target"), rule="SN402"),
    "cores": Metric(units=_COUNT, figure=("resources", "cores"), rule="SN407"),
    "chips": Metric(units=_COUNT, figure=("resources", "chips"), rule="SN407"),
    "neurons": Metric(units=_COUNT, figure=("resources", "neurons"), rule="SN407"),
    "parameters": Metric(units=_COUNT, figure=("resources", "parameters"), rule="SN406"),
    "memory": Metric(unit="B", units=_BYTES, rule="SN406"),
    "flash": Metric(unit="B", units=_BYTES, rule="SN409"),
    "ram": Metric(unit="B", units=_BYTES, rule="SN409"),
    "instructions": Metric(units=_COUNT, rule="SN409"),
    "spikes": Metric(units=_COUNT, figure=("spikes_per_inference", "on_target"), rule="SN403"),
    "synops": Metric(units=_COUNT, figure=("synops_per_inference",), rule="SN404"),
}
ALIASES = {"params": "parameters", "energy": "energy_total"}
CHECK_TABLE = "check"  # of a budget file: what snnas check is told beside the limits
# What a check looks at: the costs, and what a search is not told but seeks.
GATED = {
    "accuracy": Metric(units={"%": 0.01}, figure=("accuracy", "on_target"), least=True, rule="SN401"),
    **METRICS,
}
OF_DEVICE = ("flash", "ram", "instructions")  # of a microcontroller alone
MOST = tuple(name for name, metric in GATED.items() if not metric.least)
LEAST = tuple(name for name, metric in GATED.items() if metric.least)


@dataclass(frozen=True, slots=True)
class Excess:
    """One limit that is not kept. value None: there is no such figure."""

    metric: str
    value: float | None
    limit: float

    @property
    def ratio(self) -> float:
        """By how many times the limit is missed; infinite where there is no figure."""
        above, below = (self.limit, self.value) if GATED[self.metric].least else (self.value, self.limit)
        return above / below if self.value is not None and above is not None and below else math.inf

    def __str__(self) -> str:
        metric = GATED[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        if self.value is None:
            why = "are there labels?" if metric.least else "does the program fit, does the profile price it?"
            why = f"it is a microcontroller's: --system {' or '.join(CORES)}" if self.metric in OF_DEVICE else why
            return f"there is no figure for {self.metric} ({why})"
        missed = abs(self.value / self.limit - 1) if self.limit else 0.0
        share = "" if not missed else f" by {missed:.1%}" if missed >= 0.0005 else " by less than 0.1%"
        side = "under" if metric.least else "over"
        return f"{self.metric} {self.value:.6g}{unit} is {side} {self.limit:.6g}{unit}{share}"


def with_unit(name: str) -> str:
    """A metric's name with its unit, for a table's head."""
    unit = METRICS[name].unit if name in METRICS else ""
    return f"{name}, {unit}" if unit else name


def amounts(figures: Mapping[str, float | None], *, measured: bool = False) -> str:
    """Figures or limits as a person reads them: 'energy_total 208 uJ, cores 4'. measured: say which end of a band."""
    return ", ".join(
        f"{name} {'unknown' if value is None else f'{value:.4g}'} {GATED[name].unit}".rstrip()
        + (" (upper end of the band)" if measured and GATED[name].banded else "")
        for name, value in figures.items()
    )


def excesses(limits: Mapping[str, float], figures: Mapping[str, float | None]) -> list[Excess]:
    """The limits that ``figures`` do not keep, the worst first; a limit without an entry is not looked at."""
    found = []
    for name, limit in limits.items():
        if name not in figures:
            continue
        value = figures[name]
        low, high = (limit, math.inf) if GATED[name].least else (0.0, limit)
        if value is None or not low <= value <= high:
            found.append(Excess(name, value if value is not None and 0 <= value < math.inf else None, limit))
    return sorted(found, key=lambda e: -e.ratio)


def parse_limits(text: str | None, *, option: str = "--max", names: Iterable[str] = MOST) -> Limits:
    """``energy_total=60uJ,sar=0.1,cores=8`` -> numbers in each metric's unit; UsageError names what is wrong.

    ``:`` is taken for ``=``.
    """
    limits: Limits = {}
    for part in filter(None, (text or "").split(",")):
        where = f"{option} {part!r}"
        given, value = halves(part)
        enter(limits, *_limit(given, value, where, tuple(names)), where)
    return limits


def parse_budgets(items: Sequence[str]) -> Limits:
    """``--budget`` as often as given: limits as above, or the name of a TOML file; of two for one metric the smaller.

    The file holds ``energy_total = "60uJ"`` or ``cores = 8`` at the top, or in a table [budget]. UsageError or
    InvalidFileError name what is wrong.
    """
    limits: Limits = {}
    for item in items:
        is_file = item.endswith(".toml")
        found = read_budget(Path(item)) if is_file else parse_limits(item, option="--budget", names=METRICS)
        if not found:
            raise UsageError(f"--budget {item!r}: nothing in it; expected NAME=VALUE or a .toml file")
        for name, value in found.items():
            limits[name] = min(value, limits.get(name, math.inf))
    return limits


def check_limits(table: Mapping[str, Any], where: str) -> Limits:
    """Limits as a run keeps them, plain numbers in each metric's unit; InvalidFileError for anything else."""
    for name, value in table.items():
        if name not in METRICS or type(value) not in (int, float) or not 0 <= value < math.inf:
            raise InvalidFileError(f"{where}: {name} = {brief(value)} is no limit; expected {', '.join(METRICS)}")
    return {name: float(value) for name, value in table.items()}


def read_budget(path: Path, *, names: Iterable[str] = tuple(METRICS)) -> Limits:
    """The limits in a TOML file, of the metrics ``names``. UsageError where there is none, InvalidFileError else."""
    table = read_table(path)
    table = table["budget"] if isinstance(table.get("budget"), dict) else table
    limits: Limits = {}
    for key, value in table.items():
        if key == CHECK_TABLE and isinstance(value, dict):
            continue
        text = value if isinstance(value, str) else brief(value)
        where = f"{path}: {key[:60]}"
        try:
            enter(limits, *_limit(key, text, where, tuple(names)), where)
        except UsageError as error:
            raise InvalidFileError(str(error)) from None
    return limits


def halves(part: str) -> tuple[str, str]:
    """``NAME=VALUE`` or ``NAME:VALUE``, apart; the value '' where there is neither sign."""
    given, *value = re.split("[=:]", part, maxsplit=1)
    return given.strip(), "".join(value).strip()


def enter(table: dict[str, Entry], name: str, value: Entry, where: str) -> None:
    """UsageError where the metric, or an alias of it, has its value already."""
    if name in table:
        raise UsageError(f"{where}: {name} is given twice; keep one{_alias(name)}")
    table[name] = value


def _alias(name: str) -> str:
    also = [alias for alias, known in ALIASES.items() if known == name]
    return f" ({also[0]} is the same)" if also else ""


def _limit(given: str, value: str, where: str, names: tuple[str, ...]) -> tuple[str, float]:
    name = ALIASES.get(given, given)
    if name not in names:
        side = "from below, with --min" if name in LEAST else "from above, with --max"
        hint = f"; check limits it {side}" if name in GATED else did_you_mean(name, [*GATED, *ALIASES])
        raise UsageError(f"{where}: unknown metric {given[:40]!r}; expected {', '.join(names)}{hint}")
    return name, amount(name, value, where)


def amount(name: str, value: str, where: str) -> float:
    """A number of a metric in its unit; UsageError where a share is above 1: 95 was meant as 95%."""
    found = number_of(value, GATED[name].units, where)
    if GATED[name].is_share and found > 1:
        percent = f"{value}% or {found / 100:g}" if not value.endswith("%") and found <= 100 else "a share in 0..1"
        raise UsageError(f"{where}: {name} is at most 1 (100%), got {found:g}; write {percent}")
    return found


def number_of(value: str, units: Mapping[str, float], where: str) -> float:
    """A finite number >= 0 with one of ``units`` behind it, or none; UsageError begins with ``where``.

    In decimal arithmetic: in binary 95 % would be a hair above 0.95, and an accuracy of 0.95 below it.
    """
    number, factor = value, 1.0
    # The longest first: kB ends in B.
    for unit in sorted(units, key=len, reverse=True):
        if value.endswith(unit):
            number, factor = value.removesuffix(unit), units[unit]
            break
    try:
        found = float(Decimal(number.strip()) * Decimal(str(factor)))
    except (ValueError, ArithmeticError):
        raise UsageError(f"{where}: {value[:40]!r} is no number{' in ' + ', '.join(units) if units else ''}") from None
    if not math.isfinite(found) or found < 0:
        raise UsageError(f"{where}: expected a finite number >= 0")
    return found
