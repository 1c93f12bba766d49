"""A check for pipelines' own eyes: Markdown for a step's summary, and GitHub's workflow commands."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence

from snnas.hw_sim.energy.profile import Band
from snnas.toolchain.checking.findings import Book, Figure, Finding, exit_code, shown
from snnas.toolchain.checking.rules.rules import RULES
from snnas.toolchain.searching.budgets import GATED

SUMMARY_BYTES = 900_000  # GitHub takes 1 MiB per step and drops the whole summary above
ANNOTATIONS = 10  # of each level that GitHub shows per step
WORST = ("invalid", "unsupported", "failed", "warned", "ignored", "skipped", "passed")
BANDS = (
    "An interval is over the samples; a band (low .. nominal .. high) is of the constants that price, and its upper "
    "end is what is judged."
)


def escaped(text: str) -> str:
    """Plain text in a Markdown table: no markup, no HTML, no column or link of its own."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~@:-])", r"\\\1", html.escape(shown(text), quote=False))


def markdown(books: Sequence[Book]) -> str:
    """For a pipeline's summary: what did not pass, and the figures beside baseline and limit."""
    out: list[str] = []
    for book in books:
        code = book.exit_code
        verdict = "passed" if code == 0 else f"did not pass (exit {code})"
        out += [f"### snnas check of {escaped(str(book.subject))}: {verdict}", ""]
        rows = [f for f in _worst_first(book.findings) if f.status != "passed"]
        if rows:
            out += ["| status | code | check | detail |", "|---|---|---|---|"]
            out += [f"| {f.status} | {f.code} | {escaped(f.name)} | {escaped(f.detail)} |" for f in rows]
            out.append("")
        passed = sum(f.status == "passed" for f in book.findings)
        out += [f"{passed} of {len(book.findings)} checks passed.", ""]
        if book.figures:
            out += [*_figures(book.figures.values()), ""]
        out += [f"- {escaped(note)}" for note in book.notes]
    return _cut(out)


def _figures(figures: Iterable[Figure]) -> list[str]:
    """A table of figures beside their baseline, what got worse first; intervals are over the samples, bands are not."""
    rows = sorted(((f, *_change(f)) for f in figures), key=lambda row: row[1], reverse=True)
    head = "| figure | now | 95 % interval, or band | baseline | its band | change | limit |"
    out = [head, "|---|---:|---:|---:|---:|---:|---:|"]
    for f, _, told in rows:
        interval = " to ".join(f"{end:.4g}" for end in f.interval) if f.interval else _band(f.band)
        now, then, limit = (_number(value, f.unit) for value in (f.value, f.baseline, f.limit))
        cells = now, interval, then, _band(f.baseline_band), told, limit
        out.append(f"| {escaped(f.metric)} | {' | '.join(cells)} |")
    if any(f.band or f.baseline_band for f, _, _ in rows):
        out += ["", BANDS]
    return out


def _band(band: Band | None) -> str:
    return f"{band.low:.4g} .. {band.nominal:.4g} .. {band.high:.4g}" if band else ""


def _change(figure: Figure) -> tuple[float, str]:
    """By what share of the baseline a figure is worse (below 0: better), and that in words."""
    now, then = figure.value, figure.baseline
    if then is None:
        return 0.0, ""
    if now is None:
        return math.inf, "gone"
    worse = then - now if GATED[figure.metric].least else now - then
    share = worse / abs(then) if then else math.copysign(math.inf, worse) if worse else 0.0
    if abs(share) < 5e-10:
        return 0.0, "as before"
    size = f"{now - then:+.4g}" if math.isinf(share) else f"{(now - then) / abs(then):+.2%}"
    return share, f"{size} {'worse' if worse > 0 else 'better'}"


def _cut(lines: list[str]) -> str:
    kept, size = [], 0
    for number, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > SUMMARY_BYTES:
            kept += ["", f"{len(lines) - number} lines more are left out; the JSON format has them all."]
            break
        kept.append(line)
    return "\n".join(kept)


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.6g}{f' {unit}' if unit else ''}"


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: WORST.index(f.status))


def github(books: Sequence[Book]) -> str:
    """Workflow commands, the worst first: GitHub shows ten of each level per step. What is ignored is none of them."""
    lines: list[str] = []
    every = _worst_first([f for book in books for f in book.findings])
    told = [f for f in every if f.fails or f.status == "warned"]
    for level, fails in (("error", True), ("warning", False)):
        found = [f for f in told if f.fails is fails]
        for f in found[:ANNOTATIONS]:
            title = f"{f.code} {RULES[f.code].title}"
            lines.append(
                f"::{level} file={_property(f.place)},title={_property(title)}::{_data(f'{f.name}: {f.detail}')}"
            )
        if len(found) > ANNOTATIONS:
            lines.append(f"::notice::{len(found) - ANNOTATIONS} more of level {level} are not shown here")
    code = exit_code(every)
    lines.append(f"::notice::snnas check: {'passed' if code == 0 else f'exit {code}'}, {len(every)} checks")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
