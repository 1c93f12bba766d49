"""``snnas simulate``: what a program does on samples. Registered in ``app``."""

from __future__ import annotations

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
    Model,
    Quiet,
    Readout,
    Reset,
    Seed,
    Timesteps,
    reading,
)
from snnas.toolchain.output.stdout import print_json, print_table


def simulate(
    model: Model,
    data: Data = None,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
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
    stream: Annotated[
        int | None, typer.Option(metavar="K", help="K samples one after the other without a reset, beside the rest.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a program, or a graph compiled to one, on samples: accuracy, spikes and synops on target."""
    from snnas.toolchain.commands.models import SimulateOptions
    from snnas.toolchain.commands.models import simulate as run_on_samples
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    asked = reading(
        data=data, timesteps=timesteps, input_kind=input_kind, delayed=delayed, limit=limit, seed=seed,
        convention=convention, dt=dt, decay=decay, compare=compare, reset=reset, current=current,
        readout=readout, expect=expect, bits=bits,
    )  # fmt: skip
    result = run_on_samples(SimulateOptions(model=model, reading=asked, stream=stream), narrator)
    if as_json:
        print_json(result.figures)
        return
    for table in result.tables():
        print_table(table)
    narrator.next(result.next_command)
