"""What is wrong with a log, said before anything is fitted to it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median

from snnas.hw_sim.calibrate.plan import IDLE, Plan
from snnas.hw_sim.calibrate.readings import Reading
from snnas.hw_sim.errors import InvalidFileError

FACTORS = (1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9)
NEAR = 4.0  # how far from a power of a thousand a ratio may lie to be taken for a wrong unit
APART = 2.0  # a repeat that differs so much from its fellows is no noise
LEAST_APART = 1.25  # what is nearer is not said to be odd, however little the others differ
SAME = 1.3  # two readings that could be of one probe
IDLE_ONLY = 1.15  # mean power above idle below which a probe cannot be told from waiting
WORSE = 3.0  # how much better a fit becomes when what was swapped is put right
SPARE = 3  # readings beyond the constants, from which the noise is known
CONDITION = 1e3  # of the rows' shares, beyond which constants cannot be told apart


def check_enough(readings: Sequence[Reading], plan: Plan, needed: int, place: str) -> None:
    """InvalidFileError for a log of idle rows alone, and for one of too few probes."""
    seen = {r.probe for r in readings}
    if not seen:
        raise InvalidFileError(f"{place}: no row has an energy or a power; fill in what the meter read")
    if seen == {IDLE}:
        raise InvalidFileError(
            f"{place}: the board was idle in all {len(readings)} rows; run the probes {plan.probes[0].id} .. "
            f"{plan.probes[-1].id} too"
        )
    if len(seen) < needed:
        missing = [p.id for p in plan.probes if p.id not in seen] + ([] if IDLE in seen else [IDLE])
        raise InvalidFileError(
            f"{place}: {len(seen)} probes for {needed} constants; measure {', '.join(missing[:8])} too"
        )
    if len(readings) < needed + SPARE:
        raise InvalidFileError(
            f"{place}: {len(readings)} readings for {needed} constants, which leaves nothing to tell noise by; measure "
            "each probe twice or more"
        )


def check_units(readings: Sequence[Reading], plan: Plan, place: str, *, trust: bool) -> None:
    """InvalidFileError where times or powers are off by a power of a thousand: all of them, or one row.

    trust: the board is known to be so far from the profile of the plan; then only single rows are held against others.
    """
    expected = plan.expected()
    for what, of in (("time", _time), ("power", _power)):
        ratios = {}
        for r in readings:
            if r.probe != IDLE:
                energy, time = expected[r.probe]
                ratios[r.line] = of(r) / (time if what == "time" else energy / time * 1e3)
        middle = median(ratios.values())
        factor = _factor(middle)
        if factor is not None and not trust:
            raise InvalidFileError(
                f"{place}: the {what} of its rows is {middle:.3g} times what {plan.profile} leads to expect: a unit is "
                f"off by {factor:g}, or inferences are miscounted; mend the header (time_ms, power_mW, "
                "energy_mJ and the like), or give --trust-units where the board is like that"
            )
        for line, ratio in ratios.items():
            factor = _factor(ratio / middle)
            if factor is not None:
                raise InvalidFileError(
                    f"{place}, line {line}: its {what} is {ratio / middle:.3g} times that of the other rows: a unit is "
                    f"off by {factor:g}; mend the row"
                )
    _check_idle_units([r for r in readings if r.probe == IDLE], plan, place, trust=trust)


def _check_idle_units(waits: Sequence[Reading], plan: Plan, place: str, *, trust: bool) -> None:
    """Of powers alone: how long the board waits is free."""
    if not waits:
        return
    middle = median(map(_power, waits))
    expected = plan.chips * plan.constants.get("power.idle", middle)
    for r in waits:
        factor = _factor(r.power_mW / middle) if len(waits) > 2 else None  # of two, none is the odd one
        if factor is not None:
            raise InvalidFileError(
                f"{place}, line {r.line}: its power is {r.power_mW / middle:.3g} times that of the other {IDLE} rows: "
                f"a unit is off by {factor:g}; mend the row"
            )
    for r in [] if trust else waits:
        factor = _factor(r.power_mW / expected)
        if factor is not None:
            raise InvalidFileError(
                f"{place}, line {r.line}: the board that waits draws {r.power_mW:.4g} mW, {r.power_mW / expected:.3g} "
                f"times what {plan.profile} leads to expect: a unit is off by {factor:g}; mend it in the {IDLE} rows, "
                "or give --trust-units where the board is like that"
            )
    if len(waits) == 2:
        low, high = sorted(waits, key=_power)
        factor = _factor(high.power_mW / low.power_mW)
        if factor is not None:
            raise InvalidFileError(
                f"{place}, lines {low.line} and {high.line}: {IDLE} draws {low.power_mW:.4g} and {high.power_mW:.4g} "
                f"mW: a unit is off by {factor:g}; mend one of the two"
            )


def check_repeats(readings: Sequence[Reading], place: str) -> None:
    """InvalidFileError for rows of one probe that disagree beyond any noise: two that are swapped, or one alone."""
    by: dict[str, list[Reading]] = defaultdict(list)
    for r in readings:
        by[r.probe].append(r)
    usual = {name: (median(map(_energy, rows)), median(map(_time, rows))) for name, rows in by.items()}
    several = [r for r in readings if len(by[r.probe]) > 2 and r.probe != IDLE]
    apart = _beyond_noise([math.log(r.energy_uJ / usual[r.probe][0]) for r in several])
    odd = [r for r in several if not _like(r, usual[r.probe], apart)]
    for a, b in combinations(odd, 2):
        if a.probe != b.probe and _like(a, usual[b.probe], SAME) and _like(b, usual[a.probe], SAME):
            raise InvalidFileError(
                f"{place}: lines {a.line} and {b.line} look swapped: what stands for {a.probe} is what {b.probe} "
                "took, and the other way round; exchange them"
            )
    if odd:
        r = odd[0]
        raise InvalidFileError(
            f"{place}, line {r.line}: {r.energy_uJ:.4g} uJ in {r.time_us:.4g} us per inference, the other rows "
            f"of {r.probe} {usual[r.probe][0]:.4g} uJ in {usual[r.probe][1]:.4g} us; measure it again"
        )
    waiting = median(map(_power, by[IDLE])) if len(by[IDLE]) > 2 else 0.0
    for r in by[IDLE] if waiting else []:
        if not 1 / APART < r.power_mW / waiting < APART:
            raise InvalidFileError(
                f"{place}, line {r.line}: {r.power_mW:.4g} mW, the other {IDLE} rows {waiting:.4g} mW; measure it again"
            )


def _beyond_noise(logs: Sequence[float]) -> float:
    """The factor beyond which a reading is no noise: eight standard deviations of the log's repeats, at most APART."""
    if not logs:
        return APART
    spread = 1.4826 * median(map(abs, logs))  # of normal noise, whatever a few rows are
    return min(APART, max(LEAST_APART, math.exp(8 * spread)))


def check_beyond_idle(readings: Sequence[Reading], place: str) -> None:
    """InvalidFileError where no probe draws more than the board that waits."""
    powers: dict[str, list[float]] = defaultdict(list)
    for r in readings:
        powers[r.probe].append(r.power_mW)
    if IDLE not in powers:
        return
    waiting = median(powers.pop(IDLE))
    most = max(median(values) for values in powers.values())
    if most < waiting * IDLE_ONLY:
        raise InvalidFileError(
            f"{place}: idle only: no probe draws more than {most:.4g} mW, and the board that waits {waiting:.4g} mW; "
            "is the meter in the supply of the chip, and did the programs run while it read?"
        )


def check_swapped(
    names: Iterable[str], residual: Callable[[Mapping[str, str]], float], noise: float, place: str
) -> None:
    """InvalidFileError for two probes whose rows fit far better when they are exchanged.

    residual: of the fit under a renaming of probes. noise: what it may be without suspicion.
    """
    found = residual({})
    if found <= noise:
        return
    trials = {pair: residual({pair[0]: pair[1], pair[1]: pair[0]}) for pair in combinations(names, 2)}
    (a, b), best = min(trials.items(), key=lambda item: item[1])
    if best * WORSE < found:
        raise InvalidFileError(
            f"{place}: the rows of {a} and {b} look swapped: as they stand the times fit within {found:.1%}, exchanged "
            f"within {best:.1%}; exchange the names"
        )


def check_told_apart(condition: float, confused: Sequence[str], place: str) -> None:
    """InvalidFileError where the rows leave a mix of constants open."""
    if condition > CONDITION:
        names = ", ".join(confused)
        raise InvalidFileError(
            f"{place}: these rows do not tell {names} apart (condition number {condition:.2g}, at most {CONDITION:g}); "
            "measure more of the plan's probes, the idle board among them"
        )


def repeats(readings: Sequence[Reading]) -> dict[str, int]:
    """How often each probe was measured."""
    return dict(Counter(r.probe for r in readings))


def _factor(ratio: float) -> float | None:
    """The power of a thousand that a ratio is near, 1 excepted."""
    for factor in FACTORS:
        if abs(math.log(ratio / factor)) < math.log(NEAR):
            return factor
    return None


def _like(r: Reading, usual: tuple[float, float], apart: float) -> bool:
    energy, time = r.energy_uJ / usual[0], r.time_us / usual[1]
    return 1 / apart < energy < apart and 1 / apart < time < apart


def _energy(r: Reading) -> float:
    return r.energy_uJ


def _time(r: Reading) -> float:
    return r.time_us


def _power(r: Reading) -> float:
    return r.power_mW
