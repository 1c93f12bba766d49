"""What a check is asked for. Plain data; the command line fills it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking.drift import Tolerances
from snnas.toolchain.checking.rules.rules import find
from snnas.toolchain.models.convention_options import Wanted
from snnas.toolchain.models.estimate import Pricing
from snnas.toolchain.searching.budgets import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """limits: of the command line, by metric. budget: a TOML file of more; None: budget.toml beside the subject.

    record: "auto" or the file to write; recording: the file to replay. wanted: how a foreign graph is read, and the
    samples to record. force: make the recording again, of the same samples read the same way; new_recording: put
    another in its place. in_ci: write recording or baseline although the environment variable CI is set. ignored:
    codes of rules, with those of the budget file.
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
    new_recording: bool = False
    in_ci: bool = False
    strict: bool = False
    portable: bool = False
    ignored: frozenset[str] = frozenset()

    @property
    def judges(self) -> bool:
        """Whether figures are asked for by the command line."""
        return bool(self.limits or self.budget or self.baseline or self.update_baseline)


def parse_ignored(items: Iterable[str]) -> frozenset[str]:
    """``SN201,SN206`` or one by one -> codes; UsageError names a near one."""
    codes = (part for item in items for part in item.split(",") if part.strip())
    try:
        return frozenset(find(code).code for code in codes)
    except UsageError as error:
        raise UsageError(f"--ignore: {error}") from None
