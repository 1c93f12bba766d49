"""A check for pipelines' own eyes: Markdown for a step's summary, and GitHub's workflow commands."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from snnas.toolchain.checking.findings import Book, Finding, exit_code, shown
from snnas.toolchain.checking.rules.rules import RULES

SUMMARY_BYTES = 900_000  # GitHub takes 1 MiB per step and drops the whole summary above
ANNOTATIONS = 10  # of each level that GitHub shows per step
WORST = ("invalid", "unsupported", "failed", "warned", "ignored", "skipped", "passed")


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
            out += ["| figure | now | baseline | limit |", "|---|---:|---:|---:|"]
            for name, f in book.figures.items():
                cells = (_number(v, f.unit) for v in (f.value, f.baseline, f.limit))
                out.append(f"| {escaped(name)} | {' | '.join(cells)} |")
            out.append("")
        out += [f"- {escaped(note)}" for note in book.notes]
    return _cut(out)


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
