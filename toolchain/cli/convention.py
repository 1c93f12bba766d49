"""``snnas whose``: which tool's convention a foreign graph was written with. Registered in ``cli``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table, print_text

if TYPE_CHECKING:
    from snnas.hw_sim.program import InputKind
    from snnas.toolchain.models.find_convention import Verdict
    from snnas.toolchain.output.stderr import Narrator


def whose(
    model: Annotated[Path, typer.Argument(help="A .nir of any tool.")],
    expect: Annotated[Path, typer.Option(help="RECORDED.npz: x, and output or spikes.NODE (docs/whose.md).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes."""
    from snnas.toolchain.models import find_convention as detective
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet or as_json)
    with narrator.progress("conventions") as advance:
        verdict = detective.whose(model, expect, advance)
    if as_json:
        print_json({"schema": detective.SCHEMA, **verdict.to_json()})
    else:
        print_table(detective.as_table(verdict))
        for line in (verdict.headline, *verdict.lines):
            print_text(line)
        if verdict.exit_code == 0:
            _next(verdict, model, expect, narrator)
    raise typer.Exit(verdict.exit_code)


def _next(verdict: Verdict, model: Path, recorded: Path, narrator: Narrator) -> None:
    """Says the command that takes the graph on, with every answer that the recording gives; or why there is none."""
    from snnas.export.compiler.circuit import trace
    from snnas.export.dialects.steps import read_dialect
    from snnas.hw_sim.errors import UnsupportedError
    from snnas.toolchain.models.convention_options import Wanted

    best = verdict.fitting[0]
    if not best.dialect.name:
        narrator.say("no tool of the table means this; say it with --dt, --decay, --compare, --reset, --current")
        return
    kind: InputKind = "spikes" if verdict.spikes_in else "analogue"
    asked = Wanted(
        data="FILE.npz",
        convention=best.dialect.name,
        timesteps=None if verdict.framed else verdict.timesteps,
        input_kind=None if verdict.spikes_in else kind,
        delayed=tuple(f"{s}:{d}" for s, d in sorted(best.delayed)),
        expect=recorded,
        readout="membrane-last" if verdict.membrane else None,
    )
    try:
        asked_dialect = asked.dialect
        assert asked_dialect is not None
        graph = read_dialect(model, asked_dialect, delayed=best.delayed or None)
        soft = graph.convention.reset != "zero"  # of no chip
        trace(graph, kind, soft_reset=soft)
    except UnsupportedError as error:
        narrator.say(f"next: no command takes it: {error}")
        return
    if graph.meta.get("format") is not None:  # a file of ours says its convention itself
        asked = replace(asked, convention=None, delayed=())
    command, more = ("estimate", ["--system", "generic"]) if soft else ("export", [])
    narrator.next(shlex.join([command, str(model), *asked.arguments(), *more]))
