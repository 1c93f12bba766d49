"""``snnas estimate``: what a program costs. Registered in ``app``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import (
    AsJson,
    Bits,
    Compare,
    ConventionName,
    Current,
    Data,
    Decay,
    Delayed,
    Dt,
    Expect,
    InputKind,
    Limit,
    Quiet,
    Readout,
    Reset,
    Seed,
    Timesteps,
    reading,
)
from snnas.toolchain.output.stdout import print_json, print_table, print_text


def estimate(
    model: Annotated[Path | None, typer.Argument(help="A .nir, a program.npz, or a folder of snnas export.")] = None,
    data: Data = None,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
    profile: Annotated[str | None, typer.Option(help="Energy profile: a name or a .toml file [the system's].")] = None,
    profiles: Annotated[str | None, typer.Option(help="all: the same counts under every shipped profile.")] = None,
    system: Annotated[str, typer.Option(help="loihi1, loihi2, generic, or a .toml file.")] = "loihi1",
    rate: Annotated[float | None, typer.Option(help="Assume this spike rate instead of running data.")] = None,
    limit: Limit = None,
    seed: Seed = None,
    convention: ConventionName = None,
    dt: Dt = None,
    decay: Decay = None,
    compare: Compare = None,
    reset: Reset = None,
    current: Current = None,
    readout: Readout = None,
    expect: Expect = None,
    bits: Bits = None,
    new_profile: Annotated[Path | None, typer.Option(help="Write a profile to fill in, and stop.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Price a program or anybody's graph on a chip: counts, fit, latency, energy band, and an ANN of its shape."""
    from snnas.hw_sim.errors import UsageError
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
    asked = reading(
        data=data, timesteps=timesteps, input_kind=input_kind, delayed=delayed, limit=limit, seed=seed,
        convention=convention, dt=dt, decay=decay, compare=compare, reset=reset, current=current,
        readout=readout, expect=expect, bits=bits,
    )  # fmt: skip
    options = EstimateOptions(
        model=model, reading=asked, profile=profile, all_profiles=profiles == "all", system=system, rate=rate
    )
    result = price(options, narrator)
    if as_json:
        print_json(result.figures)
    else:
        for table in result.tables():
            print_table(table)
    if result.misfit is not None:
        sys.stderr.write(f"snnas: {result.misfit}\n")
        raise typer.Exit(4)
    if result.next_command is not None and not as_json:
        narrator.next(result.next_command)
