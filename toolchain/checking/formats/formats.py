"""How a check is told: text, json, junit, sarif, markdown and github; on stdout or to files, several at once.

Every text of a finding is one harmless line already (``findings.shown``); what a format itself reads as its own
signs is escaped by that format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.hw_sim.files import write_text
from snnas.toolchain.checking.findings import Book, exit_code, shown
from snnas.toolchain.checking.formats import text
from snnas.toolchain.checking.formats.junit import junit
from snnas.toolchain.checking.formats.markup import github, markdown
from snnas.toolchain.checking.formats.sarif import sarif
from snnas.toolchain.output.stdout import print_text

SCHEMA, SEVERAL = "snnas.check/2", "snnas.checks/1"


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


def tell(books: Sequence[Book], sinks: Sequence[Sink], *, quiet: bool = False) -> None:
    """Every format to its place; files whole or not at all. quiet: on stdout, of text, what fails alone."""
    for sink in sinks:
        if sink.name == "text" and sink.path is None:
            for book in books:
                text.show(book, quiet=quiet)
            continue
        written = _WRITERS[sink.name](books)
        if sink.path is None:
            print_text(written.removesuffix("\n"))
        else:
            write_text(sink.path, written if written.endswith("\n") else f"{written}\n")


def as_data(book: Book) -> dict[str, Any]:
    """The JSON of one subject. Names are only ever added."""
    findings = [
        {"code": f.code, "group": f.group, "name": f.name, "status": f.status, "detail": f.detail, "place": f.place}
        for f in book.findings
    ]
    figures = {
        name: {"unit": f.unit, "value": f.value, "baseline": f.baseline, "limit": f.limit}
        | ({"interval": list(f.interval)} if f.interval else {})
        | ({"band": asdict(f.band)} if f.band else {})
        | ({"baseline_band": asdict(f.baseline_band)} if f.baseline_band else {})
        for name, f in book.figures.items()
    }
    return {
        "schema": SCHEMA,
        "subject": shown(str(book.subject)),
        "kind": book.kind,
        "exit_code": book.exit_code,
        "findings": findings,
        "figures": figures,
        "notes": list(book.notes),
        "not_checked": list(book.unchecked),
    }


def as_whole(books: Sequence[Book]) -> dict[str, Any]:
    """The JSON of a check: of its one subject, or of several."""
    parts, total = [as_data(book) for book in books], exit_code([f for book in books for f in book.findings])
    return parts[0] if len(parts) == 1 else {"schema": SEVERAL, "exit_code": total, "checks": parts}


def _json(books: Sequence[Book]) -> str:
    return json.dumps(as_whole(books), indent=2, allow_nan=False)


_WRITERS: dict[str, Callable[[Sequence[Book]], str]] = {
    "text": text.plain,
    "json": _json,
    "junit": junit,
    "sarif": sarif,
    "markdown": markdown,
    "github": github,
}
NAMES = tuple(_WRITERS)
