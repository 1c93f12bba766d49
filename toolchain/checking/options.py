"""What a check is asked for. Plain data; the command line fills it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from toolchain.budgets import Limits
from toolchain.checking.drift import Tolerances
from toolchain.estimating import Pricing
from toolchain.subjects import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """limits: of the command line, by metric. budget: a TOML file of more; None: budget.toml beside the subject.

    record: "auto" or the file to write; recording: the file to replay. wanted: how a foreign graph is read, and the
    samples to record. force: overwrite a recording, update a baseline in CI.
    """

    limits: Limits = field(default_factory=dict)
    budget: Path | None = None
    baseline: Path | None = None
    tolerances: Tolerances = field(default_factory=dict)
    update_baseline: bool = False
    record: str | None = None
    recording: Path | None = None
    wanted: Wanted = field(default_factory=Wanted)
    pricing: Pricing = field(default_factory=Pricing)
    force: bool = False
    strict: bool = False

    @property
    def judges(self) -> bool:
        """Whether figures are asked for by the command line."""
        return bool(self.limits or self.budget or self.baseline or self.update_baseline)
