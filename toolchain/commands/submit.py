"""A trained run as a row of the leaderboard, and a row made again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_json
from snnas.toolchain.checking.leaderboard import against, read_row, row_of
from snnas.toolchain.checking.remaking import write_files
from snnas.toolchain.output.report import span
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.runs.run import directory, find


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What becomes a row."""

    run: str | None = None
    """Name or folder of a run that was exported to Lava; None: the newest one."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    out: Path | None = None
    """The row, a .json; None: it is not written."""
    name: str | None = None
    """What the row is called; None: as the run."""
    note: str = ""
    """What a reader must know."""
    blind: bool = True
    """Whether no choice saw a test sample."""
    compare: Path | None = None
    """A row that the run is to agree with; None: none."""
    force: bool = False
    """Whether a file that is there is overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Submitted(Shown):
    """A run as a row of the leaderboard."""

    row: dict[str, Any]
    """As ``--json`` prints it: the schema ``snnas.leaderboard``."""
    differences: tuple[str, ...] | None
    """Where the row that it is held against does not agree, a line each; None: it is held against none."""

    @property
    def headline(self) -> str:
        row = self.row
        return f"{row['dataset']}, {row['name']} ({row['method']}): {row['on_target']:.2%} on target"

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.row)

    @property
    def exit_code(self) -> int:
        """1 where the two do not agree."""
        return int(bool(self.differences))

    def lines(self) -> Iterator[str]:
        """For a person."""
        row = self.row
        low, high = row["interval"]
        yield self.headline
        yield f"  {row['test_samples']:,} test samples, 95 % {low:.1%} .. {high:.1%}; {row['accuracy']:.2%} in training"
        if row["energy_uJ"]:
            cores = counted(row["cores"], "core")
            yield f"  {span(row['energy_uJ'])} uJ, {span(row['latency_us'])} us, {cores}; estimated"
        for command in row["made"]["commands"]:
            yield f"  $ {command}"
        for line in self.differences or ():
            yield f"  differs: {line}"
        if self.differences is not None:
            yield "the row is not confirmed" if self.differences else "the row is confirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFiles:
    """The files that a row's commands name, written out."""

    paths: tuple[Path, ...]
    commands: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it: the schema ``snnas.leaderboard.files``."""
        paths = [str(path) for path in self.paths]
        return {"schema": "snnas.leaderboard.files/1", "files": paths, "commands": list(self.commands)}


def write_row_files(row: Path, folder: Path, *, force: bool = False) -> RowFiles:
    """Writes what the commands of a row name into a folder, where they then make the row again.

    UsageError (2) for a published row and for a file that is there, InvalidFileError (3) for a row that is none.
    """
    made = read_row(row)["made"]
    if made is None:
        raise UsageError(f"{row}: a published row, which no command makes again; give a row of snnas submit")
    return RowFiles(paths=tuple(write_files(made, folder, force=force)), commands=tuple(made["commands"]))


def submit(options: SubmitOptions) -> Submitted:
    """Makes the row, writes it where ``out`` says, and holds it against another where ``compare`` says.

    UsageError (2) for a run without an export and a file that is there, GateError (1) where ``snnas check`` fails the
    export, InvalidFileError (3) for a row that is none.
    """
    out = options.out
    if out is not None and out.exists() and not options.force:
        raise UsageError(f"--out {out}: it is there already; give another name, or --force")
    theirs = None if options.compare is None else read_row(options.compare)
    run = find(directory(options.runs_dir), options.run)
    row = row_of(run, name=options.name, note=options.note, blind=options.blind)
    differences = None if theirs is None else tuple(against(row, theirs))
    if out is not None:
        write_json(out, row)
    return Submitted(row=row, differences=differences)
