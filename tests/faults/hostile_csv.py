"""Changes to tables of text: cells, quotes, separators, columns, rows."""

from __future__ import annotations

import csv
import io
from random import Random

from tests.faults.hostile_bytes import scrambled
from tests.faults.hostile_trees import NUMBERS, STRINGS

CELLS = (*STRINGS, *map(str, NUMBERS), "9" * 5000, "x" * 140_000, "1e999", "٣", "1_0", " 1 ", "0x1", "12.5", "000000")


def csv_text(rng: Random, text: str) -> bytes:
    """A hostile table made of a healthy one."""
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(rng.randint(1, 4)):
        _change(rng, rows)
    out = io.StringIO()
    csv.writer(out, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows(rows)
    data = out.getvalue()
    if rng.random() < 0.2:
        data = data.replace(rng.choice((",", "\n", '"', "\r\n")), rng.choice((";", "\t", '"', "\r", ",,", "\0", "")))
    plain = data.encode("utf-8", "surrogatepass")
    return scrambled(rng, plain, front=80) if rng.random() < 0.3 else plain


def _change(rng: Random, rows: list[list[str]]) -> None:
    if not rows:
        return
    at, kind = rng.randrange(len(rows)) if rng.random() < 0.7 else 0, rng.randrange(6)
    row = rows[at]
    if kind <= 2 and row:
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    elif kind == 3:
        row.insert(rng.randrange(len(row) + 1), rng.choice(CELLS))
    elif kind == 4:
        del row[rng.randrange(len(row) + 1) :]
    else:
        rows[at : at + 1] = rng.choice(([], [row, row], [rng.sample(row, len(row))]))
