"""``snnas whose``: which tool's convention a foreign graph was written with. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table, print_text


def whose(
    model: Annotated[Path, typer.Argument(help="A .nir of any tool.")],
    expect: Annotated[Path, typer.Option(help="RECORDED.npz: x, and output or spikes.NODE (docs/whose.md).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes."""
    from snnas.toolchain.commands.convention import ConventionOptions, find_convention, say_next
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet or as_json)
    options = ConventionOptions(model=model, expect=expect)
    verdict = find_convention(options, narrator)
    if as_json:
        print_json(verdict.to_dict())
    else:
        for table in verdict.tables():
            print_table(table)
        for line in (verdict.headline, *verdict.lines):
            print_text(line)
        if verdict.exit_code == 0:
            say_next(verdict, options, narrator)
    raise typer.Exit(verdict.exit_code)
