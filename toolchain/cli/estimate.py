"""``snnas estimate``: what a program costs. Registered in ``app``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet, options_of, reads
from snnas.toolchain.output.stdout import print_shown, print_text

if TYPE_CHECKING:
    from snnas.toolchain.models.reading_options import ReadingOptions


@reads()
def estimate(
    model: Annotated[Path | None, typer.Argument(help="A .nir, a program.npz, or a folder of snnas export.")] = None,
    *,
    asked: ReadingOptions,
    profile: Annotated[str | None, typer.Option(help="Energy profile: a name or a .toml file [the system's].")] = None,
    profiles: Annotated[str | None, typer.Option(help="all: the same counts under every shipped profile.")] = None,
    system: Annotated[str, typer.Option(help="loihi1, loihi2, generic, or a .toml file.")] = "loihi1",
    rate: Annotated[float | None, typer.Option(help="Assume this spike rate instead of running data.")] = None,
    new_profile: Annotated[Path | None, typer.Option(help="Write a profile to fill in, and stop.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Price a program or anybody's graph on a chip: counts, fit, latency, energy band, and an ANN of its shape."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.cli.exits import fault_line
    from snnas.toolchain.commands.models import EstimateOptions, write_profile_template
    from snnas.toolchain.commands.models import estimate as price
    from snnas.toolchain.output.stderr import Narrator

    if new_profile is not None:
        print_text(str(write_profile_template(new_profile)))
        return
    if model is None:
        raise UsageError("no model; name a .nir, a program.npz or a folder of snnas export")
    if profiles not in (None, "all"):
        raise UsageError(f"--profiles {profiles!r}: expected all; one profile is named with --profile")
    narrator = Narrator(quiet=quiet)
    options = options_of(EstimateOptions, locals(), reading=asked, all_profiles=profiles == "all")
    result = price(options, narrator)
    print_shown(result, as_json)
    if result.misfit is not None:
        sys.stderr.write(f"{fault_line(result.misfit)}\n")
        raise typer.Exit(4)
    if result.next_command is not None and not as_json:
        narrator.next(result.next_command)
