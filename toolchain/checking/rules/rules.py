"""What ``snnas check`` checks: one rule per code. ``snnas explain`` and docs/check.md print this table.

A code never changes its meaning; new ones are added. Groups stand in the order in which they are run. Status of a
breach: invalid (exit 3), failed (1), unsupported (4), or warned (0; 1 with --strict, or with --portable where it is
what other tools make of the graph).
"""

from __future__ import annotations

from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.toolchain.checking.rules import of_figures as rules_of_figures
from snnas.toolchain.checking.rules import of_files as rules_of_files
from snnas.toolchain.checking.rules import of_graphs as rules_of_graphs
from snnas.toolchain.checking.rules.rule import GROUPS, Rule

__all__ = ["GROUPS", "RULES", "Rule", "find"]

RULES = {rule.code: rule for part in (rules_of_files, rules_of_graphs, rules_of_figures) for rule in part.RULES}


def find(code: str) -> Rule:
    """The rule of a code, in any case; UsageError names a near one."""
    wanted = code.strip().upper()
    if wanted not in RULES:
        raise UsageError(
            f"{code[:40]!r} is no code of a rule{did_you_mean(wanted, RULES)}; snnas explain lists all of them"
        )
    return RULES[wanted]
