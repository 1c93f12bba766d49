"""What every study's command line shares: ``python -m tests.studies.NAME``, in a checkout.

A study ends as a command of snnas does: 0 good, 1 a gate missed, 2 usage, ... (``snnas --help``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli import exits
from snnas.toolchain.output.stdout import print_json


def run_study(command: Callable[..., None], arguments: list[str]) -> int:
    """The exit code of a study's command with these arguments; results on stdout, everything else on stderr."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings={"max_content_width": 120})(command)
    return exits.run_app(app, arguments, program=f"python -m {_module(command)}")


def main(command: Callable[..., None]) -> NoReturn:
    """Runs the command line that this process was started with."""
    exits.prepare()
    exits.leave(run_study(command, sys.argv[1:]))


def numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """The whole numbers of '8,6,4'; UsageError names the option."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: expected whole numbers with commas between, like {example}") from None


def tell(result: dict[str, Any], as_json: bool, print_result: Callable[[dict[str, Any]], None], *, good: bool) -> None:
    """Prints a study's figures; one that is not good ends with exit code 1."""
    if as_json:
        print_json(result)
    else:
        print_result(result)
    if not good:
        raise typer.Exit(1)


def _module(command: Callable[..., None]) -> str:
    name = command.__module__
    return f"tests.studies.{Path(sys.argv[0]).stem}" if name == "__main__" else name
