"""Which tool's convention a foreign graph was written with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snnas.export.compiler.circuit import trace
from snnas.export.dialects.steps import read_dialect
from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.models.find_convention import Verdict, whose
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.stderr import SILENT, Narrator

if TYPE_CHECKING:
    from snnas.hw_sim.program import InputKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ConventionOptions:
    """What a convention is looked for in."""

    model: Path
    """A .nir of any tool."""
    expect: Path
    """A recording (.npz): ``x``, and ``output`` or ``spikes.NODE`` (docs/whose.md)."""


def find_convention(options: ConventionOptions, narrator: Narrator = SILENT) -> Verdict:
    """Finds the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes.

    ``exit_code`` of the verdict: 0 where one is named. InvalidFileError (3) and UnsupportedError (4) for a graph or a
    recording that cannot be read.
    """
    with narrator.progress("conventions") as advance:
        return whose(options.model, options.expect, advance)


def reading_of(verdict: Verdict) -> ReadingOptions | None:
    """Every answer that a recording gives to how its file is read; None where no tool of the table means it."""
    if not verdict.fitting:
        return None
    best = verdict.fitting[0]
    if verdict.nodes:
        convention = ",".join(f"{node}={rows[0].dialect.name}" for node, rows in verdict.nodes.items())
    else:
        convention = best.dialect.name
    if not convention:
        return None
    return ReadingOptions(
        convention=convention,
        timesteps=None if verdict.framed else verdict.timesteps,
        input_kind=None if verdict.spikes_in else "analogue",
        delayed=tuple(f"{s}:{d}" for s, d in sorted(best.delayed)),
        readout="membrane-last" if verdict.membrane else None,
    )


def say_next(verdict: Verdict, options: ConventionOptions, narrator: Narrator) -> None:
    """Says the command that takes the graph on, with every answer that the recording gives; or why there is none."""
    best = verdict.fitting[0]
    found = reading_of(verdict)
    if found is None:
        narrator.say("no tool of the table means this; say it with --dt, --decay, --compare, --reset, --current")
        return
    kind: InputKind = "spikes" if verdict.spikes_in else "analogue"
    asked = replace(found, data="FILE.npz", expect=options.expect)
    try:
        dialect = asked.dialect
        assert dialect is not None
        graph = read_dialect(options.model, dialect, delayed=best.delayed or None, own=asked.own)
        soft = graph.convention.reset != "zero"  # of no chip
        trace(graph, kind, soft_reset=soft)
    except UnsupportedError as error:
        narrator.say(f"next: no command takes it: {error}")
        return
    if graph.meta.get("format") is not None:  # a file of ours says its convention itself
        asked = replace(asked, convention=None, delayed=())
    command, more = ("estimate", ["--system", "generic"]) if soft else ("export", [])
    narrator.next(shlex.join([command, str(options.model), *asked.arguments(), *more]))
