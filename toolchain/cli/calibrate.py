"""``snnas calibrate``: a board's own constants. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_shown


def calibrate(
    plan: Annotated[
        str, typer.Option(metavar="PROFILE|DIR", help="To plan: the profile expected. With --log: the plan's folder.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of a new plan; with --log the profile to write, *.toml.")],
    log: Annotated[Path | None, typer.Option(help="What the meter read: the plan's log.csv, filled in.")] = None,
    probes: Annotated[
        int | None,
        typer.Option(help="Programs to measure, beside the idle board; one at least for each constant [10]."),
    ] = None,
    repeats: Annotated[int | None, typer.Option(help="Readings of each in the log [5].")] = None,
    target: Annotated[str | None, typer.Option(help="What the probes are exported as: lava or c [lava].")] = None,
    system: Annotated[
        str | None, typer.Option(help="Where they are placed: a system or .toml [loihi1; generic for c].")
    ] = None,
    trust_units: Annotated[
        bool, typer.Option("--trust-units", help="The board is a thousand times off the profile; it is no unit.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the candidates, or of the bootstrap.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a chip's energy constants: plan probe programs, then fit a profile to what a meter read of them."""
    import shlex

    from snnas.toolchain.commands.calibrate import calibrate as run
    from snnas.toolchain.output.stderr import Narrator

    # Of the two calls that Python has, the options say which; calibrate refuses what does not go together.
    result = run(  # type: ignore[call-overload, misc]
        plan, out, log=log, probes=probes, repeats=repeats, target=target, system=system, trust_units=trust_units,
        seed=seed, progress=not (quiet or as_json),
    )  # fmt: skip
    following = ["estimate", "EXPORT", "--profile", str(out)]
    if log is None:
        following = ["calibrate", "--log", str(out / "log.csv"), "--plan", str(out), "--out", "board.toml"]
    print_shown(result, as_json)
    if not as_json:
        Narrator(quiet=quiet).next(shlex.join(following))
