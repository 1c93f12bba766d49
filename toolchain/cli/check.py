"""``snnas check``: the gate for pipelines. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, options_of, reads

if TYPE_CHECKING:
    from snnas.toolchain.models.reading_options import ReadingOptions


@reads(
    data=Annotated[
        str | None, typer.Option(help="With --record, or to measure an export on: digits, or an .npz with x and y.")
    ],
    limit=Annotated[int | None, typer.Option(help="So many samples of --data [with --record: 32].")],
    expect=None,
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
    *,
    asked: ReadingOptions,
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
    options = options_of(
        CheckOptions,
        locals(),
        limits=parse_limits(maximum) | parse_limits(minimum, option="--min", names=LEAST),
        tolerances=parse_tolerances(tolerance or []),
        reading=asked,
        pricing=Pricing(profile=profile, system=system),
        ignored=parse_ignored(ignore or []),
    )
    checked = guard(options, Narrator(quiet=quiet))
    tell(checked.books, sinks, quiet=quiet)
    raise typer.Exit(checked.exit_code)
