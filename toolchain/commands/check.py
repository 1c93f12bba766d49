"""The gate for pipelines, and what its rules mean."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.export.compiler.quantise import check_bits
from snnas.hw_sim.errors import GateError, InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.checking import attest as attesting
from snnas.toolchain.checking.check import check as check_one
from snnas.toolchain.checking.drift import parse_tolerances
from snnas.toolchain.checking.findings import Book, Finding, exit_code
from snnas.toolchain.checking.formats.formats import as_whole
from snnas.toolchain.checking.formats.text import summary, table
from snnas.toolchain.checking.options import CheckOptions, parse_ignored
from snnas.toolchain.checking.rules.rules import RULES, Rule, find
from snnas.toolchain.commands.given import path_of, several
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken, to_python
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.telling import Progress, narrator_of
from snnas.toolchain.runs.pack import SUFFIX, exports, unpack
from snnas.toolchain.searching.budgets import GATED, LEAST, parse_limits

if TYPE_CHECKING:
    from rich.table import Table

# A limit by metric: a number in the metric's unit (uJ, us, shares in 0..1), or text with its own: "60uJ", "95%".
Limit = float | str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Findings(Shown):
    """What was found in the graphs, in their order."""

    books: tuple[Book, ...]
    """One per graph: its findings, figures and notes."""

    @property
    def exit_code(self) -> int:
        """0 where all passed; 3 for an invalid file, 1 for a gate, 4 for what the target cannot do."""
        return exit_code([finding for book in self.books for finding in book.findings])

    @property
    def passed(self) -> bool:
        """Whether nothing fails; also the truth value of the findings."""
        return self.exit_code == 0

    @property
    def failures(self) -> list[Finding]:
        """What fails: each with its ``code``, ``name`` and ``detail``."""
        return [finding for book in self.books for finding in book.findings if finding.fails]

    def require(self) -> None:
        """Raises the first failure, if any: GateError, or where they end so InvalidFileError or UnsupportedError."""
        kind = {3: InvalidFileError, 4: UnsupportedError}.get(self.exit_code, GateError)
        for finding in self.failures[:1]:
            more = len(self.failures) - 1
            others = f"; {more} more fail{'s' * (more == 1)}" if more else ""
            raise kind(f"{finding.code} {finding.name}: {finding.detail}{others}", code=finding.code)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def headline(self) -> str:
        return "; ".join(f"{book.subject}: {summary(book)[0]}" for book in self.books)

    def to_dict(self) -> dict[str, Any]:
        return as_whole(self.books)

    def tables(self) -> Iterator[Table]:
        return (table(book, book.findings) for book in self.books)


def guard(options: CheckOptions, narrator: Narrator | None = None) -> Findings:
    """Guards exported graphs: valid, firing as recorded, within budget, no worse than their baseline.

    A fault of a graph is a finding, never an error; UsageError (2) for options that do not go together.
    """
    if options.reading.bits is not None:
        check_bits(options.reading.bits)
    packed = [path for path in options.graphs if _is_packed(path)]
    if packed and options.update_baseline and options.baseline is None:
        raise UsageError(f"--update-baseline: {packed[0]} keeps none; say where it is with --baseline PATH")
    with contextlib.ExitStack() as stack:
        graphs = tuple(_export_of(path, stack) for path in options.graphs)
        unpacked = replace(options, graphs=graphs)
        unpacked.check()
        books = tuple(check_one(path, unpacked, narrator) for path in graphs)
    for path, export, book in zip(options.graphs, graphs, books, strict=True):
        if export != path:
            _name(book, export, path)
    return Findings(books=books)


@spoken
def check(
    *graphs: str | Path,
    max: Mapping[str, Limit] | None = None,
    min: Mapping[str, Limit] | None = None,
    budget: str | Path | None = None,
    baseline: str | Path | None = None,
    tolerance: Mapping[str, Limit] | None = None,
    update_baseline: bool = False,
    record: bool | str = False,
    force: bool = False,
    new_recording: bool = False,
    data: str | None = None,
    trust_report: bool = False,
    strict: bool = False,
    ignore: str | Sequence[str] = (),
    reading: ReadingOptions | None = None,
    profile: str | None = None,
    system: str = "loihi1",
    progress: Progress = None,
) -> Findings:
    """Guards exported graphs: valid, firing as recorded, within budget, no worse than their baseline.

    graphs: folders that ``export`` wrote, .nir and .onnx files. max, min: figures' limits, such as
    ``max={"energy_total": "60uJ", "cores": 8}`` and ``min={"accuracy": .95}``. budget: a TOML file of limits.
    baseline: a baseline.json; no figure may be worse, but by ``tolerance``. record: make the recording of a .nir
    (True: GRAPH.check.npz); ``force`` runs a changed graph on the samples that are recorded, ``new_recording`` takes
    others. data: your samples, a data set's name or an .npz, that an export's figures are measured on;
    limits on accuracy, activity, energy or latency need them, a baseline, or ``trust_report``, which takes the folder's
    own. strict: warnings fail too. ignore: codes of rules that pass. A fault of a graph is a
    finding, never an error; ``findings.require()`` raises. UsageError (2) for options that do not go together.
    """
    if not graphs:
        raise UsageError("check: no graph; name a folder that export wrote, a .nir or an .onnx")
    reading = reading or ReadingOptions()
    options = CheckOptions(
        graphs=tuple(Path(graph) for graph in graphs),
        limits=parse_limits(spelt(max), option="max") | parse_limits(spelt(min), option="min", names=LEAST),
        budget=path_of(budget),
        baseline=path_of(baseline),
        tolerances=parse_tolerances([spelt(tolerance)] if tolerance else []),
        update_baseline=update_baseline,
        record=("auto" if record else None) if isinstance(record, bool) else record,
        force=force,
        new_recording=new_recording,
        trust_report=trust_report,
        strict=strict,
        ignored=parse_ignored(several(ignore)),
        reading=reading if data is None else replace(reading, data=data),
        pricing=Pricing(profile=profile, system=system),
    )
    found = guard(options, narrator_of(progress))
    for book in found.books:
        book.notes = [to_python(note) for note in book.notes]
        book.findings = [replace(f, detail=to_python(f.detail)) for f in book.findings]
    return found


def spelt(limits: Mapping[str, Limit] | None) -> str:
    """As the command line takes them."""
    return ",".join(f"{name}={amount}" for name, amount in (limits or {}).items())


def _is_packed(path: Path) -> bool:
    return path.suffix == SUFFIX and path.is_file()


def _name(book: Book, export: Path, packed: Path) -> None:
    """Call what was found in the export of a packed run by the name of the .zip."""

    def named(text: str) -> str:
        return text.replace(str(export), str(packed))

    book.subject = packed
    book.notes = [named(note) for note in book.notes]
    book.findings = [replace(f, detail=named(f.detail), place=named(f.place)) for f in book.findings]


def _export_of(path: Path, stack: contextlib.ExitStack) -> Path:
    """The path itself; of a packed run the export in it, unpacked until ``stack`` ends, that to Lava where it has more.

    InvalidFileError for a .zip that is none, UsageError for a run that was not exported.
    """
    if not _is_packed(path):
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
        """For a person. Only an export that passes has a digest to quote; of others the verdict stands first."""
        d = self.document
        failing = sorted({code for code, _, status in d["checks"] if status in ("failed", "invalid", "unsupported")})
        failed = f"FAILED ({', '.join(failing)}); snnas check says why"
        out, samples = [failed if failing else f"attestation {d['digest']}"], d["samples"]
        if samples:
            labels = f"labels {samples['labels']}" if samples["labels"] else "no labels"
            out.append(f"measured on {samples['number']} samples ({samples['stimulus']}), {labels}")
        for name, value in d["figures"].items():
            shown = "-" if value is None else f"{value:.6g} {GATED[name].unit}".rstrip()
            out.append(f"  {name:<16} {shown}")
        if not failing:
            out.append(f"{len(d['checks'])} checks passed")
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
