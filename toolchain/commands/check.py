"""The gate for pipelines, and what its rules mean."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnas.export.compiler.quantise import check_bits
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking import attest as attesting
from snnas.toolchain.checking.check import check as check_one
from snnas.toolchain.checking.findings import Book, exit_code
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.rules.rules import RULES, Rule, find
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.pack import SUFFIX, exports, unpack
from snnas.toolchain.searching.budgets import GATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found in the graphs, in their order."""

    books: tuple[Book, ...]
    """One per graph: its findings, figures and notes."""

    @property
    def exit_code(self) -> int:
        """0 where all passed; 3 for an invalid file, 1 for a gate, 4 for what the target cannot do."""
        return exit_code([finding for book in self.books for finding in book.findings])


def check(options: CheckOptions, narrator: Narrator | None = None) -> Checked:
    """Guards exported graphs: valid, firing as recorded, within budget, no worse than their baseline.

    A fault of a graph is a finding, never an error; UsageError (2) for options that do not go together.
    """
    if options.reading.bits is not None:
        check_bits(options.reading.bits)
    options.check()
    with contextlib.ExitStack() as stack:
        graphs = tuple(_export_of(path, stack) for path in options.graphs)
        options = replace(options, graphs=graphs)
        return Checked(books=tuple(check_one(path, options, narrator) for path in graphs))


def _export_of(path: Path, stack: contextlib.ExitStack) -> Path:
    """The path itself; of a packed run the export in it, unpacked until ``stack`` ends, that to Lava where it has more.

    InvalidFileError for a .zip that is none, UsageError for a run that was not exported.
    """
    if path.suffix != SUFFIX or not path.is_file():
        return path
    folder = unpack(path, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="snnas-check-"))))
    found = exports(folder)
    if not found:
        raise UsageError(f"{path}: a run without an export; unpack and export it with: snnas export {path}")
    return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """An export, attested."""

    document: dict[str, Any]
    """The attestation, schema snnas.attestation/1."""
    differences: tuple[str, ...] | None
    """What the one that it is compared with says otherwise; None where there is none."""

    @property
    def exit_code(self) -> int:
        """That of the check; 1 where the two attestations differ."""
        return int(self.document["exit_code"]) or int(bool(self.differences))

    def lines(self) -> list[str]:
        """For a person."""
        d = self.document
        out, samples = [f"attestation {d['digest']}"], d["samples"]
        if samples:
            labels = f"labels {samples['labels']}" if samples["labels"] else "no labels"
            out.append(f"measured on {samples['number']} samples ({samples['stimulus']}), {labels}")
        for name, value in d["figures"].items():
            shown = "-" if value is None else f"{value:.6g} {GATED[name].unit}".rstrip()
            out.append(f"  {name:<16} {shown}")
        failing = sorted({code for code, _, status in d["checks"] if status in ("failed", "invalid", "unsupported")})
        failed = f"FAILED ({', '.join(failing)}); snnas check says why"
        out.append(failed if failing else f"{len(d['checks'])} checks passed")
        if self.differences is not None:
            out += [f"  {line}" for line in self.differences]
            out.append(f"{len(self.differences)} entries differ" if self.differences else "equal to the one compared")
        return out


def attest(folder: Path, pricing: Pricing, *, compare: Path | None = None) -> Attested:
    """The attestation of an export, beside one that was made elsewhere.

    UsageError for what is no export; InvalidFileError for an attestation that is none, or was edited.
    """
    theirs = None if compare is None else attesting.read_attestation(compare)
    document, _ = attesting.attest(folder, pricing)
    return Attested(
        document=document,
        differences=None if theirs is None else tuple(attesting.differences(document, theirs)),
    )


def explain_rules(codes: Sequence[str] = ()) -> list[Rule]:
    """What the rules of those codes (none: all of them) mean, why they are there, and how to mend a breach."""
    return [find(code) for code in codes] if codes else list(RULES.values())
