"""``snnas check`` and ``snnas explain``: the gate for pipelines. Registered in ``cli``."""

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
    wanted,
)
from snnas.toolchain.output.stdout import print_text


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
    profile: Annotated[str | None, typer.Option(help="Energy profile of a lone .nir [the system's].")] = None,
    system: Annotated[
        str, typer.Option(help="Chip of a lone .nir: loihi1, loihi2, generic or a .toml file.")
    ] = "loihi1",
    data: Annotated[
        str | None, typer.Option(help="With --record: digits, or an .npz with x and, for accuracy, y [drawn samples].")
    ] = None,
    timesteps: Timesteps = None,
    input_kind: InputKind = None,
    delayed: Delayed = None,
    limit: Annotated[int | None, typer.Option(help="With --record: so many samples [32].")] = None,
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
    from snnas.export.compiler.quantise import check_bits
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain import checking
    from snnas.toolchain.checking.drift import parse_tolerances
    from snnas.toolchain.checking.formats.formats import parse_formats, tell, total
    from snnas.toolchain.checking.options import parse_ignored
    from snnas.toolchain.models.estimate import Pricing
    from snnas.toolchain.searching import budgets

    sinks = parse_formats(formats or [], as_json)
    limits = budgets.parse_limits(maximum) | budgets.parse_limits(minimum, option="--min", names=budgets.LEAST)
    asked = wanted(
        data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset, bits=bits,
        current=current, readout=readout,
    )  # fmt: skip
    if bits is not None:
        check_bits(bits)
    options = checking.Options(
        limits=limits,
        budget=budget,
        baseline=baseline,
        tolerances=parse_tolerances(tolerance or []),
        update_baseline=update_baseline,
        record=record,
        recording=recording,
        wanted=asked,
        pricing=Pricing(profile=profile, system=system),
        force=force,
        new_recording=new_recording,
        in_ci=in_ci,
        strict=strict,
        portable=portable,
        ignored=parse_ignored(ignore or []),
    )
    single = {
        "--baseline": baseline is not None,
        "--update-baseline": update_baseline,
        "--recording": recording is not None,
        "--record": record not in (None, "auto"),
    }
    odd = [name for name, given in single.items() if given]
    if len(graphs) > 1 and odd:
        raise UsageError(f"{', '.join(odd)}: of one GRAPH, got {len(graphs)}; check them one by one")
    if tolerance and baseline is None:
        raise UsageError("--tolerance is of a baseline; give --baseline FILE")
    if record is None and (data is not None or limit is not None):
        raise UsageError("--data and --limit are what --record records; give --record auto, or leave them out")
    if record is None and (force or new_recording):
        raise UsageError("--force and --new-recording are of --record; give --record auto, or leave them out")
    if record is not None and recording is not None:
        raise UsageError("--record makes a recording and --recording replays one; give one of the two")
    books = [checking.check(path, options) for path in graphs]
    tell(books, sinks, quiet=quiet)
    raise typer.Exit(total(books))


def explain(
    codes: Annotated[
        list[str] | None, typer.Argument(metavar="[CODE]...", help="Rules' codes, as SN302; all where left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a rule of snnas check means, why it is there, and how to mend a breach."""
    from dataclasses import asdict

    from snnas.toolchain.checking.rules.rules import GROUPS, RULES, find
    from snnas.toolchain.output.stdout import print_json

    rules = [find(code) for code in codes] if codes else list(RULES.values())
    if as_json:
        rows = [{**asdict(rule), "group": rule.group} for rule in rules]
        print_json({"schema": "snnas.rules/1", "rules": rows})
    elif codes:
        print_text("\n\n".join(map(str, rules)))
    else:
        for prefix, group in GROUPS.items():
            print_text(f"{prefix}xx  {group}")
            for rule in rules:
                if rule.code.startswith(prefix):
                    print_text(f"  {rule.code}  {rule.title} ({rule.severity})")
