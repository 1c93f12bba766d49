"""``snnas check GRAPH``: the road through all rules, for an export folder, a .nir or an .onnx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.npz_file import read_npz
from hw_sim.errors import SnnasError, UsageError
from toolchain.budgets import GATED, Limits, excesses, read_budget
from toolchain.checking import content
from toolchain.checking.drift import check_drift, read_baseline, write_baseline
from toolchain.checking.export_folder import check_folder
from toolchain.checking.figures import of_program
from toolchain.checking.findings import Book, Figure
from toolchain.checking.lone_nir import check_nir
from toolchain.checking.lone_onnx import check_onnx
from toolchain.checking.options import Options
from toolchain.checking.replay import refuse_in_ci

Figures = dict[str, float | None]
BUDGET_NAME, BASELINE_NAME = "budget.toml", "baseline.json"


def check(path: Path, options: Options) -> Book:
    """Everything that is found, in the order of the rules; what an earlier breach keeps from running is left out.

    UsageError for what the command line asks in vain; a fault of the subject is a finding, never an error.
    """
    book = Book(subject=path, kind=kind_of(path))
    if book.kind == "export folder":
        _only_of_graphs(path, options)
    if options.update_baseline:
        refuse_in_ci("--update-baseline", options.force)
    limits = _limits(book, options)
    figures, samples = _figures(book, options, bool(limits) or options.judges)
    if not book.bad("SN1", "SN2"):
        _gates(book, options, limits, figures, _digest(samples))
    return book


def kind_of(path: Path) -> str:
    """By the name alone; UsageError for what a check does not take."""
    if path.is_dir():
        return "export folder"
    kind = {".nir": "graph", ".onnx": "ONNX model"}.get(path.suffix)
    if not path.exists():
        raise UsageError(f"{path}: no such folder or file; expected one that snnas export wrote, a .nir or an .onnx")
    if kind is None:
        raise UsageError(f"{path}: expected a folder that snnas export wrote, a .nir or an .onnx")
    return kind


def _only_of_graphs(path: Path, options: Options) -> None:
    for option, given in (("--record", options.record), ("--recording", options.recording)):
        if given is not None:
            raise UsageError(f"{option}: of a lone .nir or .onnx; the export {path} has its own (golden.npz)")


def _limits(book: Book, options: Options) -> Limits:
    """Of the budget file and of the command line, which goes before it. A file beside the subject is found."""
    folder = book.subject if book.subject.is_dir() else book.subject.parent
    path = options.budget
    if path is None and (folder / BUDGET_NAME).is_file():
        path = folder / BUDGET_NAME
        book.note(f"budget: {path}, found beside the graph")
    found = read_budget(path, names=GATED) if path is not None else {}
    return {**found, **options.limits}


def _figures(book: Book, options: Options, judged: bool) -> tuple[Figures, Path | None]:
    """The rules of the subject's kind; its figures, where something judges them, and the file of its samples."""
    if book.kind == "export folder":
        return check_folder(book), book.subject / "stimulus.npz"
    if book.kind == "ONNX model":
        return check_onnx(book, options)
    lone = check_nir(book, options)
    if lone.subject is None or not judged:
        return {}, lone.recording
    try:
        return of_program(lone.subject, options.pricing), lone.recording
    except SnnasError as error:
        if isinstance(error, UsageError):
            raise
        book.note(f"no figures: {error}")
        return {}, lone.recording


def _digest(samples: Path | None) -> str:
    """Of the samples that figures are measured on; '' where there are none."""
    if samples is None or not samples.is_file():
        return ""
    try:
        x = read_npz(samples, what="samples").get("x")
    except SnnasError:
        return ""
    return "" if x is None else content.of_array(x)


def _gates(book: Book, options: Options, limits: Limits, figures: Figures, stimulus: str) -> None:
    """SN4xx and SN5xx; the baseline written, where that is asked for and nothing else is wrong."""
    for name, limit in limits.items():
        value = figures.get(name)
        over = excesses({name: limit}, {name: value})
        least = GATED[name].least
        good = f"{value:.6g} {'>=' if least else '<='} {limit:.6g}" if value is not None else ""
        problem = str(over[0]) if over else None
        if problem and not figures:
            problem = f"there is no figure for {name}: nothing was measured (no recording?)"
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
    known = book.attempt("SN502", "baseline", lambda: read_baseline(path), path, asked=True)
    if known is None:
        return
    check_drift(book, path, known, figures, stimulus, options.tolerances)
    for name, then in known.figures.items():
        now = book.figures.get(name, Figure(metric=name, unit=GATED[name].unit, value=None))
        book.figures[name] = replace(now, baseline=then)


def _beside(subject: Path) -> Path:
    return (subject if subject.is_dir() else subject.parent) / BASELINE_NAME


def _update(book: Book, path: Path, figures: Figures, stimulus: str) -> None:
    if not book.healthy:
        book.note(f"{path} is left as it was: the check did not pass")
    elif not any(value is not None for value in figures.values()):
        book.note(f"{path} is left as it was: there are no figures")
    else:
        write_baseline(path, figures, stimulus)
        book.note(f"baseline written: {path}")
