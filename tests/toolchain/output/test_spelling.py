"""One spelling for numbers and units, in everything that is printed: whatever prints it is in these sources."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("toolchain", "search", "export", "hw_sim", "snnas")
# Beside uJ, us and 1,234: other spellings of a unit, and other separators of thousands.
ODD = {
    "a micro sign": r"[\u00b5\u03bc]",
    "microjoules": r"\bmicro-?joules?\b|\buJoules?\b",
    "usec": r"\busecs?\b|\bmicrosecs?\b",
    "thousands by _ or by the locale": r"\{[^{}\"']*:[<>^]?\d*_[bdox]?\}|\{[^{}\"']*:[<>^]?\d*n\}",
    "thousands by a space": r"[\u2009\u202f]",
}


@cache
def printed(path: Path) -> list[tuple[int, str]]:
    """Lines of code that hold a text which is no docstring: prose may spell units out."""
    found = []
    source = path.read_text(encoding="utf-8")
    lines, tree = source.splitlines(), ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if text and id(node) not in prose:
            found += [(number, lines[number - 1]) for number in range(node.lineno, (node.end_lineno or 0) + 1)]
    return found


@pytest.mark.parametrize("kind", ODD)
def test_units_and_separators_have_one_spelling(kind: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in printed(path)
        if re.search(ODD[kind], line, re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a micro sign", 'f"{energy:.3g} \u00b5J"'),
        ("microjoules", '"in microjoules"'),
        ("usec", '"12 usec"'),
        ("thousands by _ or by the locale", 'f"{count:_}"'),
        ("thousands by _ or by the locale", 'f"{count:n}"'),
        ("thousands by a space", '"1\u202f234"'),
    ],
)
def test_each_would_be_found(kind: str, line: str) -> None:
    assert re.search(ODD[kind], line)


def test_what_snntorchs_own_exporter_says_of_a_scalar_beta_is_told_with_its_mend() -> None:
    page = (ROOT / "docs/leaving.md").read_text(encoding="utf-8")
    told = page[page.index("Type inference error: type mismatch") - 600 :][:1400]
    assert "beta" in told
    assert re.search(r"beta=torch\.|torch\.full|torch\.ones", told), "the mend: a tensor of betas"
