"""``snnas check GRAPH``: the road through all rules, for an export folder, a .nir or an .onnx."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from snnas.export.formats.npz_file import read_npz
from snnas.export.graph import digest
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UsageError, brief
from snnas.hw_sim.tables import read_table
from snnas.toolchain.checking.again import refuse_in_ci
from snnas.toolchain.checking.arrival import check_arrival, kind_of, refuse_pointer
from snnas.toolchain.checking.drift import Baseline, check_drift, moved, read_baseline, write_baseline
from snnas.toolchain.checking.export_folder import check_folder
from snnas.toolchain.checking.figures import of_program
from snnas.toolchain.checking.findings import Book, Figure, Policy, amount_of
from snnas.toolchain.checking.lone_nir import check_nir
from snnas.toolchain.checking.lone_onnx import check_onnx
from snnas.toolchain.checking.options import CheckOptions, parse_ignored
from snnas.toolchain.searching.budgets import CHECK_TABLE, GATED, Limits, excesses, read_budget

BUDGET_NAME, BASELINE_NAME = "budget.toml", "baseline.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectFigures:
    """figures: of the subject, by metric. samples: the file of those that they are measured on. why: there are none."""

    figures: dict[str, float | None] = field(default_factory=dict)
    samples: Path | None = None
    why: str = ""


def check(path: Path, options: CheckOptions) -> Book:
    """Everything that is found, in the order of the rules; what an earlier breach keeps from running is left out.

    UsageError for what the command line asks in vain; a fault of the subject is a finding, never an error.
    """
    kind = kind_of(path)
    _only_of_graphs(path, kind, options)
    if options.update_baseline:
        refuse_in_ci("--update-baseline", options.in_ci)
    budget = options.budget or _budget_beside(path)
    ignored = options.ignored | (_ignored(budget) if budget else frozenset())
    policy = Policy(strict=options.strict, portable=options.portable, ignored=ignored)
    book = Book(subject=path, kind=kind, policy=policy)
    if budget is not None and options.budget is None:
        book.note(f"budget: {budget}, found beside the graph")
    limits = {**(read_budget(budget, names=GATED) if budget else {}), **options.limits}
    if not check_arrival(book):
        return book
    measured = _measured(book, options, bool(limits) or options.judges)
    if not book.bad("SN1", "SN2"):
        _gates(book, options, limits, measured)
    return book


def _only_of_graphs(path: Path, kind: str, options: CheckOptions) -> None:
    given = {"--record": options.record, "--recording": options.recording, "--bits": options.reading.bits}
    for option in (name for name, value in given.items() if value is not None):
        if kind == "export folder":
            has = "says its own" if option == "--bits" else "has its own (golden.npz)"
            raise UsageError(f"{option}: of a lone .nir or .onnx; the export {path} {has}")
        if kind == "ONNX model" and option == "--bits":
            raise UsageError(f"{option}: of a lone .nir; {path} holds a float network")


def _budget_beside(path: Path) -> Path | None:
    found = (path if path.is_dir() else path.parent) / BUDGET_NAME
    return found if found.is_file() else None


def _ignored(budget: Path) -> frozenset[str]:
    """``[check] ignore = ["SN206"]`` of the budget file."""
    table = read_table(budget).get(CHECK_TABLE, {})
    codes = table.get("ignore", []) if isinstance(table, dict) and set(table) <= {"ignore"} else None
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise InvalidFileError(f"{budget}: [{CHECK_TABLE}] is {brief(table)}; expected ignore = [CODE, ...]")
    try:
        return parse_ignored(codes)
    except UsageError as error:
        raise InvalidFileError(f"{budget}: {error}") from None


def _measured(book: Book, options: CheckOptions, judged: bool) -> SubjectFigures:
    """The rules of the subject's kind; its figures, where something judges them."""
    if book.kind == "export folder":
        return SubjectFigures(figures=check_folder(book), samples=book.subject / "stimulus.npz")
    if book.kind == "ONNX model":
        figures, samples = check_onnx(book, options)
        return SubjectFigures(figures=figures, samples=samples, why="no recording")
    lone = check_nir(book, options)
    if lone.subject is None or not judged:
        return SubjectFigures(samples=lone.recording, why=lone.why)
    try:
        return SubjectFigures(figures=of_program(lone.subject, options.pricing), samples=lone.recording)
    except SnnasError as error:
        if isinstance(error, UsageError):
            raise
        book.note(f"no figures: {error}")
        return SubjectFigures(samples=lone.recording, why=str(error))


def _digest(samples: Path | None) -> str:
    """Of the samples that figures are measured on; '' where there are none."""
    if samples is None or not samples.is_file():
        return ""
    try:
        x = read_npz(samples, what="samples").get("x")
    except SnnasError:
        return ""
    return "" if x is None else digest.of_array(x)


def _gates(book: Book, options: CheckOptions, limits: Limits, measured: SubjectFigures) -> None:
    """SN4xx and SN5xx; the baseline written, where that is asked for and nothing else is wrong."""
    figures, stimulus = measured.figures, _digest(measured.samples)
    for name, limit in limits.items():
        value = figures.get(name)
        over = excesses({name: limit}, {name: value})
        least = GATED[name].least
        good = f"{value:.6g} {'>=' if least else '<='} {limit:.6g}" if value is not None else ""
        problem = str(over[0]) if over else None
        if problem and not figures:
            problem = f"there is no figure for {name}: {measured.why or 'nothing was measured'}"
        book.judge(GATED[name].rule, f"{'min' if least else 'max'} {name}", problem, good)
    book.figures = {
        name: Figure(metric=name, unit=GATED[name].unit, value=figures.get(name), limit=limits.get(name))
        for name in GATED
        if name in figures or name in limits
    }
    path = options.baseline or (_beside(book.subject) if options.update_baseline else None)
    if path is None:
        return
    if options.update_baseline:
        _update(book, path, figures, stimulus)
        return
    known = book.attempt("SN502", "baseline", lambda: _baseline(path), path, asked=True)
    if known is None:
        return
    check_drift(book, path, known, figures, stimulus, options.tolerances)
    for name, then in known.figures.items():
        now = book.figures.get(name, Figure(metric=name, unit=GATED[name].unit, value=None))
        book.figures[name] = replace(now, baseline=then)


def _beside(subject: Path) -> Path:
    return (subject if subject.is_dir() else subject.parent) / BASELINE_NAME


def _baseline(path: Path) -> Baseline:
    refuse_pointer(path)
    return read_baseline(path)


def _update(book: Book, path: Path, figures: dict[str, float | None], stimulus: str) -> None:
    if book.exit_code:
        book.note(f"{path} is left as it was: the check did not pass")
    elif not any(value is not None for value in figures.values()):
        book.note(f"{path} is left as it was: there are no figures")
    else:
        changes = _changes(path, figures)
        write_baseline(path, figures, stimulus)
        changed = "" if changes is None else f", {amount_of(len(changes), 'figure')} changed"
        book.note(f"baseline written: {path}{changed}")
        for change in changes or ():
            book.note(f"baseline: {change}")


def _changes(path: Path, figures: dict[str, float | None]) -> list[str] | None:
    """What an update says of the baseline that it replaces; None where there is none to compare with."""
    if not path.is_file():
        return None
    try:
        known = read_baseline(path)
    except InvalidFileError:
        return None
    return moved(known, figures)
