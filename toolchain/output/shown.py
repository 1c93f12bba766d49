"""What a result of ``import snnas`` looks like: as text, in a notebook, as plain data and as a table of pandas."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.output.markup import Raw, el, join

if TYPE_CHECKING:
    from rich.table import Table

    from snnas.toolchain.output.drawing import Panel

WIDTH = 100  # columns of a result that is printed


class Shown:
    """Prints as the command line's tables do; in a notebook these are HTML, with the pictures of the page.

    A subclass says its plain data, its tables (none: its ``headline`` alone) and its pictures.
    """

    __slots__ = ()

    @property
    def headline(self) -> str:
        """The result in a line."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain data, a copy: what ``--json`` prints of it."""
        raise NotImplementedError

    def tables(self) -> Iterable[Table]:
        """Its tables, as the command line prints them."""
        return ()

    def pictures(self) -> Iterable[Panel]:
        """Its pictures, as the page has them."""
        return ()

    def to_frame(self) -> Any:
        """The figures as a pandas.DataFrame, a row for each leaf: ``figure`` (its place, parted by dots), ``value``.

        UnsupportedError (4) where pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise UnsupportedError("to_frame() needs pandas, which is not installed; pip install pandas") from None
        return pandas.DataFrame(list(leaves(self.to_dict())), columns=["figure", "value"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def __str__(self) -> str:
        return "\n".join([self.headline, *(as_text(table) for table in self.tables())])

    def _repr_html_(self) -> str:
        tables = list(self.tables())
        head = None if tables and tables[0].title else el("p", self.headline)
        return join(head, map(as_html, tables), map(as_image, self.pictures()))


def leaves(value: Any, place: str = "") -> Iterable[tuple[str, Any]]:
    """The leaves of nested plain data with their places: ``accuracy.interval.0``."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from leaves(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def as_text(table: Table) -> str:
    """A table in lines of plain text, ``WIDTH`` columns wide."""
    from snnas.toolchain.output.fitting import lines
    from snnas.toolchain.output.stderr import harmless

    table = harmless(copy.deepcopy(table))
    return "\n".join([*filter(None, [table.title]), *lines(table, WIDTH), *filter(None, [table.caption])])  # type: ignore[list-item]


def as_html(table: Table) -> Raw:
    """A table as HTML, which a notebook styles."""
    columns = [list(column.cells) for column in table.columns]
    left = [column.justify == "left" for column in table.columns]
    heads = [str(column.header) for column in table.columns]
    style = "text-align: left"
    rows = [
        el("tr", [el("td", _held(str(cell)), style=style if at else None) for cell, at in zip(row, left, strict=True)])
        for row in zip(*columns, strict=True)
    ]
    tops = el("thead", el("tr", [el("th", head, style=style) for head in heads])) if any(heads) else None
    caption = el("caption", str(table.title), style=f"{style}; white-space: nowrap") if table.title else None
    foot = el("p", el("small", str(table.caption))) if table.caption else None
    return join(el("table", caption, tops, el("tbody", rows)), foot)


def _held(cell: str) -> str:
    """With an indent that HTML keeps."""
    bare = cell.lstrip()
    return "\u00a0" * 2 * (len(cell) - len(bare)) + bare


def as_image(panel: Panel) -> Raw:
    """A picture as an image that carries its own style: nothing of a notebook's reaches into it, nor it into that."""
    from snnas.toolchain.output.drawing import drawing

    data = base64.b64encode(drawing("", [panel]).encode()).decode()
    return el("img", src=f"data:image/svg+xml;base64,{data}", alt=panel.title)
