"""Reports beside each other, and as a page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record
from snnas.toolchain.results.records.report import Report


class ComparedRun(Record):
    """One of the runs."""

    name: str
    """Name of the run, numbered where an earlier one has the same."""
    path: str
    """Folder of the run, of this machine."""
    report: Report | None
    """Its report.json; null: not exported, or not readable."""


class Comparison(Document):
    """Several runs beside each other: the report of each, and what was set otherwise."""

    printed_by = ("report A B",)

    schema_: Literal["snnas.report.comparison/1"]
    runs: Annotated[list[ComparedRun], Field(min_length=2, max_length=12)]
    """The runs, in the order given."""
    differences: dict[str, list[Any]]
    """Settings of run.toml that are not the same in all, by name (section.key): the value of each run, in the order of
    runs, as run.toml has it (text, a number, true or false, a list or a table); what a run does not have is null."""
    warnings: list[str]
    """Why figures may not be comparable, one sentence each."""


class PageWritten(Document):
    """Where the page was written."""

    printed_by = ("report --html",)

    schema_: Literal["snnas.report.html/1"]
    path: str
    """Path of this machine."""
