"""``snnas data``: which data sets there are, where their files lie, and how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table, print_text

data_app = typer.Typer(no_args_is_help=True, help="Data sets: what is known, what is here, and how to get it.")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data sets [SNNAS_DATA, else ./data].")]


@data_app.command(name="list")
def list_sets(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the data sets by name, and whether their files are here."""
    from snnas.toolchain.commands.data import list_datasets

    found = list_datasets(data_dir)
    if as_json:
        print_json({"schema": "snnas.data/1", "folder": str(found.folder), "sets": found.rows})
        return
    from rich.table import Table

    table = Table("data set", "samples", "C x H x W")
    for title in ("here", "source"):
        table.add_column(title, overflow="fold")
    for row in found.rows:
        shape = " x ".join(map(str, row["sample"]))
        here = row["folder"] or ("bundled" if row["here"] else "no")
        table.add_row(row["name"], f"{row['samples']:,}", shape, here, row["source"])
    print_table(table)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set, as snnas data list names it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download the official files that are missing; each is checked before it takes its name."""
    from snnas.toolchain.commands.data import fetch_dataset
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    folder = fetch_dataset(name, data_dir, narrator)
    if as_json:
        print_json({"schema": "snnas.data.fetch/1", "name": name, "folder": str(folder)})
        return
    print_text(str(folder))
    narrator.next(f"search --dataset {name}")
