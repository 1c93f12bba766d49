"""``snnas lava``: the worker's environment. Registered in ``app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_text

lava_app = typer.Typer(no_args_is_help=True, help="The Lava worker: its own Python 3.10 environment.")


@lava_app.command()
def setup(
    python: Annotated[Path | None, typer.Option(help="The Python 3.10 to build it on.")] = None,
    with_dl: Annotated[bool, typer.Option("--with-dl", help="Also lava-dl (it brings torch 2.3: 5.6 GB).")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the worker's environment with lava-nc (about 20 s, 320 MB)."""
    from snnas.toolchain.commands.machine import set_up_lava
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    interpreter = set_up_lava(python, with_dl=with_dl, narrator=narrator)
    if as_json:
        print_json({"schema": "snnas.lava.setup/1", "python": str(interpreter)})
        return
    print_text(str(interpreter))
    narrator.say("next: snnas export --target lava (of a run; snnas search makes one)")
