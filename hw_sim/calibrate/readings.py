"""The log of a meter: a CSV file whose header says the units.

    probe,repeat,inferences,energy_J,power_W,time_s

A row is one reading: so many inferences of a probe, how long they took, and either their energy or the mean power
meanwhile. The probe ``idle`` is the board that waits, its inferences are left empty. ``energy_mJ``, ``power_uW``,
``time_us`` and so on are read as they say. Rows without a figure are not measured yet.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from snnas.hw_sim.calibrate.plan import IDLE
from snnas.hw_sim.errors import InvalidFileError, brief, did_you_mean

LOG_BYTES, ROWS = 1 << 24, 100_000
HEADER = ("probe", "repeat", "inferences", "energy_J", "power_W", "time_s")
PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "k": 1e3}
QUANTITIES = {"energy": "J", "power": "W", "time": "s"}
OTHERS = {";": "semicolons", "\t": "tabs"}  # as spreadsheets write where the comma is a decimal's
AGREE = 0.05  # energy, and power times time, of one row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One row of a log."""

    line: int
    """Its line in the file, from 1."""
    probe: str
    """The probe's name, or ``idle``."""
    energy_uJ: float
    """Microjoules of one inference; of all the wait where the board is idle."""
    time_us: float
    """Microseconds of the same."""

    @property
    def power_mW(self) -> float:
        """Mean power."""
        return self.energy_uJ / self.time_us * 1e3


def parse(text: str, place: str, known: Sequence[str]) -> list[Reading]:
    """The readings of a log. known: the plan's probes. InvalidFileError names line, column, value and mend."""
    reader = csv.reader(io.StringIO(text, newline=None))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise InvalidFileError(f"{place}, line {reader.line_num}: {error}; save it as plain CSV") from None
    if not rows or len(rows) > ROWS:
        raise InvalidFileError(f"{place}: {len(rows)} rows; expected a header and at most {ROWS} of them")
    columns = [name.strip() for name in rows[0]]
    other = [what for sign, what in OTHERS.items() if sign in columns[0]]
    if len(columns) == 1 and other:
        raise InvalidFileError(
            f"{place}: its columns are parted by {other[0]}, expected commas; save it as CSV with commas, and decimals "
            "with a point: 0.125"
        )
    scales = _scales(columns, place)
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(columns) and any(cell.strip() for cell in row):
            raise InvalidFileError(
                f"{place}, line {number}: {brief(','.join(row))} has {len(row)} cells, the header {len(columns)} "
                "columns; write decimals with a point, and a note with a comma in quotes"
            )
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not any(cells.get(name) for name in scales if not name.startswith("time")):
            continue
        found.append(_reading(cells, scales, f"{place}, line {number}", number, known))
    return found


def _scales(columns: Sequence[str], place: str) -> dict[str, float]:
    """Column -> what a figure of it is in joules, watts or seconds."""
    units = {f"{q}_{p}{u}": factor for q, u in QUANTITIES.items() for p, factor in PREFIX.items()}
    for name in columns:
        if name not in units and name not in ("probe", "repeat", "inferences", "note"):
            hint = did_you_mean(name, [*units, "probe", "inferences"])
            raise InvalidFileError(
                f"{place}: column {name[:40]!r} is unknown; expected {', '.join(HEADER)}, with the unit in the name"
                f"{hint}"
            )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InvalidFileError(f"{place}: column {twice!r} stands twice; expected each column once: leave one out")
    scales = {name: units[name] for name in columns if name in units}
    held = [q for q in QUANTITIES if sum(name.startswith(q) for name in scales) == 1]
    if len(held) < len(scales) or "time" not in held or len(held) < 2 or not {"probe", "inferences"} <= set(columns):
        raise InvalidFileError(
            f"{place}: columns {', '.join(columns)[:120]}; expected probe, inferences, one time and one energy or power"
        )
    return scales


def _reading(cells: dict[str, str], scales: dict[str, float], place: str, line: int, known: Sequence[str]) -> Reading:
    name = cells.get("probe", "")
    if name != IDLE and name not in known:
        raise InvalidFileError(
            f"{place}: probe {name[:40]!r} is not of this plan; expected {IDLE} or {known[0]} .. {known[-1]}"
            f"{did_you_mean(name, [IDLE, *known])}"
        )
    values = {q: _number(cells, column, scales[column], place) for column in scales for q in QUANTITIES
              if column.startswith(q)}  # fmt: skip
    time = values["time"]
    if time is None:
        raise InvalidFileError(f"{place}: no time; expected how long the {name} took")
    energy, power = values.get("energy"), values.get("power")
    if energy is not None and power is not None and abs(power * time / energy - 1) > AGREE:
        raise InvalidFileError(
            f"{place}: {power:.4g} W for {time:.4g} s is {power * time:.4g} J, and the row says {energy:.4g} J, "
            f"{power * time / energy:.3g} times less; mend a unit, or leave one of the two empty"
        )
    joules = energy if energy is not None else (power or 0.0) * time
    count = 1
    if name != IDLE:
        text = cells.get("inferences", "")
        if not text.isdecimal() or not 1 <= int(text[:15]) <= 10**12:
            raise InvalidFileError(f"{place}: inferences {text[:20]!r}; expected a whole number of 1 or more")
        count = int(text)
    return Reading(line=line, probe=name, energy_uJ=joules / count * 1e6, time_us=time / count * 1e6)


def _number(cells: dict[str, str], column: str, scale: float, place: str) -> float | None:
    text = cells.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InvalidFileError(f"{place}: {column} is {brief(text)}; expected a number above 0, with a point: 0.125")
    return value * scale


def template(probes: Sequence[tuple[str, int]], repeats: int, wait_s: int) -> str:
    """A log to fill in. probes: name, and inferences of one reading.

    Repeats are interleaved: a board that warms up must not look like a probe that takes more.
    """
    lines = [",".join(HEADER)]
    for repeat in range(1, repeats + 1):
        lines.append(f"{IDLE},{repeat},,,,{wait_s}")
        lines += [f"{name},{repeat},{count},,," for name, count in probes]
    return "\n".join(lines) + "\n"
