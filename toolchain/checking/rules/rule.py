"""What one rule of ``snnas check`` is. The rules themselves stand in ``rules_of_*``; ``rules`` has all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["invalid", "failed", "unsupported", "warned"]

GROUPS = {
    "SN1": "file and schema",
    "SN2": "topology and portability",
    "SN3": "equivalence with the recording",
    "SN4": "budgets",
    "SN5": "drift against the baseline",
    "SN6": "determinism",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """title: what must hold. severity: what a breach usually is. why and mend: the long text."""

    code: str
    title: str
    severity: Severity
    why: str
    mend: str

    @property
    def group(self) -> str:
        return GROUPS[self.code[:3]]

    def __str__(self) -> str:
        head = f"{self.code}  {self.title}\ngroup: {self.group}; a breach is: {self.severity}"
        return f"{head}\n\nWhy: {self.why}\nMend: {self.mend}"
