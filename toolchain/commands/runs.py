"""The runs on disk: listed, found, packed, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import sha256
from snnas.toolchain.commands.given import path_of
from snnas.toolchain.output.card import write_card
from snnas.toolchain.output.run import LIST_SCHEMA, overview, overview_table
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken
from snnas.toolchain.runs.pack import SUFFIX, pack
from snnas.toolchain.runs.remove import held, remove
from snnas.toolchain.runs.run import Run, directory, find

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RunsListed(Shown):
    """The runs of a folder."""

    folder: Path
    """Where they are."""
    rows: list[dict[str, Any]]
    """One per run, by name: run, created_at, stage, validation_accuracy, and the reason of one that is damaged."""

    @property
    def headline(self) -> str:
        return f"{len(self.rows)} run{'s' * (len(self.rows) != 1)} in {self.folder}"

    def to_dict(self) -> dict[str, Any]:
        return {"schema": LIST_SCHEMA, "folder": str(self.folder), "runs": [dict(row) for row in self.rows]}

    def tables(self) -> Iterator[Table]:
        yield overview_table(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPacked:
    """A run as one file."""

    run: str
    """Its name."""
    path: Path
    """The .zip."""
    files: int
    """How many it holds."""
    sha256: str
    """Of the .zip; equal runs give equal ones."""


@spoken
def list_runs(runs_dir: str | Path | None = None) -> RunsListed:
    """The runs of a folder (None: SNNAS_RUNS, else ./runs); a damaged one hides no other."""
    folder = directory(path_of(runs_dir))
    return RunsListed(folder=folder, rows=overview(folder))


def find_run(name: str | None = None, runs_dir: Path | None = None) -> Run:
    """The run of that name or folder, or the newest one; UsageError (2) where there is none."""
    return find(directory(runs_dir), name)


def pack_run(name: str | None = None, runs_dir: Path | None = None, *, out: Path | None = None) -> RunPacked:
    """The run as one .zip (None: NAME.zip here), with its card, README.md; whatever takes a run takes it.

    UsageError (2) where there is no such run or ``out`` is no .zip; InvalidFileError (3) where the run is damaged.
    """
    run = find(directory(runs_dir), name)
    to = Path(f"{run.path.name}{SUFFIX}") if out is None else out
    if to.suffix != SUFFIX:
        raise UsageError(f"--out {to}: expected a name that ends with {SUFFIX}")
    with run.lock():
        write_card(run)
        files = pack(run.path, to)
    return RunPacked(run=run.name, path=to, files=files, sha256=sha256(to))


def remove_runs(
    names: Sequence[str], runs_dir: Path | None = None, *, agreed: Callable[[list[Run]], bool] = lambda runs: True
) -> list[Path] | None:
    """Removes runs with all that is in their folders; all of them, or none where one is in use or is no run.

    agreed: is asked with the runs, held, before anything goes. Returns the folders that went; None where it said no.
    """
    with held(directory(runs_dir), names) as found:
        if not agreed(found):
            return None
        for run in found:
            remove(run)
    return [run.path for run in found]
