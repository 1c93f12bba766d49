"""The runs of a folder."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Document, Record, Sha256
from snnas.toolchain.results.records.shared import Stage


class RunRow(Record):
    """A run of a folder."""

    run: str
    """Name of the run."""
    created_at: str | None
    """ISO 8601, UTC."""
    stage: Stage
    """How far the run has come."""
    validation_accuracy: float | None
    """On the validation split, 0..1."""
    no_measurement: str | None = None
    """Why that accuracy says nothing; null where it is a measurement."""
    reason: str | None
    """Why it is damaged, or failed for good."""


class RunList(Document):
    """The runs of a folder."""

    printed_by = ("runs", "runs list")

    schema_: Literal["snnas.runs/1"]
    folder: str
    """Folder, as a path of this machine."""
    runs: list[RunRow]
    """The runs, by name."""


class RunsRemoved(Document):
    """The runs that were removed."""

    printed_by = ("runs remove",)

    schema_: Literal["snnas.runs.remove/1"]
    removed: list[str]
    """Paths of the runs that were removed."""


class RunPacked(Document):
    """The file that a run was packed into."""

    printed_by = ("runs pack",)

    schema_: Literal["snnas.runs.pack/1"]
    run: str
    """Name of the run."""
    path: str
    """The .zip, as a path of this machine."""
    files: Count
    """How many files it holds."""
    sha256: Sha256
    """Of the .zip; equal runs give equal ones."""
