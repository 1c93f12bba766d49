"""The gate for pipelines, and what its rules mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnas.export.compiler.quantise import check_bits
from snnas.toolchain.checking.check import check as check_one
from snnas.toolchain.checking.findings import Book, exit_code
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.rules.rules import RULES, Rule, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in the graphs, in their order."""

    books: tuple[Book, ...]
    """One per graph: its findings, figures and notes."""

    @property
    def exit_code(self) -> int:
        """0 where all passed; 3 for an invalid file, 1 for a gate, 4 for what the target cannot do."""
        return exit_code([finding for book in self.books for finding in book.findings])


def check(options: CheckOptions) -> Checked:
    """Guards exported graphs: valid, firing as recorded, within budget, no worse than their baseline.

    A fault of a graph is a finding, never an error; UsageError (2) for options that do not go together.
    """
    if options.reading.bits is not None:
        check_bits(options.reading.bits)
    options.check()
    return Checked(books=tuple(check_one(path, options) for path in options.graphs))


def explain_rules(codes: Sequence[str] = ()) -> list[Rule]:
    """What the rules of those codes (none: all of them) mean, why they are there, and how to mend a breach."""
    return [find(code) for code in codes] if codes else list(RULES.values())
