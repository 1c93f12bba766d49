"""What a command prints on stdout: text, JSON and tables. Narration and progress stand in ``narration``."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnas.toolchain.output.shown import Shown

PIPE_WIDTH = 160
NARROW = 100  # columns, below which a terminal gets the plain text too: notes stand under their rows


def print_text(text: str) -> None:
    sys.stdout.write(text + "\n")


def print_version(asked: bool) -> None:
    """The callback of ``--version``."""
    if asked:
        from importlib import metadata

        import typer

        print_text(f"snnas {metadata.version('snnas')}")
        raise typer.Exit


def print_json(value: Any) -> None:
    print_text(json.dumps(value, indent=2, allow_nan=False))


def print_table(table: Any) -> None:
    """Print a rich table, or a line of text, whatever it holds: a line is folded between words on a terminal alone.

    It is as wide as its cells need, up to ``_width``: on a terminal with lines around it, elsewhere plain and aligned.
    Title and caption are lines above and below, which are as long as they need.
    """
    from rich.console import Console
    from rich.table import Table

    from snnas.hw_sim.errors import printable
    from snnas.toolchain.output.fitting import boxed, lines
    from snnas.toolchain.output.stderr import harmless

    console = Console(width=_width(), highlight=False, markup=False, emoji=False)
    whole = not sys.stdout.isatty()  # lines of text: what reads a log looks for a path in one of them
    if not isinstance(table, Table):
        console.print(printable(table), soft_wrap=whole)
        return
    title, caption = harmless(table).title, table.caption
    table.title = table.caption = None
    if title:
        console.print(title, style="italic", soft_wrap=True)
    if sys.stdout.isatty() and console.width >= NARROW:
        console.print(boxed(table, console.width))
    else:
        head, *rest = lines(table, console.width)
        console.print(head, soft_wrap=True, style="bold" if table.show_header else None)
        for line in rest:
            console.print(line, soft_wrap=True)
    if caption:
        console.print(caption, style="dim italic", soft_wrap=whole)


def print_shown(result: Shown, as_json: bool) -> None:
    """A result as JSON, or as its tables."""
    if as_json:
        print_json(result.to_dict())
    else:
        for table in result.tables():
            print_table(table)


def _width() -> int | None:
    """None is the terminal's own; in a pipe COLUMNS, else ``PIPE_WIDTH``: logs do not depend on a screen."""
    if sys.stdout.isatty():
        return None
    wanted = os.environ.get("COLUMNS", "")
    found = int(wanted) if wanted.isdecimal() and len(wanted) < 6 else 0
    return max(80, min(found, 1000)) if found else PIPE_WIDTH
