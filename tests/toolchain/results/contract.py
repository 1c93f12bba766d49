"""Every field of every published document in a line: its path, its type, and whether it must be there.

After a change on purpose ``python -m tests.toolchain.results.contract`` writes tests/golden/documents.txt again. Its
diff is what readers of ``--json`` will meet: a field that goes or becomes narrower needs a new version of its document.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnas.toolchain.results import schemas

GOLDEN = Path(__file__).parents[2] / "golden/documents.txt"
HEAD = "# document  field  type  required or optional; written by python -m tests.toolchain.results.contract"
Tree = dict[str, Any]


def contract() -> str:
    lines = [HEAD]
    for name in schemas.names():
        schema = schemas.schema(name)
        lines += [f"{schema['title']}  {line}" for line in _fields(schema, schema.get("$defs", {}), "")]
    return "\n".join(lines) + "\n"


def _fields(part: Tree, defs: Tree, path: str) -> Iterator[str]:
    """The lines of an object, or of the objects inside a list, a map or a choice."""
    reference = str(part.get("$ref", ""))
    if reference.startswith("#"):
        part = defs[reference.rpartition("/")[2]]
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield f"{here}  {_type(inner, defs)}  {'required' if name in part['required'] else 'optional'}"
        yield from _fields(inner, defs, here)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(part.get(key), dict):
            yield from _fields(part[key], defs, f"{path}{mark}")
    for inner in part.get("anyOf", ()):
        yield from _fields(inner, defs, path)


def _type(part: Tree, defs: Tree) -> str:
    reference = str(part.get("$ref", ""))
    if reference:
        return _type(defs[reference.rpartition("/")[2]], defs) if reference.startswith("#") else reference
    if "anyOf" in part:
        return " or ".join(_type(inner, defs) for inner in part["anyOf"])
    if "const" in part:
        return repr(part["const"])
    kinds = part["type"] if isinstance(part.get("type"), list) else [part.get("type", "anything")]
    return " or ".join(_spelled(kind, part, defs) for kind in kinds)


def _spelled(kind: str, part: Tree, defs: Tree) -> str:
    if kind == "null":
        return kind
    if "enum" in part:
        return "|".join(str(value) for value in part["enum"] if value is not None)
    if kind == "array":
        least, most = part.get("minItems", ""), part.get("maxItems", "")
        return f"list[{_type(part['items'], defs)}]" + (f" of {least}..{most}" if f"{least}{most}" else "")
    if kind == "object" and isinstance(part.get("additionalProperties"), dict):
        return f"map[{_type(part['additionalProperties'], defs)}]"
    bounds = [
        f"{sign}{part[key]}"
        for key, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("pattern", "~"))
        if key in part
    ]
    return " ".join([kind, *bounds])


if __name__ == "__main__":
    GOLDEN.write_text(contract(), encoding="utf-8")
