"""CONTRIBUTING.md is a map: every path that it names is there, and every room is on it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("toolchain", "search", "export", "hw_sim", "snnas", "tests", "docs", "examples", "conformance")
PATH = re.compile(rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w./]*\w/?")


def named(text: str) -> set[str]:
    return set(PATH.findall(text))


def absent(text: str) -> list[str]:
    return sorted(path for path in named(text) if not (ROOT / path).exists())


def the_map() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_path_is_there() -> None:
    text = the_map()
    assert len(named(text)) > 60
    assert absent(text) == []
    for name in re.findall(r"`([a-z_]+\.py)`", text):  # a file of a folder that is named beside it
        assert (ROOT / "export/compiler" / name).exists(), name


def test_a_path_that_is_gone_is_found() -> None:
    assert absent(f"{the_map()} `search/network/gone.py` and tests/gone/") == ["search/network/gone.py", "tests/gone/"]


def test_every_room_of_the_toolchain_is_on_it() -> None:
    rooms = {path.parent.name for path in (ROOT / "toolchain").glob("*/__init__.py")}
    text = the_map()
    assert len(rooms) > 10
    assert {room for room in rooms if f"`{room}/`" not in text} == set()


def test_the_tables_named_in_capitals_are_where_it_says() -> None:
    found = re.findall(r"`([A-Z]+)`\s+\(`([\w/]+\.py)`\)", the_map())
    assert {name for name, _ in found} == {"RUNNERS", "KINDS", "TARGETS"}
    for name, path in found:
        assert re.search(rf"^{name}\b.* = ", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name
