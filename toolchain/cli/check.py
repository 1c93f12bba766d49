"""``snnas check``: the gate for pipelines. Registered in ``app``."""

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
    Readout,
    Reset,
    Seed,
    Timesteps,
    reading,
)


def check(
    graphs: Annotated[
        list[Path], typer.Argument(metavar="GRAPH...", help="A folder that snnas export wrote, a .nir or an .onnx.")
    ],
    maximum: Annotated[str | None, typer.Option("--max", help="At most: energy_total=60uJ,sar=0.1,cores=8.")] = None,
    minimum: Annotated[str | None, typer.Option("--min", help="At least: accuracy=95%.")] = None,
    budget: Annotated[
        Path | None, typer.Option(help="A TOML file of limits [budget.toml beside the graph, where there is one].")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="A baseline.json: no figure may be worse.")] = None,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="By how much worse: energy_total:5%, cores:1, all:1%; repeatable.")
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write the baseline, where all else passes.")
    ] = False,
    record: Annotated[
        str | None, typer.Option(help="Make the recording of a .nir or .onnx: auto (GRAPH.check.npz), or the .npz.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="The recording to replay [GRAPH.check.npz, where there is one].")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="text, json, junit, sarif, markdown, github; =FILE sends it there; repeatable."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings fail too, but for those of portability (SN114, SN201, SN206).")
    ] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Warnings of portability fail: other tools run the graph otherwise.")
    ] = False,
    trust_report: Annotated[
        bool,
        typer.Option("--trust-report", help="Take the export's own samples, and its word on what cannot be measured."),
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(help="CODE,CODE: failed or warned, these are shown and pass; repeatable.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make a recording again: its samples, read as they were.")
    ] = False,
    new_recording: Annotated[
        bool, typer.Option("--new-recording", help="Put a recording of other samples or options in its place.")
    ] = False,
    in_ci: Annotated[
        bool, typer.Option("--in-ci", help="Write recording or baseline although the variable CI is set.")
    ] = False,
    profile: Annotated[str | None, typer.Option(help="Energy profile [the system's].")] = None,
    system: Annotated[
        str, typer.Option(help="Chip that is priced: loihi1, loihi2, generic or a .toml file.")
    ] = "loihi1",
    data: Annotated[
        str | None, typer.Option(help="With --record, or to measure an export on: digits, or an .npz with x and y.")
    ] = None,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
    limit: Annotated[int | None, typer.Option(help="So many samples of --data [with --record: 32].")] = None,
    seed: Seed = None,
    convention: ConventionName = None,
    dt: Dt = None,
    decay: Decay = None,
    compare: Compare = None,
    reset: Reset = None,
    current: Current = None,
    readout: Readout = None,
    bits: Bits = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print what fails alone.")] = False,
) -> None:
    """Guard an exported graph: valid, firing as recorded, within budget, no worse than its baseline."""
    from snnas.toolchain.checking.drift import parse_tolerances
    from snnas.toolchain.checking.formats.formats import parse_formats, tell
    from snnas.toolchain.checking.options import CheckOptions, parse_ignored
    from snnas.toolchain.commands.check import guard
    from snnas.toolchain.models.pricing import Pricing
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.searching.budgets import LEAST, parse_limits

    sinks = parse_formats(formats or [], as_json)
    asked = reading(
        data=data, timesteps=timesteps, input_kind=input_kind, delayed=delayed, limit=limit, seed=seed,
        convention=convention, dt=dt, decay=decay, compare=compare, reset=reset, current=current, readout=readout,
        bits=bits,
    )  # fmt: skip
    options = CheckOptions(
        graphs=tuple(graphs),
        limits=parse_limits(maximum) | parse_limits(minimum, option="--min", names=LEAST),
        budget=budget,
        baseline=baseline,
        tolerances=parse_tolerances(tolerance or []),
        update_baseline=update_baseline,
        record=record,
        recording=recording,
        reading=asked,
        pricing=Pricing(profile=profile, system=system),
        force=force,
        new_recording=new_recording,
        in_ci=in_ci,
        strict=strict,
        portable=portable,
        trust_report=trust_report,
        ignored=parse_ignored(ignore or []),
    )
    checked = guard(options, Narrator(quiet=quiet))
    tell(checked.books, sinks, quiet=quiet)
    raise typer.Exit(checked.exit_code)
