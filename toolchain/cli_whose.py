"""``snnas whose``: which tool's convention a foreign graph was written with. Registered in ``cli``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli_options import AsJson, Quiet
from toolchain.terminal import print_json, print_table, print_text


def whose(
    model: Annotated[Path, typer.Argument(help="A .nir of any tool.")],
    expect: Annotated[Path, typer.Option(help="RECORDED.npz: x, and output or spikes.NODE (docs/whose.md).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes."""
    from toolchain import whose as detective
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet or as_json)
    with narrator.progress("conventions") as advance:
        verdict = detective.whose(model, expect, advance)
    if as_json:
        print_json({"schema": detective.SCHEMA, **verdict.to_json()})
    else:
        print_table(detective.as_table(verdict))
        for line in (verdict.headline, *verdict.lines):
            print_text(line)
        if verdict.exit_code == 0 and verdict.fitting[0].dialect.name:
            tool = verdict.fitting[0].dialect.name
            narrator.next(f"export {shlex.quote(str(model))} --data FILE --convention {tool}")
    raise typer.Exit(verdict.exit_code)
