"""What is usable and stored on this machine, and what snnas can print."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Document, Record


class DoctorItem(Record):
    """What was looked at, and whether it can be used."""

    name: str
    """Name."""
    status: Literal["ok", "missing", "broken"]
    """Verdict or state, in one word."""
    detail: str
    """What was found, in a sentence."""


class Doctor(Document):
    """What is usable on this machine."""

    printed_by = ("doctor",)

    schema_: Literal["snnas.doctor/1"]
    items: list[DoctorItem]
    """What was looked at."""


class LavaSetUp(Document):
    """The worker's interpreter."""

    printed_by = ("lava setup",)

    schema_: Literal["snnas.lava.setup/1"]
    python: str
    """Path of the interpreter."""


class DataSetRow(Record):
    """A data set."""

    name: str
    """Name."""
    samples: int
    """How many samples."""
    sample: list[int]
    """C, H, W of one sample."""
    folder: str | None
    """Folder, as a path of this machine."""
    here: bool
    """Whether its files are here."""
    source: str
    """Where it comes from."""


class DataSetList(Document):
    """The data sets that are known."""

    printed_by = ("data list",)

    schema_: Literal["snnas.data/1"]
    folder: str
    """Folder, as a path of this machine."""
    sets: list[DataSetRow]
    """The data sets, bundled ones first."""


class DataSetFetched(Document):
    """Where a data set was put."""

    printed_by = ("data fetch",)

    schema_: Literal["snnas.data.fetch/1"]
    name: str
    """Name."""
    folder: str
    """Folder, as a path of this machine."""


class SchemaRow(Record):
    """A schema."""

    name: str
    """Name."""
    schema_: str
    """Name and version of this format."""
    printed_by: list[str]
    """Commands that print it."""
    description: str
    """What it is."""


class SchemaList(Document):
    """The schemas that there are."""

    printed_by = ("schema",)

    schema_: Literal["snnas.schemas/1"]
    schemas: list[SchemaRow]
    """The schemas."""
