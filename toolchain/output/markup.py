"""HTML and SVG as trees of text: everything is escaped, unless this module made it.

``el`` escapes its plain strings and keeps ``Raw`` ones, so that no name of a run, a file or an operation can become
markup. What would steer a reader's eye (controls, half surrogates, overrides of the writing direction) becomes a ``?``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from snnas.hw_sim.errors import printable

# Unicode TR 9's marks, embeddings, overrides and isolates: a name may be right-to-left, but not turn its surroundings.
DIRECTION = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
MOST_ROWS = 400
MOST_TEXT = 2000
VOID = frozenset({"br", "col", "hr", "img", "meta"})


class Raw(str):
    """Text that is markup already."""

    __slots__ = ()


Part = str | int | None


def escape(text: object) -> Raw:
    """``text`` in one line, harmless in an element and in an attribute."""
    return Raw(html.escape(DIRECTION.sub("?", printable(str(text))), quote=True))


def el(name: str, /, *parts: Part | Iterable[Part], **attributes: str | float | bool | None) -> Raw:
    """An element. Attributes: ``class_`` for class, ``_`` for ``-``; True: without a value; None and False: absent."""
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{number(value) if isinstance(value, (int, float)) else escape(value)}"')
    head = f"<{' '.join(words)}>"
    return Raw(head) if name in VOID else Raw(f"{head}{join(*parts)}</{name}>")


def join(*parts: Part | Iterable[Part]) -> Raw:
    """Parts one after the other, plain text escaped, 2,000 characters of it."""
    found: list[str] = []
    for part in parts:
        if isinstance(part, Raw):
            found.append(part)
        elif isinstance(part, (str, int)):
            said = str(part)
            found.append(escape(said if len(said) <= MOST_TEXT else f"{said[:MOST_TEXT]}…"))
        elif part is not None:
            found.append(join(*part))
    return Raw("".join(found))


def number(value: float) -> str:
    """A coordinate: at most two decimals, so that equal pictures are equal bytes."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def table(
    head: Sequence[Part],
    rows: Iterable[Sequence[Part]],
    *,
    label: str,
    left: int = 1,
    class_: str | None = None,
    ends: frozenset[int] = frozenset(),
) -> Raw:
    """A table in a box that scrolls sideways where the page is narrow, by keys too.

    left: how many first columns are text and set left; the others are figures. ends: rows after which a rule is drawn.
    At most 400 rows are shown; a line says so.
    """
    body, rows = [], list(rows)
    for at, row in enumerate(rows[:MOST_ROWS]):
        cells = [
            el("th" if k == 0 else "td", cell, scope="row" if k == 0 else None, class_=None if k < left else "n")
            for k, cell in enumerate(row)
        ]
        body.append(el("tr", cells, class_="end" if at in ends else None))
    tops = [el("th", cell, scope="col", class_=None if k < left else "n") for k, cell in enumerate(head)]
    inner = el("table", el("thead", el("tr", tops)), el("tbody", body), class_=class_)
    more = note(f"The first {MOST_ROWS} of {len(rows):,} rows.") if len(rows) > MOST_ROWS else None
    return el("div", inner, more, class_="scroll", tabindex=0, role="region", aria_label=label)


def row_name(name: str) -> Raw:
    """The name of a table's row; an indented one is a part of the row above."""
    return el("span", name.strip(), class_="sub" if name.startswith(" ") else None)


def details(summary: Part, *parts: Part | Iterable[Part]) -> Raw:
    """What is shown on request."""
    return el("details", el("summary", summary), *parts)


def note(*parts: Part | Iterable[Part], class_: str = "note") -> Raw:
    return el("p", *parts, class_=class_)


def figure(title: str, picture: Raw, *notes: Part, data: Raw | None = None) -> Raw:
    """A figure: its title, the picture, what to know about it, and the numbers behind it."""
    said = [note(text) for text in notes if text]
    about = join("Numbers", el("span", f": {title}", class_="spoken"))
    numbers = details(about, data) if data is not None else None
    return el("figure", el("figcaption", title), picture, said, numbers)
