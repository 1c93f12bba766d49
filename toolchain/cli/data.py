"""``snnas data``: which data sets there are, where their files lie, and how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table, print_text

data_app = typer.Typer(no_args_is_help=True, help="Data sets: what is known, what is here, and how to get it.")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data sets [SNNAS_DATA, else ./data].")]


@data_app.command(name="list")
def list_sets(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the data sets by name, and whether their files are here."""
    from snnas.hw_sim.errors import InvalidFileError
    from snnas.toolchain.data.datasets.catalogue import SETS, data_folder

    rows: list[dict[str, Any]] = [
        {"name": "digits", "samples": 1797, "sample": [1, 8, 8], "folder": None, "here": True, "source": "bundled"}
    ]
    for name, official in SETS.items():
        try:
            folder: str | None = str(official.locate(data_folder(data_dir)))
        except InvalidFileError:
            folder = None
        rows.append(
            {
                "name": name,
                "samples": official.train + official.test,
                "sample": list(official.sample),
                "folder": folder,
                "here": folder is not None,
                "source": official.page,
            }
        )
    if as_json:
        print_json({"schema": "snnas.data/1", "folder": str(data_folder(data_dir)), "sets": rows})
        return
    from rich.table import Table

    table = Table("data set", "samples", "C x H x W")
    for title in ("here", "source"):
        table.add_column(title, overflow="fold")
    for row in rows:
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
    from snnas.hw_sim.errors import UsageError, did_you_mean
    from snnas.toolchain.data.datasets.catalogue import SETS, data_folder
    from snnas.toolchain.data.datasets.fetch import fetch as download
    from snnas.toolchain.output.stderr import Narrator

    if name not in SETS:
        raise UsageError(f"no data set {name[:80]!r} to fetch; expected {', '.join(SETS)}{did_you_mean(name, SETS)}")
    narrator = Narrator(quiet=quiet)
    with narrator.progress(f"fetching {name}") as advance:
        folder = download(SETS[name], data_folder(data_dir), say=narrator.say, advance=advance)
    if as_json:
        print_json({"schema": "snnas.data.fetch/1", "name": name, "folder": str(folder)})
        return
    print_text(str(folder))
    narrator.next(f"search --dataset {name}")
