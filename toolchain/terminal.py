"""What a command prints on stdout: text, JSON and tables. Narration and progress stand in ``narration``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

PIPE_WIDTH = 120
WIDE = 160  # for tables of many columns


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


def print_table(table: Any, *, pipe_width: int = PIPE_WIDTH) -> None:
    """Print a rich table (or a line of text), whatever its cells hold. pipe_width: where nothing says how wide."""
    from rich.console import Console
    from rich.table import Table

    from toolchain.narration import harmless, printable

    shown = harmless(table) if isinstance(table, Table) else printable(table)
    Console(width=_width(pipe_width), highlight=False, markup=False).print(shown)


def _width(pipe_width: int) -> int | None:
    """None is the terminal's own; in a pipe COLUMNS, so that logs do not depend on a screen."""
    if sys.stdout.isatty():
        return None
    wanted = os.environ.get("COLUMNS", "")
    found = int(wanted) if wanted.isdecimal() and len(wanted) < 6 else 0
    return max(80, min(found, 1000)) if found else pipe_width
