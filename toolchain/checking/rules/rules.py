"""What ``snnas check`` checks: one rule per code. ``snnas explain`` and docs/check.md print this table.

A code never changes its meaning; new ones are added. Groups stand in the order in which they are run. Status of a
breach: invalid (exit 3), failed (1), unsupported (4), or warned (0; 1 with --strict, or with --portable where it is
what other tools make of the graph).
"""

from __future__ import annotations

import re

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking.rules import of_figures as rules_of_figures
from snnas.toolchain.checking.rules import of_files as rules_of_files
from snnas.toolchain.checking.rules import of_graphs as rules_of_graphs
from snnas.toolchain.checking.rules.rule import GROUPS, Rule

__all__ = ["GROUPS", "RULES", "Rule", "find"]

RULES = {rule.code: rule for part in (rules_of_files, rules_of_graphs, rules_of_figures) for rule in part.RULES}
NEAR = 9


def find(code: str) -> Rule:
    """The rule of a code, in any case; UsageError names the one of the nearest number, where one is near."""
    wanted = code.strip().upper()
    if wanted not in RULES:
        near = _near(wanted)
        hint = f"; did you mean {near!r}?" if near else ""
        raise UsageError(f"{code[:40]!r} is no code of a rule{hint}; snnas explain lists all of them")
    return RULES[wanted]


def _near(code: str) -> str | None:
    """The code whose number is at most ``NEAR`` off, or begins so; all codes look alike as text."""
    number = re.fullmatch(r"\D*(\d{1,3})", code, re.ASCII)
    if number is None:
        return None
    if len(number[1]) < 3:
        return next((known for known in RULES if known[2:].startswith(number[1])), None)
    off = {known: abs(int(known[2:]) - int(number[1])) for known in RULES}
    nearest = min(off, key=off.__getitem__)
    return nearest if off[nearest] <= NEAR else None
