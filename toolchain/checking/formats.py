"""How a check is told: text, json, junit, markdown and github; on stdout or to files, several at once.

Every text of a finding is one harmless line already (``findings.shown``); what a format itself reads as its own
signs is escaped here.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_sim.errors import UsageError, did_you_mean
from toolchain.checking.findings import Book, Finding, exit_code, shown
from toolchain.checking.junit import junit
from toolchain.checking.rules import RULES
from toolchain.files import write_text
from toolchain.terminal import print_table, print_text

SCHEMA, SEVERAL = "snnas.check/2", "snnas.checks/1"
SUMMARY_BYTES = 900_000  # GitHub takes 1 MiB per step and drops the whole summary above
ANNOTATIONS = 10  # of each level that GitHub shows per step
WORST = ("invalid", "unsupported", "failed", "warned", "skipped", "passed")


@dataclass(frozen=True, slots=True)
class Sink:
    """One --format: its name, and the file that it goes to; None is stdout."""

    name: str
    path: Path | None


def parse_formats(items: Sequence[str], as_json: bool) -> list[Sink]:
    """``junit=out.xml github``; text where nothing else goes to stdout. UsageError names what is wrong."""
    sinks = []
    for item in items:
        name, equals, path = item.partition("=")
        if name not in NAMES:
            raise UsageError(f"--format {item[:60]!r}: expected {', '.join(NAMES)}{did_you_mean(name, NAMES)}")
        if equals and not path:
            raise UsageError(f"--format {item[:60]!r}: expected a file behind the =")
        sinks.append(Sink(name, Path(path) if path else None))
    sinks += [Sink("json", None)] if as_json and Sink("json", None) not in sinks else []
    here = [s.name for s in sinks if s.path is None]
    if not here:
        sinks.insert(0, Sink("text", None))
    elif len(here) > 1 and not set(here) <= {"text", "github"}:
        raise UsageError(f"--format {' and '.join(here)} on one stdout; send all but one to files: --format junit=FILE")
    return sinks


def tell(books: Sequence[Book], sinks: Sequence[Sink], *, strict: bool) -> None:
    """Every format to its place; files whole or not at all."""
    for sink in sinks:
        if sink.name == "text" and sink.path is None:
            for book in books:
                _print(book)
            continue
        text = _WRITERS[sink.name](books, strict)
        if sink.path is None:
            print_text(text.removesuffix("\n"))
        else:
            write_text(sink.path, text if text.endswith("\n") else f"{text}\n")


# ------------------------------------------------------------------------------------------------------ text and JSON


def _print(book: Book) -> None:
    from rich.table import Table

    out = Table(show_header=False, title=f"check of {book.subject} ({book.kind})", title_justify="left")
    for _ in range(3):
        out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    for f in book.findings:
        out.add_row(f.status, f.code, f.name, f.detail)
    print_table(out)
    for note in book.notes:
        sys.stderr.write(f"note: {note}\n")


def _text(books: Sequence[Book], strict: bool) -> str:
    lines = []
    for book in books:
        lines.append(f"check of {shown(str(book.subject))} ({book.kind})")
        lines += [f"  {f.status:<11} {f.code}  {f.name}: {f.detail}" for f in book.findings]
        lines += [f"  note: {note}" for note in book.notes]
    return "\n".join(lines)


def as_data(book: Book, strict: bool) -> dict[str, Any]:
    """The JSON of one subject. Names are only ever added."""
    findings = [
        {"code": f.code, "group": f.group, "name": f.name, "status": f.status, "detail": f.detail, "place": f.place}
        for f in book.findings
    ]
    figures = {
        name: {"unit": f.unit, "value": f.value, "baseline": f.baseline, "limit": f.limit}
        for name, f in book.figures.items()
    }
    code = exit_code(book.findings, strict=strict)
    return {
        "schema": SCHEMA,
        "subject": shown(str(book.subject)),
        "kind": book.kind,
        "exit_code": code,
        "findings": findings,
        "figures": figures,
        "notes": list(book.notes),
    }


def _json(books: Sequence[Book], strict: bool) -> str:
    parts = [as_data(book, strict) for book in books]
    whole = parts[0] if len(parts) == 1 else {"schema": SEVERAL, "exit_code": total(books, strict), "checks": parts}
    return json.dumps(whole, indent=2, allow_nan=False)


def total(books: Sequence[Book], strict: bool) -> int:
    """The exit code of several checks: that of all findings together."""
    return exit_code([f for book in books for f in book.findings], strict=strict)


# --------------------------------------------------------------------------------------------- for pipelines' own eyes


def escaped(text: str) -> str:
    """Plain text in a Markdown table: no markup, no HTML, no column or link of its own."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~@:-])", r"\\\1", html.escape(shown(text), quote=False))


def _markdown(books: Sequence[Book], strict: bool) -> str:
    out: list[str] = []
    for book in books:
        code = exit_code(book.findings, strict=strict)
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


def _github(books: Sequence[Book], strict: bool) -> str:
    """Workflow commands, the worst first: GitHub shows ten of each level per step."""
    lines: list[str] = []
    every = _worst_first([f for book in books for f in book.findings])
    for level, states in (("error", WORST[:3]), ("warning", ("warned",))):
        found = [f for f in every if f.status in states]
        for f in found[:ANNOTATIONS]:
            title = f"{f.code} {RULES[f.code].title}"
            lines.append(
                f"::{level} file={_property(f.place)},title={_property(title)}::{_data(f'{f.name}: {f.detail}')}"
            )
        if len(found) > ANNOTATIONS:
            lines.append(f"::notice::{len(found) - ANNOTATIONS} more of level {level} are not shown here")
    code = total(books, strict)
    lines.append(f"::notice::snnas check: {'passed' if code == 0 else f'exit {code}'}, {len(every)} checks")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_WRITERS: dict[str, Callable[[Sequence[Book], bool], str]] = {
    "text": _text,
    "json": _json,
    "junit": lambda books, strict: junit(books, strict=strict),
    "markdown": _markdown,
    "github": _github,
}
NAMES = tuple(_WRITERS)
