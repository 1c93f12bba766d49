"""A check as text: a table for people, lines for logs, and one line that sums it up and says what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from snnas.toolchain.checking.findings import Book, Finding, amount_of, shown
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table, print_text

if TYPE_CHECKING:
    from rich.table import Table

CODES = 6  # that a summary names
OF_RECORDING = ("SN302", "SN305", "SN306")  # what a change that is meant breaks


def show(book: Book, *, quiet: bool) -> None:
    """The table and its summary on stdout, notes on stderr. quiet: of what fails alone, and nothing where it passed."""
    told = [f for f in book.findings if f.fails or not quiet]
    if not told:
        return
    print_table(table(book, told))
    for line in summary(book):
        print_text(line)
    for note in () if quiet else book.notes:
        Narrator().note(note)


def table(book: Book, findings: Iterable[Finding]) -> Table:
    """A subject's findings, a row each."""
    from rich.table import Table

    out = Table(show_header=False, title=shown(_title(book)), title_justify="left")
    for _ in range(3):
        out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    for f in findings:
        out.add_row(f.status, f.code, f.name, f.detail)
    return out


def plain(books: Sequence[Book]) -> str:
    lines = []
    for book in books:
        lines.append(shown(_title(book)))
        lines += [f"  {f.status:<11} {f.code}  {f.name}: {f.detail}" for f in book.findings]
        lines += [f"  note: {note}" for note in book.notes]
        lines += [f"  {line}" for line in summary(book)]
    return "\n".join(lines)


def summary(book: Book) -> list[str]:
    """Passed or FAILED with codes, what was not checked, and the next command; a second line where it may be meant."""
    failing = [f for f in book.findings if f.fails]
    warned = [f for f in book.findings if f.status == "warned" and not f.fails]
    ignored = [f for f in book.findings if f.status == "ignored"]
    rest = [f"{amount_of(len(warned), 'warning')} ({_codes(warned)})"] if warned else []
    rest += [f"{len(ignored)} ignored ({_codes(ignored)})"] if ignored else []
    if book.unchecked:
        rest.append(f"not checked: {', '.join(book.unchecked)}")
    checks = amount_of(len(book.findings), "check")
    if not failing:
        return ["; ".join([f"passed: {checks}", *rest])]
    failed = f"FAILED: {len(failing)} of {checks} ({_codes(failing)})"
    lines = ["; ".join([failed, *rest, f"snnas explain {failing[0].code}"])]
    if book.meant and any(f.code in OF_RECORDING for f in failing):
        lines.append(f"meant? record again with: {book.meant}")
    return lines


def _title(book: Book) -> str:
    return f"check of {book.subject} ({book.kind})"


def _codes(found: Iterable[Finding]) -> str:
    codes = list(dict.fromkeys(f.code for f in found))
    return ", ".join(codes[:CODES]) + (", ..." if len(codes) > CODES else "")
