"""baseline.json and tolerances: SN5xx. Only what is worse counts; what is better is said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from snnas.hw_sim.energy.profile import Band
from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.simulate.counts import FORMAT as COUNTS
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.made import Made
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.models.estimate import profile_of
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.runs.versions import versions_of
from snnas.toolchain.searching.budgets import ALIASES, GATED, amount, enter, halves, number_of

SCHEMA = "snnas.baseline/1"
ROUNDING = 1e-9  # of the baseline: figures are written with all their digits
EVERY = "all"
BAND = ("low", "nominal", "high")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse a figure may be: a share of the baseline, or a number in the metric's unit."""

    share: float = 0.0
    number: float = 0.0

    def of(self, baseline: float) -> float:
        return abs(baseline) * (self.share + ROUNDING) + self.number


Tolerances = Mapping[str, Tolerance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Figures to compare with. stimulus, labels: digests of the samples that they were measured on; '' unknown.

    priced_by: what counted and priced them, as ``priced_by`` says it; empty in a file of before it was said. bands: of
    figures that are the upper end of one; none of a figure that was set by hand, nor in a file of before.
    """

    figures: Mapping[str, float]
    stimulus: str
    labels: str = ""
    priced_by: Mapping[str, str] = field(default_factory=dict)
    bands: Mapping[str, Band] = field(default_factory=dict)


def parse_tolerances(items: Iterable[str]) -> dict[str, Tolerance]:
    """``energy_total:5%``, ``cores:1`` or ``latency:2ms``, also with commas; ``all:1%`` for every metric not named.

    ``=`` is taken for ``:``. A percentage is of the baseline, also for metrics whose own unit is %. UsageError names
    what is wrong.
    """
    found: dict[str, Tolerance] = {}
    for part in (p for item in items for p in item.split(",") if p):
        given, value = halves(part)
        name = ALIASES.get(given, given)
        if not value or (name not in GATED and name != EVERY):
            hint = did_you_mean(name, GATED)
            raise UsageError(
                f"--tolerance {part[:60]!r}: expected METRIC:5% or METRIC:NUMBER, with one of {', '.join(GATED)}{hint}"
            )
        where = f"--tolerance {part[:60]!r}"
        if value.endswith("%"):
            tolerance = Tolerance(share=number_of(value, {"%": 0.01}, where))
        elif name == EVERY:
            raise UsageError(f"{where}: metrics have different units; give a percentage")
        else:
            tolerance = Tolerance(number=amount(name, value, where))
        enter(found, name, tolerance, where)
    return found


def read_baseline(path: Path) -> Baseline:
    """InvalidFileError (SN502) where it is none; UsageError where there is no such file."""
    if not path.is_file():
        raise UsageError(f"--baseline {path}: no such file; write it with --update-baseline")
    table = read_json(path)
    if not isinstance(table, dict) or table.get("schema") != SCHEMA or not isinstance(table.get("figures"), dict):
        raise InvalidFileError(f"{path}: not a baseline of schema {SCHEMA}; write it again with --update-baseline")
    figures = {}
    for name, value in table["figures"].items():
        if name not in GATED or type(value) not in (int, float) or not math.isfinite(value):
            raise InvalidFileError(
                f"{path}: {str(name)[:40]!r} is {str(value)[:40]!r}; expected a number of one of {', '.join(GATED)}"
            )
        figures[name] = float(value)
    by = table.get("priced_by", {})
    if not isinstance(by, dict) or not all(isinstance(value, str) for value in by.values()):
        raise InvalidFileError(f"{path}: priced_by is {str(by)[:40]!r}; expected names and versions, or none")
    return Baseline(
        figures=figures, stimulus=str(table.get("stimulus", "")), labels=str(table.get("labels", "")), priced_by=by,
        bands=_bands(path, table.get("bands", {}), figures),
    )  # fmt: skip


def _bands(path: Path, table: object, figures: Mapping[str, float]) -> dict[str, Band]:
    """The bands of a baseline whose upper end its figure is."""
    found = {}
    for name, ends in table.items() if isinstance(table, dict) else [("bands", table)]:
        values = [ends.get(end) for end in BAND] if isinstance(ends, dict) and set(ends) == set(BAND) else []
        numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) < len(BAND) or numbers != sorted(numbers) or numbers[0] < 0:
            raise InvalidFileError(
                f"{path}: the band of {str(name)[:40]!r} is {str(ends)[:60]}; expected 0 <= low <= nominal <= high"
            )
        if name in GATED and GATED[name].banded and figures.get(name) == numbers[-1]:
            found[name] = Band(**dict(zip(BAND, numbers, strict=True)))
    return found


def priced_by(pricing: Pricing) -> dict[str, str]:
    """What counts and prices here: versions of snnas, of counts.json, and of the profile, where there is one."""
    profile = profile_of(pricing)
    priced = {} if profile is None else {"profile": f"{profile.name} {profile.version}"}
    return {**versions_of("snnas"), "counts": str(COUNTS), **priced}


def write_baseline(
    path: Path, figures: Mapping[str, float | None], samples: Samples | None, by: Mapping[str, str] | None = None,
    bands: Mapping[str, Band] | None = None,
) -> None:  # fmt: skip
    """The figures that there are, of what samples, what priced them, and their bands, whole or not at all."""
    known = {name: value for name, value in figures.items() if value is not None}
    pins = {"stimulus": samples.stimulus, "labels": samples.labels} if samples else {"stimulus": "", "labels": ""}
    beside = {"bands": {name: asdict(band) for name, band in bands.items()}} if bands else {}
    write_json(path, {"schema": SCHEMA, **pins, **({"priced_by": by} if by else {}), "figures": known, **beside})


def moved(known: Baseline, figures: Mapping[str, float | None]) -> list[str]:
    """What an update of the baseline changes, a line per figure: the worse first, and named so."""
    worse, other = [], []
    for name in GATED:
        then, now = known.figures.get(name), figures.get(name)
        if then is None:
            other += [] if now is None else [f"{name} is new: {_line(name, now)}"]
        elif now is None:
            worse.append(f"{name} {_line(name, then)} is GONE")
        elif abs(now - then) > abs(then) * ROUNDING:
            bad = now < then if GATED[name].least else now > then
            line = f"{name} {_line(name, then)} -> {_line(name, now)}"
            (worse if bad else other).append(f"{line}: {'WORSE' if bad else 'better'}{_share(abs(now - then), then)}")
    return worse + other


def check_drift(
    book: Book, path: Path, known: Baseline, made: Made, tolerances: Tolerances, by: Mapping[str, str] | None = None
) -> None:
    """SN501 and SN502 of every figure of the baseline, SN503 of the samples. by: what priced ``made``."""
    unused = sorted(set(tolerances) - set(known.figures) - {EVERY})
    if unused:
        book.note(f"--tolerance {unused[0]}: the baseline has no such figure")
    figures = made.figures
    problem = None
    if known.stimulus and (made.judged is None or known.stimulus != made.judged.stimulus):
        problem = "not those of the baseline: figures may differ without a change"
    elif known.labels and (made.judged is None or known.labels != made.judged.labels):
        problem = "their labels are not those of the baseline"
    book.judge("SN503", "baseline samples", problem, "as the baseline's", path)
    for name, then in known.figures.items():
        now = figures.get(name)
        if now is None:
            book.add("SN502", f"baseline {name}", "failed", "there is no such figure any more", path)
            continue
        allowed = tolerances.get(name, tolerances.get(EVERY, Tolerance()))
        worse = then - now if GATED[name].least else now - then
        problem = None
        if worse > allowed.of(then):
            worse_by = f"{_line(name, now)} is worse than {_line(name, then)}{_share(worse, then)}"
            problem = f"{name} {worse_by}, allowed is {_allowed(allowed, name)}{_other_prices(known, by or {})}"
        good = f"{_line(name, now)}, baseline {_line(name, then)}"
        if worse < -allowed.of(then):
            good += f"; better{_share(-worse, then)}: the baseline can be tightened with --update-baseline"
        book.judge("SN501", f"baseline {name}", problem, good, path)


def _other_prices(known: Baseline, by: Mapping[str, str]) -> str:
    """What else may have made a figure worse than the network: other versions priced the baseline."""
    then = {name: was for name, was in known.priced_by.items() if by and by.get(name) != was}
    if by and not known.priced_by:
        return "; the baseline does not say what made it, as older ones: if nothing else changed, --update-baseline"
    if not then:
        return ""
    was = ", ".join(f"{name} {version}"[:60] for name, version in then.items())
    now = ", ".join(f"{name} {by.get(name, 'none')}"[:60] for name in then)
    return f"; the baseline was made with {was}, here it is {now}: if nothing else changed, --update-baseline"


def _line(name: str, value: float) -> str:
    unit = GATED[name].unit
    return f"{value:.6g}{f' {unit}' if unit else ''}"


def _share(amount: float, then: float) -> str:
    return f" by {amount / abs(then):.1%}" if then else ""


def _allowed(tolerance: Tolerance, name: str) -> str:
    return f"{tolerance.share:.1%}" if tolerance.share else _line(name, tolerance.number)
