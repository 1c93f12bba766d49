"""Data sets: which there are, where their files lie, and how to get them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean
from snnas.toolchain.data.datasets import fetch
from snnas.toolchain.data.datasets.catalogue import SETS, data_folder
from snnas.toolchain.output.spoken import spoken
from snnas.toolchain.output.stderr import SILENT, Narrator

DIGITS = {"name": "digits", "samples": 1797, "sample": [1, 8, 8], "folder": None, "here": True, "source": "bundled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetsListed:
    """The data sets that are known by name."""

    folder: Path
    """Where their files are looked for."""
    rows: list[dict[str, Any]]
    """One per set: name, samples, sample (C, H, W), folder (None: not here), here, source."""


def list_datasets(data_dir: Path | None = None) -> DatasetsListed:
    """The data sets by name, and whether their files are in the folder (None: SNNAS_DATA, else ./data)."""
    rows: list[dict[str, Any]] = [dict(DIGITS)]
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
    return DatasetsListed(folder=data_folder(data_dir), rows=rows)


@spoken
def fetch_dataset(name: str, data_dir: Path | None = None, narrator: Narrator = SILENT) -> Path:
    """Downloads the official files that are missing and returns their folder; each is checked before it takes its name.

    UsageError (2) for a name that is none, InvalidFileError (3) for a file that is not the official one.
    """
    if name not in SETS:
        raise UsageError(f"no data set {name[:80]!r} to fetch; expected {', '.join(SETS)}{did_you_mean(name, SETS)}")
    with narrator.progress(f"fetching {name}") as advance:
        return fetch.fetch(SETS[name], data_folder(data_dir), say=narrator.say, advance=advance)
