"""What a check finds: one verdict per rule and thing, gathered in a ``Book``, and the exit code they come to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from snnas.hw_sim.energy.profile import Band
from snnas.hw_sim.errors import GateError, SnnasError, UnsupportedError, UsageError
from snnas.toolchain.checking.rules.rules import RULES
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.versions import versions_of

Status = Literal["passed", "failed", "invalid", "unsupported", "warned", "ignored", "skipped"]
Made = TypeVar("Made")

# Controls steer a terminal, half surrogates and U+FFFE cannot stand in XML, and the bidirectional ones make a line
# read as another.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
DETAIL_CHARACTERS = 1000
PORTABILITY = frozenset({"SN114", "SN201", "SN206"})  # of what other tools make of the graph


def shown(text: str) -> str:
    """One line of text that no output format has to fear; what is not to be shown becomes ``?``."""
    flat = _UNSHOWN.sub("?", re.sub(r"[\r\n\t]+", " ", text))
    return flat if len(flat) <= DETAIL_CHARACTERS else flat[: DETAIL_CHARACTERS - 3] + "..."


def amount_of(number: int, noun: str) -> str:
    """``1 core``, ``2 cores``, ``2 synapses``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def written_otherwise(version: str) -> str:
    """Why a file may not be what is written again, and the mend. version: as the manifest says, or empty."""
    if not version:
        return "the manifest names no version of snnas: snnas export --force"
    if version == versions_of("snnas").get("snnas"):
        return "it was edited, or is of another state of this version: snnas export --force"
    return f"the export is of version {version}: check it there, or snnas export --force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which warnings fail, and which breaches are let pass.

    strict: warnings fail, those of portability left out; portable: those of portability do. ignored: codes of rules
    whose breach is shown and does not fail; what is invalid or unsupported never is, for nothing behind it runs.
    """

    strict: bool = False
    portable: bool = False
    ignored: frozenset[str] = frozenset()

    def status(self, code: str, status: Status) -> Status:
        return "ignored" if code in self.ignored and status in ("failed", "warned") else status

    def fails(self, code: str, status: Status) -> bool:
        if status == "warned":
            return self.portable if code in PORTABILITY else self.strict
        return status in ("failed", "invalid", "unsupported")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One verdict. name: what was looked at, unique within a check. place: the file, or a node of it.

    fails: whether the check fails by it, which of a warning the policy says.
    """

    code: str
    name: str
    status: Status
    detail: str
    place: str
    fails: bool

    @property
    def group(self) -> str:
        return RULES[self.code].group


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure that was judged: its value now, in the baseline, and its limit; None where there is none.

    interval: 95 %, over the samples that it is of. band: by the constants, whose upper end the value is; baseline_band:
    that of the baseline, where it was written and its upper end is the baseline still.
    """

    metric: str
    unit: str
    value: float | None
    baseline: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None
    band: Band | None = None
    baseline_band: Band | None = None


@dataclass(slots=True)
class Book:
    """Gathers the findings of one subject, in order. meant: the command that accepts what its recording does not.

    unchecked: what nothing was said of, for want of a recording or a program. narrator: told of what takes long.
    """

    subject: Path
    kind: str
    policy: Policy = field(default_factory=Policy)
    meant: str = ""
    narrator: Narrator = field(default_factory=lambda: Narrator(quiet=True))
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)

    def add(self, code: str, name: str, status: Status, detail: str, place: object = "") -> None:
        assert code in RULES, code
        status = self.policy.status(code, status)
        found = Finding(
            code=code,
            name=shown(name),
            status=status,
            detail=shown(detail),
            place=shown(str(place or self.subject)),
            fails=self.policy.fails(code, status),
        )
        self.findings.append(found)

    def judge(self, code: str, name: str, problem: str | None, good: str, place: object = "") -> bool:
        """Failed with the problem, or passed with what is good; whether it passed."""
        self.add(code, name, "passed" if problem is None else "failed", good if problem is None else problem, place)
        return problem is None

    def attempt(
        self, code: str, name: str, action: Callable[[], Made], place: object = "", *, asked: bool = False
    ) -> Made | None:
        """What the action gives; where a file of the subject is at fault, the finding of it and None.

        The error's own code goes before ``code``. asked: the action follows the command line, so that a UsageError is
        the command's fault and goes on; else a file said it, and it is the file's.
        """
        try:
            with self.narrator.watched(f"{self.subject}: {name}"):
                return action()
        except SnnasError as error:
            if asked and isinstance(error, UsageError):
                raise
            self.add(error.code or code, name, _status(error), str(error), place)
            return None

    def note(self, text: str) -> None:
        self.notes.append(shown(text))

    @property
    def findings_by_group(self) -> list[Finding]:
        """Group after group, in each as they were found."""
        return sorted(self.findings, key=lambda f: f.code[:3])

    @property
    def healthy(self) -> bool:
        return not any(f.status in ("failed", "invalid", "unsupported") for f in self.findings)

    @property
    def exit_code(self) -> int:
        return exit_code(self.findings)

    def bad(self, *groups: str) -> bool:
        """Whether something in these groups (SN1, ...) keeps what follows from being run."""
        return any(f.code[:3] in groups and f.status in ("invalid", "unsupported") for f in self.findings)


def _status(error: SnnasError) -> Status:
    if isinstance(error, GateError):
        return "failed"
    return "unsupported" if isinstance(error, UnsupportedError) else "invalid"


def exit_code(findings: Iterable[Finding]) -> int:
    """3 where a file is invalid, else 4 where something is not supported, else 1 where a finding fails, else 0."""
    failing = [f.status for f in findings if f.fails]
    if "invalid" in failing:
        return 3
    return 4 if "unsupported" in failing else int(bool(failing))
