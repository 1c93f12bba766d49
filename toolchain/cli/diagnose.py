"""``snnas diagnose``: why a program does not do what its graph does. Registered in ``cli``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    wanted,
)
from snnas.toolchain.output.stdout import print_json, print_table, print_text

if TYPE_CHECKING:
    from snnas.toolchain.diagnosing.smallest import Failing
    from snnas.toolchain.output.stderr import Narrator


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
    from snnas.toolchain.diagnosing import view
    from snnas.toolchain.diagnosing.case import open_case
    from snnas.toolchain.diagnosing.diagnose import diagnose as found_in
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    asked = wanted(
        data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset, bits=bits,
        current=current, readout=readout,
    )  # fmt: skip
    case = open_case(subject, asked, program=program, runs_dir=runs_dir)
    for note in case.notes:
        sys.stderr.write(f"note: {note}\n")
    result, failing = found_in(case, narrator, reduce=reduce)
    if out is not None:
        _keep(out, result, failing, narrator)
    elif case.run is not None:
        try:
            _keep(case.run.diagnosis.parent, result, failing, narrator)
        except OSError as error:  # the diagnosis is printed all the same
            sys.stderr.write(f"note: not kept in the run: {error}\n")
    if as_json:
        print_json(result)
    else:
        for part in view.tables(result):
            if isinstance(part, str):
                print_text(part)
            else:
                print_table(part)
        if case.run is not None and out is None:
            narrator.next(f"report {case.run.name} --html", runs_dir)
    if result["faults"]:
        raise typer.Exit(1)


def _keep(folder: Path, result: dict[str, Any], failing: Failing | None, narrator: Narrator) -> None:
    from snnas.toolchain.diagnosing.diagnose import write

    for path in write(folder, result, failing):
        narrator.say(f"  {path}")
