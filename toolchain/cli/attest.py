"""``snnas attest``: one document of what an export is and does. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.output.stdout import print_json, print_text


def attest(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="A folder that snnas export wrote.")],
    out: Annotated[Path | None, typer.Option(help="Write the attestation to this .json.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="An attestation made elsewhere: exit code 1 where this one says otherwise.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Energy profile [the system's].")] = None,
    system: Annotated[str, typer.Option(help="Chip: loihi1, loihi2, generic or a .toml file.")] = "loihi1",
    as_json: AsJson = False,
) -> None:
    """Measure an export again and say all of it in one document, which a second machine can make and compare."""
    from snnas.hw_sim.files import write_json
    from snnas.toolchain.commands.check import attest as make
    from snnas.toolchain.models.pricing import Pricing

    found = make(export, Pricing(profile=profile, system=system), compare=compare)
    if out is not None:
        write_json(out, found.document)
    if as_json:
        print_json(found.document)
    else:
        for line in found.lines():
            print_text(line)
    raise typer.Exit(found.exit_code)
