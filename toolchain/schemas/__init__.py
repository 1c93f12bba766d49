"""The published JSON Schemas (draft 2020-12) of what ``--json`` prints, one file each beside this module.

The key ``x-printed-by`` of a schema lists the commands that print it.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from hw_sim.errors import UsageError, did_you_mean

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
    """The schema called ``name``, with or without ``snnas.`` and version; UsageError where there is none."""
    plain = name.removeprefix("snnas.").split("/")[0]
    if plain not in names():
        raise UsageError(f"no schema {name[:80]!r}; snnas schema lists them{did_you_mean(plain, names())}")
    return dict(json.loads(resources.files(__name__).joinpath(f"{plain}.json").read_text(encoding="utf-8")))


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


def _is_schema(path: Any) -> bool:
    return str(path.name).endswith(".json")
