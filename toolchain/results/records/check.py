"""Findings on graphs, and the rules that they are of."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Document, Interval, OrAbsent, Record, Sha256
from snnas.toolchain.results.records.shared import Band


class Finding(Record):
    """What came of one check."""

    code: str
    """Rule that was checked, SN101 to SN603; snnas explain prints it."""
    group: str
    """Group of the rule."""
    name: str
    """What was looked at; the same in every run."""
    status: Literal["passed", "failed", "invalid", "unsupported", "warned", "ignored", "skipped"]
    """Verdict."""
    detail: str
    """What was found, in a sentence."""
    place: str
    """File that it was found in, as a path of this machine."""


class FigureJudged(Record):
    """A figure, and what it is held against."""

    unit: str
    """Unit; empty for counts and fractions."""
    value: float | None
    """Figure now."""
    baseline: float | None
    """Figure of the baseline; null without."""
    limit: float | None
    """Limit; null without."""
    interval: OrAbsent[Interval] = None
    """95 % interval over the samples that the figure is of; absent where there is none."""
    band: OrAbsent[Band] = None
    """Band by the constants that price, whose upper end the figure is; absent where there is none."""
    baseline_band: OrAbsent[Band] = None
    """That of the baseline; absent where it was not written, or the figure was set by hand."""


class Check(Document):
    """The findings on one graph."""

    printed_by = ("check",)

    schema_: Literal["snnas.check/2"]
    subject: str
    """Graph or folder, as a path of this machine."""
    kind: Literal["graph", "ONNX model", "export folder"]
    """What it is."""
    exit_code: int
    """The exit code of the command."""
    findings: list[Finding]
    """Checks, in order."""
    figures: dict[str, FigureJudged]
    """Figures that were judged, by metric; empty where none was asked for."""
    notes: list[str]
    """What was found, written or left out besides."""
    not_checked: OrAbsent[list[str]] = None
    """What nothing was said of, for want of a recording or a program."""


class Checks(Document):
    """The findings on several graphs."""

    printed_by = ("check",)

    schema_: Literal["snnas.checks/1"]
    exit_code: int
    """The exit code of the command."""
    checks: list[Check]
    """One per graph, in the order given."""


class RuleRow(Record):
    """A rule."""

    code: str
    """Code, never given a new meaning."""
    title: str
    """What must hold."""
    severity: Literal["invalid", "failed", "unsupported", "warned"]
    """What a breach usually is."""
    why: str
    """Why the rule is there."""
    mend: str
    """How a breach is mended."""
    group: str
    """Group of the rule."""


class RuleList(Document):
    """The rules of snnas check."""

    printed_by = ("explain",)

    schema_: Literal["snnas.rules/1"]
    rules: list[RuleRow]
    """Rules, in order."""


class SamplesAttested(Record):
    """The samples that figures are of."""

    number: Count
    """How many."""
    stimulus: str
    """Digest of the samples."""
    labels: str
    """Digest of the labels; empty without."""


class Source(Record):
    """A file of constants."""

    name: str
    """Name, or path."""
    sha256: Sha256
    """Hash of the file."""


class PricedBy(Record):
    """What places and prices."""

    system: Source
    """Chip."""
    profile: Source | None
    """Energy profile; null where none is public of the chip."""


class Attestation(Document):
    """What an export is and does; nothing of the machine or the time that it was made on."""

    printed_by = ("attest",)

    schema_: Literal["snnas.attestation/1"]
    exit_code: int
    """That of snnas check."""
    digest: Sha256
    """Hash of all that follows."""
    files: dict[str, Sha256]
    """Hashes of the export's files; empty where they are not those of its manifest."""
    samples: SamplesAttested | None
    """The samples; null where they cannot be read."""
    priced: PricedBy
    """What places and prices."""
    figures: dict[str, float | None]
    """Figures by metric, measured again, to nine digits; null where there is none."""
    checks: list[list[str]]
    """Code, name and status of each check."""
