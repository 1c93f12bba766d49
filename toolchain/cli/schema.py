"""``snnas schema``: the JSON Schemas of what ``--json`` prints. Registered in ``app``."""

from __future__ import annotations

from typing import Annotated

import typer

from snnas.toolchain.output.stdout import print_json, print_table


def schema(
    name: Annotated[str | None, typer.Argument(help="A schema, as the list names it; the list where left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Print the JSON Schema of a command's --json, or list the schemas."""
    from snnas.toolchain.results import schemas

    if name is not None:
        print_json(schemas.schema(name))
        return
    rows = schemas.overview()
    if as_json:
        print_json({"schema": schemas.SCHEMA, "schemas": rows})
        return
    from rich.table import Table

    out = Table("schema", "printed by", "is")
    for row in rows:
        out.add_row(row["schema"], ", ".join(row["printed_by"]), row["description"])
    print_table(out)
