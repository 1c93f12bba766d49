"""What is on this machine: ``doctor``, and ``lava setup``. Registered in ``cli``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table, print_text

lava_app = typer.Typer(no_args_is_help=True, help="The Lava worker: its own Python 3.10 environment.")


def doctor(as_json: AsJson = False) -> None:
    """Say what is usable here, and why the rest is not."""
    from snnas.toolchain.cli.doctor import SCHEMA, examine

    items = examine()
    if as_json:
        plain = [{"name": i.name, "status": i.status, "detail": i.detail} for i in items]
        print_json({"schema": SCHEMA, "items": plain})
        return
    from rich.table import Table

    out = Table(show_header=False)
    for item in items:
        out.add_row(item.status, item.name, item.detail)
    print_table(out)


@lava_app.command()
def setup(
    python: Annotated[Path | None, typer.Option(help="The Python 3.10 to build it on.")] = None,
    with_dl: Annotated[bool, typer.Option("--with-dl", help="Also lava-dl (it brings torch 2.3: 5.6 GB).")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the worker's environment with lava-nc (about 20 s, 320 MB)."""
    from snnas.hw_sim.lava import environment as lava_environment
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    interpreter = lava_environment.setup(python, with_dl, narrator.say)
    if as_json:
        print_json({"schema": "snnas.lava.setup/1", "python": str(interpreter)})
        return
    print_text(str(interpreter))
    narrator.say("next: snnas export --target lava (of a run; snnas search makes one)")
