"""The published JSON Schemas (draft 2020-12) of what ``--json`` prints, one file each beside this module.

The key ``x-printed-by`` of a schema lists the commands that print it. One that holds another refers to it by its
``$id``, and is given out with it in ``$defs``, so that it stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

from snnas.hw_sim.errors import UsageError, did_you_mean

SCHEMA = "snnas.schemas/1"
POLICY = """\
Every object names its schema and version: `"schema": "snnas.report/1"`. Within a version no field goes, changes its
name, its meaning or its unit, and what is required stays required. Fields may be added: the schemas leave
`additionalProperties` open, and a reader ignores what it does not know. (The tests of snnas close them: a field that is
printed and not described fails.) What is absent is null; NaN and infinities are never printed. Energies are in uJ and
latencies in us, per inference; rates and accuracies are fractions."""


def names() -> list[str]:
    """The names, sorted: report, bench.search, ..."""
    return sorted(path.name.removesuffix(".json") for path in resources.files(__name__).iterdir() if _is_schema(path))


def schema(name: str) -> dict[str, Any]:
    """The schema called ``name``, with or without ``snnas.`` and version, and in its ``$defs`` those that it refers to.

    UsageError where there is none.
    """
    plain = name.removeprefix("snnas.").split("/")[0]
    if plain not in names():
        raise UsageError(f"no schema {name[:80]!r}; snnas schema lists them{did_you_mean(plain, names())}")
    found: dict[str, Any] = json.loads(resources.files(__name__).joinpath(f"{plain}.json").read_text(encoding="utf-8"))
    others = {other: schema(other) for other in sorted(set(_others(found)))}
    return {**found, "$defs": {**found.get("$defs", {}), **others}} if others else found


def overview() -> list[dict[str, Any]]:
    """Name, version, commands and description of every schema."""
    return [
        {
            "name": name,
            "schema": found["title"],
            "printed_by": found["x-printed-by"],
            "description": found["description"],
        }
        for name in names()
        for found in (schema(name),)
    ]


def _others(part: Any) -> Iterator[str]:
    """The names of the schemas that ``part`` refers to: report of ``urn:snnas:report:1``."""
    if isinstance(part, dict):
        if str(part.get("$ref", "")).startswith("urn:snnas:"):
            yield part["$ref"].split(":")[2]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _others(inner)


def _is_schema(path: Any) -> bool:
    return str(path.name).endswith(".json")
