"""Files that hold a record: held against it, and refused in one line that names the first field that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from snnas.hw_sim.errors import InvalidFileError, brief

if TYPE_CHECKING:
    from snnas.toolchain.results.record import Record

R = TypeVar("R", bound="Record")
Tree = dict[str, Any]
Key = int | str

TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "array": "a list",
    "null": "null",
}
BOUNDS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}"}
LENGTHS = {"minItems": "{} or more", "maxItems": "at most {}"}


def hold(record: type[R], value: Any, where: str, mend: str, *, toml: bool = False) -> R:
    """``value``, as it was read from the file ``where``, as ``record``; what the record does not know is ignored.

    toml: the file is TOML, whose objects are tables: a place is written ``[section] key``. InvalidFileError (exit 3):
    place and value of the first field that is wrong, what was expected there, and ``mend``.
    """
    from pydantic import ValidationError

    try:
        return record.model_validate(value)
    except ValidationError as error:
        place, found = _place(value, error.errors(include_url=False, include_input=False)[0]["loc"])
        wanted = _wanted(_schema(record), place, "a table" if toml else "an object")
        spelled = _spelled(place, wanted == "a table") if toml else _dotted(place)
        raise InvalidFileError(f"{where}: {spelled or 'it'} is {found}, expected {wanted}; {mend}") from None


@cache
def _schema(record: type[Record]) -> Tree:
    """A report's takes as long as reading it two hundred times, and a page asks for it once a section."""
    return record.model_json_schema()


def _place(value: Any, loc: Sequence[Key]) -> tuple[list[Key], str]:
    """Where an error of pydantic's is in the file, and what stands there: the value in short, 'null' or 'missing'.

    Where a field takes one of several records, ``loc`` names besides the one that was tried.
    """
    place: list[Key] = []
    for at, key in enumerate(loc):
        if isinstance(value, list) if isinstance(key, int) else isinstance(value, dict) and key in value:
            value = value[key]
        elif at == len(loc) - 1 and isinstance(value, dict):
            return [*place, key], "missing"
        else:
            continue
        place.append(key)
    return place, "null" if value is None else brief(value)


def _wanted(whole: Tree, place: Sequence[Key], noun: str) -> str:
    """What the schema ``whole`` expects at a place, in words: 'a whole number >= 0 or null'."""
    parts = [whole]
    for key in place:
        parts = [inner for part in parts for found in _choices(part, whole) for inner in _inside(found, key)]
    words = [_words(found, noun) for part in parts for found in _choices(part, whole)]
    return " or ".join(dict.fromkeys(words)) or "nothing of that name"


def _choices(part: Tree, whole: Tree) -> list[Tree]:
    """The schemas one of which must hold."""
    part = whole["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return [found for choice in part["anyOf"] for found in _choices(choice, whole)] if "anyOf" in part else [part]


def _inside(part: Tree, key: Key) -> list[Tree]:
    """The schema of a field or an item, where there is one."""
    if isinstance(key, int):
        found = part.get("items")
    else:
        found = part.get("properties", {}).get(key, part.get("additionalProperties"))
    return [found] if isinstance(found, dict) else []


def _words(part: Tree, noun: str) -> str:
    if "const" in part:
        return repr(part["const"])
    if "enum" in part:
        return f"one of {', '.join(map(repr, part['enum']))}"
    kind = part.get("type", "a value")
    bounds = " and ".join(text.format(part[key]) for key, text in BOUNDS.items() if key in part)
    if part.get("minItems") == part.get("maxItems"):
        lengths = f"of {part['minItems']}" if "minItems" in part else ""
    else:
        lengths = "of " + " and ".join(text.format(part[key]) for key, text in LENGTHS.items() if key in part)
    pattern = f"that matches {part['pattern']}" if "pattern" in part else ""
    return " ".join(filter(None, (noun if kind == "object" else TYPES.get(kind, kind), bounds, lengths, pattern)))


def _dotted(place: Sequence[Key]) -> str:
    """'ranges['cell.1'].a', 'runs[0].name'."""
    text = ""
    for key in place:
        plain = isinstance(key, str) and key.isidentifier() and len(key) <= 60
        text += f".{key}" if plain else f"[{brief(key)}]"
    return text.removeprefix(".")


def _spelled(place: Sequence[Key], table: bool) -> str:
    """'[data] options.frames' of a TOML file, '[data]' of a table, 'seed' of what stands before the tables."""
    if len(place) > 1:
        return f"[{place[0]}] {_dotted(place[1:])}"
    return f"[{place[0]}]" if table and place else _dotted(place)
