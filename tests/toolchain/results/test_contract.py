"""What is published changes on purpose alone."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
from pydantic import BaseModel

from snnas.toolchain.results import schemas
from snnas.toolchain.results.documents import RECORDS, document, title
from snnas.toolchain.results.record import Document, Record
from tests.toolchain.results.contract import GOLDEN, contract


def records() -> list[type[Record]]:
    """Every record of the modules that documents are in."""
    modules = {f"snnas.toolchain.results.records.{place.split(':')[0]}" for place in RECORDS.values()}
    found = [value for name in sorted(modules) for value in vars(import_module(name)).values()]
    return sorted({v for v in found if inspect.isclass(v) and issubclass(v, Record)}, key=lambda r: r.__name__)


def test_no_field_changes_by_accident() -> None:
    was, now = GOLDEN.read_text(encoding="utf-8").splitlines(), contract().splitlines()
    gone, new = [line for line in was if line not in now], [line for line in now if line not in was]
    assert (gone, new) == ([], []), "python -m tests.toolchain.results.contract writes it again"
    assert was == now


def test_every_document_has_a_name_that_leads_to_it() -> None:
    known = {document(name) for name in RECORDS}
    declared = {record for record in records() if issubclass(record, Document) and "schema_" in record.model_fields}
    assert declared == known
    assert all(title(document(name)) == schemas.schema(name)["title"] for name in RECORDS)
    assert len({record.__name__ for record in records()}) == len(records()), "two records of one name"


def test_every_field_says_what_it_is() -> None:
    silent = [
        f"{record.__name__}.{name}"
        for record in records()
        for name, field in record.model_fields.items()
        if not field.description and name != "schema_"
    ]
    assert silent == []
    assert all(record.__doc__ != BaseModel.__doc__ and record.__doc__ for record in records())


@pytest.mark.parametrize("name", schemas.names())
def test_what_two_parts_share_is_said_once(name: str) -> None:
    schema = schemas.schema(name)
    text = str({key: value for key, value in schema.items() if key != "$defs"}) + str(schema.get("$defs", {}))
    for part in schema.get("$defs", {}):
        assert part in RECORDS or text.count(f"'#/$defs/{part}'") > 1
