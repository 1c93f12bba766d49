"""Why a program does not do what its graph does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnas.toolchain.diagnosing import diagnose as diagnosing
from snnas.toolchain.diagnosing.case import Case, open_case
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.run import on_run
from snnas.toolchain.output.stderr import SILENT, Narrator


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseOptions:
    """What a diagnosis is asked for."""

    subject: str | None = None
    """A run, a folder that ``snnas export`` wrote, or a .nir; None: the newest run."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """Samples, and what a foreign graph leaves open."""
    program: Path | None = None
    """Of a .nir: the program.npz that is said to be its."""
    out: Path | None = None
    """Folder for diagnosis.json, smallest.npz and a picture; None: of a run, ``diagnosis`` in its folder."""
    reduce: bool = True
    """Look for the smallest failing input."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """Where program and graph part."""

    figures: dict[str, Any]
    """As ``--json`` prints them: the schema ``snnas.diagnose``."""
    files: tuple[Path, ...]
    """What was written."""
    next_command: str | None
    """What one would type next, behind ``snnas``; None where there is nothing."""

    @property
    def sound(self) -> bool:
        """Whether every number of the program is the graph's."""
        return not self.figures["faults"]


def diagnose(options: DiagnoseOptions, narrator: Narrator = SILENT) -> Diagnosed:
    """Says where a program parts from its graph, which loss does it, and which of its numbers are wrong.

    UsageError (2) names what is missing, InvalidFileError (3) and UnsupportedError (4) what cannot be read or compiled.
    """
    case = open_case(options.subject, options.reading, program=options.program, runs_dir=options.runs_dir)
    for note in case.notes:
        narrator.note(note)
    figures, failing = diagnosing.diagnose(case, narrator, reduce=options.reduce)
    files: list[Path] = []
    folder = _folder(case, options)
    if folder is not None:
        try:
            files = diagnosing.write(folder, figures, failing)
        except OSError as error:
            if options.out is not None:
                raise
            narrator.note(f"not kept in the run: {error}")  # the diagnosis is told all the same
    for path in files:
        narrator.say(f"  {path}")
    following = None
    if case.run is not None and options.out is None:
        following = on_run("report", case.run, "--html", runs_dir=options.runs_dir)
    return Diagnosed(figures=figures, files=tuple(files), next_command=following)


def _folder(case: Case, options: DiagnoseOptions) -> Path | None:
    if options.out is not None:
        return options.out
    return None if case.run is None else case.run.diagnosis.parent
