"""``snnas doctor``: what is usable on this machine. Registered in ``app``."""

from __future__ import annotations

from dataclasses import asdict

from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.output.stdout import print_json, print_table


def doctor(as_json: AsJson = False) -> None:
    """Say what is usable here, and why the rest is not."""
    from snnas.toolchain.commands.machine import SCHEMA, examine_installation

    items = examine_installation()
    if as_json:
        print_json({"schema": SCHEMA, "items": [asdict(item) for item in items]})
        return
    from rich.table import Table

    out = Table(show_header=False)
    for item in items:
        out.add_row(item.status, item.name, item.detail)
    print_table(out)
