"""Tables within a width: prose is folded, figures never are, and where there is no room the last column goes under.

A figure and its unit, the ends of a range and ``T = 8`` stay on one line; in plain text every word does, so that a path
can be found in a log and copied from it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

LEAST = 24  # characters of a folded column
ROOM = 40  # that the last column has beside the others, or what does not fit there goes under its row
INDENT = 4
HELD = "\u00a0"
_TOGETHER = re.compile(r"(?<=\d) (?=[%a-zA-Z]{1,4}\b|%)| (?=\.\. )|(?<= \.\.) (?=\S)|(?<=\w) (?== )|(?<==) (?=\S)")


@dataclass(frozen=True, slots=True)
class Fitted:
    """head, rows: a list of lines for every cell. under: the lines beneath each row. ends: rows that end a part."""

    head: list[str]
    rows: list[list[list[str]]]
    under: list[list[str]]
    right: list[bool]
    ends: list[bool]


def fitted(table: Table, width: int, *, gap: int, edge: int = 0, plain: bool = False) -> Fitted:
    """The table's cells, folded to ``width``. gap: between columns; edge: around all.

    plain: the last column may go under its rows, and a word that is too long stays whole.
    """
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    heads = [str(column.header) for column in table.columns] if table.show_header else [""] * len(columns)
    right = [column.justify == "right" for column in table.columns]
    wide = [max(map(len, (head, *cells)), default=0) for head, cells in zip(heads, columns, strict=True)]
    prose = [not r and any(map(_is_prose, cells)) for r, cells in zip(right, columns, strict=True)]
    notes: list[str] = []

    def over() -> int:
        return edge + sum(wide) + gap * (len(wide) - 1) - width

    def put_under() -> None:
        room = wide[-1] - over()
        notes[:] = [cell if len(cell) > room else "" for cell in columns[-1]]
        columns[-1] = ["" if note else cell for note, cell in zip(notes, columns[-1], strict=True)]
        heads[-1] = heads[-1] if len(heads[-1]) <= room and any(columns[-1]) else ""
        wide[-1], prose[-1] = max(map(len, (heads[-1], *columns[-1])), default=0), False

    last_under = plain and len(columns) > 1
    if last_under and prose[-1] and over() > 0 and wide[-1] - over() < ROOM:
        put_under()
    while over() > 0:
        loose = [k for k, is_prose in enumerate(prose) if is_prose and wide[k] > LEAST]
        if not loose:
            break
        k = max(loose, key=lambda k: wide[k])
        next_wide = max([wide[j] for j in loose if wide[j] < wide[k]], default=LEAST)
        wide[k] = max(LEAST, next_wide - 1, wide[k] - over()) if len(loose) > 1 else max(LEAST, wide[k] - over())
    if last_under and over() > 0 and not (right[-1] or notes):  # short notes, which are not folded, among figures
        put_under()
    rows = [
        [_fold(cell, wide[k], whole=plain) if prose[k] else [cell] for k, cell in enumerate(cells)]
        for cells in zip(*columns, strict=True)
    ]
    return Fitted(
        head=heads,
        rows=rows,
        under=[_fold(note, width - INDENT, whole=plain) if note else [] for note in notes or [""] * len(rows)],
        right=right,
        ends=[bool(row.end_section) for row in table.rows],
    )


def lines(table: Table, width: int) -> Iterator[str]:
    """Plain aligned text, as a log keeps it: no boxes, no colours, two spaces between columns."""
    found = fitted(table, width, gap=2, plain=True)
    every = [[[head] for head in found.head], *found.rows]
    wide = [max((len(line) for row in every for line in row[k]), default=0) for k in range(len(found.head))]
    if any(found.head):
        yield _line(found.head, wide, found.right)
        yield _line(["-" * w for w in wide], wide, found.right)
    for row, under, ends in zip(found.rows, found.under, found.ends, strict=True):
        for k in range(max(map(len, row))):
            yield _line([cell[k] if k < len(cell) else "" for cell in row], wide, found.right)
        yield from (" " * INDENT + line for line in under)
        if ends:
            yield ""


def boxed(table: Table, width: int) -> Table:
    """The same table for a terminal, its cells folded here, so that no figure is split."""
    found = fitted(table, width, gap=3, edge=4)
    for k, column in enumerate(table.columns):
        column.no_wrap = all(len(row[k]) == 1 for row in found.rows)
        column._cells = ["\n".join(row[k]) for row in found.rows]
    return table


def held(text: str) -> str:
    """``text`` with HELD for each space that no line may end at."""
    return _TOGETHER.sub(HELD, text)


def _line(cells: Sequence[str], wide: Sequence[int], right: Sequence[bool]) -> str:
    parts = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, wide, right, strict=True))
    return "  ".join(parts).rstrip()


def _is_prose(cell: str) -> bool:
    """Words that may be folded: no figure, no name."""
    return len(cell) > LEAST and len(re.findall(r"[A-Za-z]{2,}", cell)) > 1


def _fold(cell: str, width: int, *, whole: bool) -> list[str]:
    """Lines of at most ``width`` characters. whole: words that are longer stay as they are."""
    indent = cell[: len(cell) - len(cell.lstrip())]
    if len(cell) <= width:
        return [cell]
    folded = textwrap.wrap(
        held(cell.strip()), max(width, 1), initial_indent=indent, break_long_words=not whole, break_on_hyphens=False
    )
    return [line.replace(HELD, " ") for line in folded] or [""]
