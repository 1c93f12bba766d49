"""``snnas check GRAPH``: the road through all rules, for an export folder, a .nir or an .onnx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UsageError, brief
from snnas.hw_sim.tables import read_table
from snnas.toolchain.checking.again import refuse_in_ci
from snnas.toolchain.checking.arrival import check_arrival, kind_of, refuse_pointer
from snnas.toolchain.checking.drift import Baseline, check_drift, moved, priced_by, read_baseline, write_baseline
from snnas.toolchain.checking.export_folder import check_folder
from snnas.toolchain.checking.findings import Book, Figure, Policy, amount_of
from snnas.toolchain.checking.made import OF_SAMPLES, Made
from snnas.toolchain.checking.options import CheckOptions, parse_ignored
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.searching.budgets import CHECK_TABLE, GATED, Limits, excesses, read_budget

BUDGET_NAME, BASELINE_NAME = "budget.toml", "baseline.json"


def check(path: Path, options: CheckOptions, narrator: Narrator | None = None) -> Book:
    """Everything that is found, in the order of the rules; what an earlier breach keeps from running is left out.

    UsageError for what the command line asks in vain; a fault of the subject is a finding, never an error.
    """
    kind = kind_of(path)
    _only_of_graphs(path, kind, options)
    if options.update_baseline:
        refuse_in_ci("--update-baseline", options.in_ci)
    beside = _beside(path, BUDGET_NAME)
    budget = options.budget or (beside if options.budgets and beside.is_file() else None)
    asked = _ignored(budget) if budget else frozenset()
    ignored = options.ignored | (asked if options.budget else frozenset())
    policy = Policy(strict=options.strict, portable=options.portable, ignored=ignored)
    book = Book(subject=path, kind=kind, policy=policy, narrator=narrator or Narrator(quiet=True))
    if budget is not None and options.budget is None:
        book.note(f"budget: {budget}, found beside the graph")
        if asked - ignored:
            book.note(f"it may not ignore {', '.join(sorted(asked - ignored))}: name it, --budget {budget}")
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


def _measured(book: Book, options: CheckOptions, judged: bool) -> Made:
    """The rules of the subject's kind; its figures, where something judges them."""
    if book.kind == "export folder":
        return check_folder(book, options, judged=judged)
    if book.kind == "ONNX model":
        from snnas.toolchain.checking.lone_onnx import check_onnx  # what most checks do not need

        figures, samples = check_onnx(book, options)
        return Made(figures=figures, judged=_recorded(samples), why="" if figures else "no recording")
    from snnas.toolchain.checking.lone_nir import check_nir

    lone = check_nir(book, options)
    if lone.subject is None or not judged:
        return Made(judged=_recorded(lone.recording), why=lone.why)
    from snnas.toolchain.checking.figures import of_program  # with all that runs and prices

    try:
        return replace(of_program(lone.subject, options.pricing), judged=_recorded(lone.recording))
    except SnnasError as error:
        if isinstance(error, UsageError):
            raise
        book.note(f"no figures: {error}")
        return Made(judged=_recorded(lone.recording), why=str(error))


def _recorded(place: Path | None) -> Samples | None:
    """The samples of a recording, as they are stored; None where there are none."""
    if place is None or not place.is_file():
        return None
    try:
        arrays = read_npz(place, what="samples")
    except SnnasError:
        return None
    return Samples(x=arrays["x"], y=arrays.get("y")) if "x" in arrays else None


def _gates(book: Book, options: CheckOptions, limits: Limits, made: Made) -> None:
    """SN4xx and SN5xx; the baseline written, where that is asked for and nothing else is wrong."""
    path = options.baseline or (_beside(book.subject, BASELINE_NAME) if options.update_baseline else None)
    known = None
    if path is not None and not options.update_baseline:
        known = book.attempt("SN502", "baseline", lambda: _baseline(path), path, asked=True)
    pinned = _pinned(book, made, known, writing=options.update_baseline)
    for name, limit in limits.items():
        _limit(book, name, limit, made, trusted=options.trust_report, pinned=pinned is not None)
    then, bands = (known.figures, known.bands) if known is not None else ({}, {})
    book.figures = {
        name: Figure(
            metric=name, unit=GATED[name].unit, value=made.figures.get(name), interval=made.intervals.get(name),
            limit=limits.get(name), baseline=then.get(name), band=made.bands.get(name), baseline_band=bands.get(name),
        )
        for name in (*(n for n in GATED if n in made.figures or n in limits), *then)
    }  # fmt: skip
    _check_pinned(book, limits, made, pinned, trusted=options.trust_report)
    _check_labels(book, limits, made, known, trusted=options.trust_report)
    if path is not None and options.update_baseline:
        _update(book, path, made, options)
    if path is not None and known is not None:
        check_drift(book, path, known, made, options.tolerances, priced_by(options.pricing))


def _limit(book: Book, name: str, limit: float, made: Made, *, trusted: bool, pinned: bool) -> None:
    """SN4xx of one metric."""
    value, more = made.binding(name, trusted=trusted, pinned=pinned)
    over = excesses({name: limit}, {name: value})
    least = GATED[name].least
    problem = f"{over[0]}{more}" if over else None
    if problem and value is None and name in made.claimed:
        problem = (
            f"{name} cannot be made again ({made.why or 'no labels'}); report.json claims {made.claimed[name]:.6g}: "
            "--trust-report judges by it"
        )
    elif problem and not made.figures:
        problem = f"there is no figure for {name}: {made.why or 'nothing was measured'}"
    good = f"{value:.6g} {'>=' if least else '<='} {limit:.6g}{more}" if value is not None else ""
    book.judge(GATED[name].rule, f"{'min' if least else 'max'} {name}", problem, good)


def _pinned(book: Book, made: Made, known: Baseline | None, *, writing: bool) -> str | None:
    """How the caller has named the samples; None where an export's are its own choice."""
    if book.kind != "export folder":
        return "those of the recording"
    if made.judged is not None and made.judged.given is not None:
        return "given with --data"
    return "those of the baseline" if writing or (known is not None and known.stimulus) else None


def _check_pinned(book: Book, limits: Limits, made: Made, pinned: str | None, *, trusted: bool) -> None:
    """SN312: the samples of an export that limits are judged on are those that the caller names, or trusts."""
    if book.kind != "export folder" or made.judged is None or not OF_SAMPLES & set(limits):
        return
    what = amount_of(len(made.judged), "sample")
    why = (
        f"{what} and their labels are the folder's own choice: bring yours with --data, pin them with --baseline, or "
        "take them with --trust-report"
    )
    named = pinned or ("the folder's own choice (--trust-report)" if trusted else None)
    book.judge("SN312", "samples judged", None if named else why, f"{what}, {named}")


def _check_labels(book: Book, limits: Limits, made: Made, known: Baseline | None, *, trusted: bool) -> None:
    """SN312 again: a baseline that pins samples and no labels lets a folder write the labels that it answers."""
    if book.kind != "export folder" or made.judged is None or made.judged.given is not None or trusted:
        return
    if known is None or known.labels or not known.stimulus or not made.judged.labels:
        return
    if "accuracy" in limits or "accuracy" in known.figures:
        why = (
            "the baseline pins the samples and not their labels, which are the folder's own choice: write it again "
            "with --update-baseline, bring yours with --data, or take the folder's with --trust-report"
        )
        book.add("SN312", "labels judged", "failed", why)


def _beside(subject: Path, name: str) -> Path:
    return (subject if subject.is_dir() else subject.parent) / name


def _baseline(path: Path) -> Baseline:
    refuse_pointer(path)
    return read_baseline(path)


def _update(book: Book, path: Path, made: Made, options: CheckOptions) -> None:
    figures = made.figures
    if book.exit_code:
        book.note(f"{path} is left as it was: the check did not pass")
    elif not any(value is not None for value in figures.values()):
        book.note(f"{path} is left as it was: there are no figures")
    else:
        changes = _changes(path, figures)
        write_baseline(path, figures, made.judged, priced_by(options.pricing), made.bands)
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
