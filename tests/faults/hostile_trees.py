"""Changes to trees of values: other types, extremes, missing and added keys, and text that a dumper would not write.

A ``Raw`` stands as it is in the text: NaN, numbers of thousands of digits, lone surrogates, nesting without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.faults.hostile_bytes import scrambled


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that stands in the file as it is."""

    text: str


STRINGS = (
    "", "x" * 5000, "\x1b]0;owned\x07\x1b[31m", "a\nb\r\nc", "\x00", "a\u202eb\u2066c", "\u2028", "\x9b31m",
    "é\U0001f600", '"><script>alert(1)</script>', "' onload='alert(1)", "</style></script><img src=x onerror=alert(1)>",
    "../../x",
    "/etc/passwd", "{0.__class__}", "%s%n", "nan", "inf", "1e400", "__import__('os').system('true')", "NaN", "True",
    "-1", "0", "[bold]x[/bold]", "file:///etc/passwd", "mse_nas", "lightsnn", "conv3x3", "digits",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 3, 255, 65535, 2**31, 2**32, 2**53, 2**63, -(2**63), 2**64, 10**30, 10**300, -0.0, 0.5, 1e-320, 1e308,
    -1e308, 1e20, True, False,
)  # fmt: skip
RAW_JSON = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "1" + "0" * 400, "-" + "9" * 400, '"\\ud800"',
    '"\\u0000"', '"\\udfff\\ud800"', '"\t"', "01", "1.", "nul", "'x'", "0x10", '{"a":1,"a":2}', "[,]", "[1,]", '"\\x"',
)  # fmt: skip
RAW_TOML = (
    "nan", "inf", "-inf", "1e999", "9" * 5000, "1" + "0" * 400, "1979-05-27T07:32:00Z", "07:32:00", "1979-05-27",
    "0xFFFFFFFFFFFFFFFFFFFFFFFF", "0x" + "F" * 5000,
    "0b1", "'''\nx\n'''", '"""\\\n  x"""', '"\\ud800"', '"\\U0010FFFF"',
    "{}", "{a=1,a=2}", "{a.b.c=1}", "[[1],[2]]", "+1", "1_000", "truE", "",
)  # fmt: skip


def nested(rng: Random, opening: str = "[", closing: str = "]") -> str:
    """Nesting near the limits of recursion, or far beyond; now and then it is not closed."""
    depth = rng.choice((50, 200, 480, 900, 940, 970, 985, 990, 995, 1200, 20_000))
    return opening * depth + "1" + (closing * depth if rng.random() < 0.9 else "")


def hostile_value(rng: Random, raw: tuple[str, ...]) -> Any:
    """Any value but a sensible one."""
    kind = rng.randrange(10)
    if kind < 3:
        return rng.choice(STRINGS)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind == 6:
        return Raw(rng.choice(raw))
    if kind == 7:
        return rng.choice(([], {}, [[]], [None], [1, "a"], {"": {}}, [0] * 2000, None, [{}] * 3, {"a": [1, {"b": 2}]}))
    if kind == 8 and rng.random() < 0.4:
        return Raw(nested(rng) if raw is RAW_TOML or rng.random() < 0.5 else nested(rng, '{"a":', "}"))
    return rng.choice((rng.randint(-10, 10), rng.random() * 10, rng.getrandbits(70), str(rng.randint(-5, 5))))


def changed(rng: Random, tree: Any, raw: tuple[str, ...] = RAW_JSON, changes: int = 3) -> Any:
    """The tree with one to ``changes`` changes; the one given stays as it is."""
    for _ in range(rng.randint(1, changes)):
        tree = _descend(rng, tree, raw)
    return tree


def _descend(rng: Random, tree: Any, raw: tuple[str, ...]) -> Any:
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.25:
        return _replaced(rng, tree, raw)
    out = copy(tree)
    key = rng.choice(list(tree)) if isinstance(tree, dict) else rng.randrange(len(tree))
    out[key] = _descend(rng, tree[key], raw)
    return out


def _replaced(rng: Random, tree: Any, raw: tuple[str, ...]) -> Any:
    if isinstance(tree, dict) and tree and rng.random() < 0.75:
        return _keys(rng, tree, raw)
    if isinstance(tree, list) and tree and rng.random() < 0.75:
        return _items(rng, tree, raw)
    if isinstance(tree, str) and tree and rng.random() < 0.3:
        return scrambled(rng, tree.encode(), changes=2).decode("utf-8", "replace")
    if isinstance(tree, int | float) and rng.random() < 0.4:
        return rng.choice((-tree, tree + 1, tree - 1, tree * 2, tree * 0, str(tree), float(tree), [tree]))
    return hostile_value(rng, raw)


def _keys(rng: Random, tree: dict[str, Any], raw: tuple[str, ...]) -> dict[str, Any]:
    key, kind = rng.choice(list(tree)), rng.randrange(4)
    if kind == 0:
        return {k: v for k, v in tree.items() if k != key}
    if kind == 1:
        return {(rng.choice(STRINGS) if k == key else k): v for k, v in tree.items()}
    if kind == 2:
        return tree | {rng.choice(STRINGS): hostile_value(rng, raw)}
    return tree | {key: tree[rng.choice(list(tree))]}


def _items(rng: Random, tree: list[Any], raw: tuple[str, ...]) -> list[Any]:
    at, kind = rng.randrange(len(tree)), rng.randrange(4)
    if kind == 0:
        return tree[:at] + tree[at + 1 :]
    if kind == 1:
        return tree[:at] + [tree[at]] * rng.choice((2, 3, 300)) + tree[at + 1 :]
    if kind == 2:
        return [*tree[:at], hostile_value(rng, raw), *tree[at + 1 :]]
    return rng.sample(tree, len(tree))


# ------------------------------------------------------------------------------------------------------------- as text


def as_json(tree: Any) -> str:
    """JSON, with every Raw as it stands."""
    raws: list[str] = []

    def mark(value: Any) -> Any:
        assert isinstance(value, Raw)
        raws.append(value.text)
        return f"@@RAW{len(raws) - 1}@@"

    text = json.dumps(tree, default=mark)
    for number, raw in enumerate(raws):
        text = text.replace(f'"@@RAW{number}@@"', raw)
    return text


def as_toml(tree: Any) -> str:
    """TOML: tables of tables under headers, what lies deeper inline; not always valid."""
    if not isinstance(tree, dict):
        return _toml_value(tree)
    plain = [(k, v) for k, v in tree.items() if not isinstance(v, dict)]
    lines = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in plain]
    for name, table in tree.items():
        if isinstance(table, dict):
            lines.append(f"[{_toml_key(name)}]")
            lines += [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"


def _toml_key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, bool) or value is None:
        return "true" if value else "false"
    return json.dumps(value)


def json_text(rng: Random, tree: Any) -> bytes:
    """A hostile JSON file made of a healthy tree."""
    return _encoded(rng, as_json(changed(rng, tree)))


def json_lines(rng: Random, records: list[Any]) -> bytes:
    """A hostile log made of healthy records."""
    out = list(records)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out)) if out else 0
        out[at : at + 1] = rng.choice(([], [changed(rng, out[at]) if out else 1], out[at : at + 1] * 2))
    return _encoded(rng, "".join(f"{as_json(record)}\n" for record in out))


def toml_text(rng: Random, tree: dict[str, Any]) -> bytes:
    """A hostile TOML file made of a healthy tree."""
    text = as_toml(changed(rng, tree, RAW_TOML))
    if rng.random() < 0.1:
        path = ".".join(["a"] * rng.choice((10, 300, 500, 990, 1500)))
        text += rng.choice((f"{path} = 1\n", f"[{path}]\nx = 1\n", f"[[{path}]]\n", "x = {" + f"{path} = 1}}\n"))
    return _encoded(rng, text)


def _encoded(rng: Random, text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.2:
        return scrambled(rng, data)
    if kind < 0.23:
        encode: Callable[[str], bytes] = rng.choice(
            (lambda t: t.encode("utf-16", "replace"), lambda t: b"\xef\xbb\xbf" + t.encode("utf-8", "replace"))
        )
        return encode(text)
    return data
