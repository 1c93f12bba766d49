"""The published JSON Schemas (draft 2020-12) of what ``--json`` prints, made from the records.

The key ``x-printed-by`` of a schema lists the commands that print it. One that holds another refers to it by its
``$id``, and is given out with it in ``$defs``, so that it stands alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from snnas.toolchain.results.documents import RECORDS, document, title

if TYPE_CHECKING:
    from snnas.toolchain.results.record import Document

SCHEMA = "snnas.schemas/1"
POLICY = """\
Every object names its schema and version: `"schema": "snnas.report/1"`. Within a version no field goes, changes its
name, its meaning or its unit, and what is required stays required. Fields may be added: the schemas leave
`additionalProperties` open, and a reader ignores what it does not know. (The tests of snnas close them: a field that is
printed and not described fails.) What is absent is null; NaN and infinities are never printed. Energies are in uJ and
latencies in us, per inference; rates and accuracies are fractions."""

Tree = dict[str, Any]


def names() -> list[str]:
    """The names, sorted: report, bench.search, ..."""
    return sorted(RECORDS)


def schema(name: str) -> Tree:
    """The schema called ``name``, with or without ``snnas.`` and version, and in its ``$defs`` those that it refers to.

    UsageError where there is none.
    """
    record = document(name)
    made = record.model_json_schema()
    parts = made.pop("$defs", {})
    known = _documents()
    uses = Counter(_references(made, {part: found for part, found in parts.items() if part not in known}))
    others = {part: known[part] for part in uses if part in known}
    held = {part: parts[part] for part, times in uses.items() if times > 1 and part not in others}
    once = {part: parts[part] for part in uses.keys() - others.keys() - held.keys()}
    links = {part: _id(document(other)) for part, other in others.items()}
    plain = _plain(made, once, links)
    first = ["schema", *(key for key in plain["properties"] if key != "schema")]
    beside = {part: _plain(found, once, links) for part, found in sorted(held.items())}
    beside |= {other: schema(other) for other in sorted(others.values())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _id(record),
        "title": title(record),
        "description": _summary(record),
        "x-printed-by": list(record.printed_by),
        "type": "object",
        "required": [key for key in first if key in plain["required"]],
        "properties": {key: plain["properties"][key] for key in first},
        **({"$defs": beside} if beside else {}),
    }


def overview() -> list[Tree]:
    """Name, version, commands and description of every schema."""
    return [
        {
            "name": name,
            "schema": title(record),
            "printed_by": list(record.printed_by),
            "description": _summary(record),
        }
        for name in names()
        for record in (document(name),)
    ]


def _documents() -> dict[str, str]:
    """Name of the record's class -> name of the document."""
    return {place.partition(":")[2]: name for name, place in RECORDS.items()}


def _id(record: type[Document]) -> str:
    """urn:snnas:report:1 of snnas.report/1."""
    return f"urn:{title(record).replace('.', ':', 1).replace('/', ':')}"


def _summary(record: type[Document]) -> str:
    """What the document is: its record's docstring, as a part of a sentence."""
    said = " ".join((record.__doc__ or "").split()).removesuffix(".")
    return said if said[1:2].isupper() else said[:1].lower() + said[1:]


def _references(part: Any, inside: Tree, seen: set[str] | None = None) -> Iterator[str]:
    """The names behind every ``$ref``, as often as they stand there; those in a part ``inside`` are looked up once."""
    seen = set() if seen is None else seen
    if isinstance(part, dict):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if name:
            yield name
        if name in inside and name not in seen:
            seen.add(name)
            yield from _references(inside[name], inside, seen)
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _references(inner, inside, seen)


def _plain(part: Any, once: Tree, links: dict[str, str]) -> Any:
    """A schema of pydantic's in fewer words: no titles, no defaults; what is used once stands where it is used."""
    if isinstance(part, list):
        return [_plain(inner, once, links) for inner in part]
    if not isinstance(part, dict):
        return part
    out: Tree = {}
    for key, value in part.items():
        if key == "properties":  # whose keys are names of fields
            out[key] = {name: _plain(inner, once, links) for name, inner in value.items()}
        elif key == "description":
            out[key] = " ".join(value.split())
        elif key not in ("title", "default"):
            out[key] = _plain(value, once, links)
    if "properties" in out:
        out.setdefault("required", [])
    name = out.get("$ref", "").rpartition("/")[2]
    if name in links:
        out["$ref"] = links[name]
    elif name in once:
        del out["$ref"]
        out = {**_plain(once[name], once, links), **out}
    return _without_choice(out)


def _without_choice(part: Tree) -> Tree:
    """One type or null, or one of several plain types, as a list of types."""
    choice = part.get("anyOf", [])
    kinds = [inner.get("type") for inner in choice]
    *before, last = choice or [{}]
    if len(before) == 1 and last == {"type": "null"} and isinstance(kinds[0], str) and "const" not in before[0]:
        one = {**before[0], "type": [kinds[0], "null"]}
        if "enum" in one:
            one["enum"] = [*one["enum"], None]
    elif choice and all(inner.keys() == {"type"} for inner in choice):
        one = {"type": kinds}
    else:
        return part
    return {**one, **{key: value for key, value in part.items() if key != "anyOf"}}
