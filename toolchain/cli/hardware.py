"""The commands that need a program or a graph and no run: ``simulate`` and ``estimate``. Registered in ``cli``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    wanted,
)
from snnas.toolchain.output.stdout import print_json, print_table

if TYPE_CHECKING:
    from snnas.toolchain.models.convention_options import Wanted


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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a program, or a graph compiled to one, on samples: accuracy, spikes and synops on target."""
    from snnas.toolchain.models import simulate as simulating
    from snnas.toolchain.output import estimate as estimate_tables
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    asked = wanted(
        data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset, expect, bits,
        current=current, readout=readout,
    )  # fmt: skip
    subject = _open(model, asked)
    result = simulating.simulate(subject, narrator)
    _print(result, estimate_tables.simulated, as_json)
    if not as_json:
        soft = ["--system", "generic"] if _subtracts(subject) else []
        narrator.next(shlex.join(["estimate", str(model), *asked.arguments(), *soft]))


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
    from snnas.toolchain.models import estimate as estimating
    from snnas.toolchain.output import estimate as estimate_tables
    from snnas.toolchain.output.stderr import Narrator

    if new_profile is not None:
        _write_profile(new_profile)
        return
    if model is None:
        raise UsageError("no model; name a .nir, a program.npz or a folder of snnas export")
    if profiles not in (None, "all"):
        raise UsageError(f"--profiles {profiles!r}: expected all; one profile is named with --profile")
    if rate is not None and data is not None:
        raise UsageError("--rate assumes what --data would measure; give one of them")
    asked = wanted(
        data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset, expect, bits,
        current=current, readout=readout,
    )  # fmt: skip
    subject = _open(model, replace(asked, samples=rate is None))
    pricing = estimating.Pricing(profile=profile, system=system, every=profiles == "all", rate=rate)
    narrator = Narrator(quiet=quiet)
    result = estimating.estimate(subject, pricing, narrator)
    _print(result, estimate_tables.estimated, as_json)
    fit = result["fit"]
    if not fit["fits"]:
        ways = "; or ".join(fit["advice"])
        sys.stderr.write(f"snnas: {model} does not fit {fit['system']}, no energy: {fit['misfits'][0]}; {ways}\n")
        raise typer.Exit(4)
    if model.suffix == ".nir" and not as_json and not _subtracts(subject):
        narrator.next(shlex.join(["export", str(model), *asked.arguments(data=data or "FILE")]))


def _subtracts(subject: Any) -> bool:
    """Whether its reset is by subtraction, which ``export`` and the systems of a chip refuse."""
    return any(p.taken for p in subject.program.populations)


def _open(model: Path, asked: Wanted) -> Any:
    from snnas.toolchain.models.open import open_subject

    subject = open_subject(model, asked)
    for note in subject.notes:
        sys.stderr.write(f"note: {note}\n")
    return subject


def _write_profile(path: Path) -> None:
    from snnas.hw_sim.energy.profile_template import template
    from snnas.hw_sim.errors import UsageError
    from snnas.hw_sim.files import write_text

    if path.exists() or path.suffix != ".toml":
        raise UsageError(f"--new-profile {path}: expected a new file whose name ends in .toml; choose another name")
    write_text(path, template(path.stem))
    sys.stdout.write(f"{path}\n")


def _print(result: dict[str, Any], tables: Any, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for table in tables(result):
        print_table(table)
