"""``snnas diagnose``: why a program does not do what its graph does. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import (
    AsJson,
    Bits,
    Compare,
    ConventionName,
    Current,
    Decay,
    Delayed,
    Dt,
    InputKind,
    Quiet,
    Readout,
    Reset,
    Seed,
    Timesteps,
    reading,
)
from snnas.toolchain.output.stdout import print_json, print_table, print_text


def diagnose(
    subject: Annotated[
        str | None, typer.Argument(help="A run, a folder that snnas export wrote, or a .nir [the newest run].")
    ] = None,
    data: Annotated[str | None, typer.Option(help="digits, or an .npz with x and y [the run's test split].")] = None,
    program: Annotated[Path | None, typer.Option(help="Of a .nir: the program.npz that is said to be its.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for diagnosis.json, smallest.npz and a picture [of a run: diagnosis, in its folder]."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many samples [128].")] = None,
    reduce: Annotated[bool, typer.Option("--reduce/--no-reduce", help="Look for the smallest failing input.")] = True,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
    bits: Bits = None,
    seed: Seed = None,
    convention: ConventionName = None,
    dt: Dt = None,
    decay: Decay = None,
    compare: Compare = None,
    reset: Reset = None,
    current: Current = None,
    readout: Readout = None,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of the runs [SNNAS_RUNS, else ./runs].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say where a program parts from its graph, which loss does it, and which of its numbers are wrong.

    Exit code 1 where a number of the program is not the graph's.
    """
    from snnas.toolchain.commands.diagnose import DiagnoseOptions
    from snnas.toolchain.commands.diagnose import diagnose as find_causes
    from snnas.toolchain.diagnosing.view import tables
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    asked = reading(
        data=data, timesteps=timesteps, input_kind=input_kind, delayed=delayed, limit=limit, seed=seed,
        convention=convention, dt=dt, decay=decay, compare=compare, reset=reset, current=current, readout=readout,
        bits=bits,
    )  # fmt: skip
    options = DiagnoseOptions(
        subject=subject, reading=asked, program=program, out=out, reduce=reduce, runs_dir=runs_dir
    )
    found = find_causes(options, narrator)
    if as_json:
        print_json(found.figures)
    else:
        for part in tables(found.figures):
            if isinstance(part, str):
                print_text(part)
            else:
                print_table(part)
        if found.next_command is not None:
            narrator.next(found.next_command)
    if not found.sound:
        raise typer.Exit(1)
