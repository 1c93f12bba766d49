"""A board's own constants: the plan of its probes, and the fit to what a meter read."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import AboveZero, Amount, Count, Document, Interval, OrAbsent, Positive, Record


class ExpectedConstant(Record):
    """A row of ``constants`` of ``CalibrationPlan``."""

    constant: str
    """Section and name in a profile: energy.synop."""
    unit: str
    """pJ, mW or ns."""
    expected: AboveZero
    """The profile's value; where it has none, a stand-in that only sets the scale."""


class ProbeRow(Record):
    """A row of ``probes`` of ``CalibrationPlan``: one inference."""

    id: str
    """Its folder, and its name in the log."""
    energy_uJ: Amount
    """What the profile leads to expect, in uJ."""
    time_us: Amount
    """The same, in us."""
    cores: Positive
    """Cores that hold it."""
    synops: Count
    """Synaptic operations."""
    spikes: Count
    """Spikes of its neurons."""
    messages: Count
    """Messages between cores, the own included."""


class CalibrationPlan(Document):
    """Probe programs for a board, chosen and written."""

    printed_by = ("calibrate",)

    schema_: Literal["snnas.calibrate.plan/1"]
    folder: str
    """Where they are."""
    profile: str
    """Whose values are expected."""
    system: str
    """Where they are placed."""
    target: Literal["lava", "c"]
    """What they are exported as."""
    seed: Count
    """Of the candidates."""
    condition: AboveZero
    """Condition number of the probes' shares of the bill, each constant scaled alike: 1 is best."""
    constants: list[ExpectedConstant]
    """What is to be fitted."""
    untold: list[str]
    """Constants of the bill that no probe moves on this system."""
    probes: list[ProbeRow]
    """The programs."""


class MeasuredConstant(Record):
    """A row of ``constants`` of ``CalibrationFit``."""

    constant: str
    """Section and name in a profile: energy.synop."""
    unit: str
    """pJ, mW or ns."""
    value: Amount
    """The fitted value."""
    interval: Interval
    """95 % bootstrap interval, never below 0."""
    expected: AboveZero
    """What the plan expected."""


class LeftOut(Record):
    """A row of ``left_out`` of ``CalibrationFit``: a probe, foretold by the fit of the others."""

    id: str
    """The probe; idle: the board that waits."""
    energy: float
    """Relative error of its energy against its readings' mean."""
    time: float | None
    """Relative error of its time; null of the idle board."""


class CalibrationFit(Document):
    """Constants fitted to a log."""

    printed_by = ("calibrate --log",)

    schema_: Literal["snnas.calibrate/1"]
    profile: str
    """The profile that was written."""
    readings: Positive
    """Rows of the log with a figure."""
    probes: dict[str, Positive]
    """Rows of each probe."""
    condition: AboveZero
    """Condition number of what the rows say of energies: 1 is best."""
    held_out: Amount
    """Mean absolute relative error of energy of ``left_out``, the idle board not counted."""
    residual_energy: Amount
    """Root mean square of the rows' relative errors of energy."""
    residual_time: Amount
    """The same of times."""
    constants: list[MeasuredConstant]
    """What was fitted."""
    left_out: list[LeftOut]
    """Each probe foretold by the fit of the others."""
    untold: list[str]
    """Constants of the bill that no probe moves on the plan's system, and that the profile has no value of."""
    taken: OrAbsent[list[str]] = None
    """Constants of the profile that are the base profile's, of its own basis; left out before 0.4."""
    provenance: Literal["measured"]
    """Where the figures come from: a meter."""
