"""Every command that README and docs show is one that the command line takes; README's Python runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from snnas.export.compiler.observed_currents import Ranges
from snnas.export.dialects.table import TABLE
from snnas.hw_sim import tables
from snnas.hw_sim.early_exit import LEVELS
from snnas.hw_sim.errors import SnnasError, UsageError
from snnas.toolchain.checking.drift import parse_tolerances
from snnas.toolchain.checking.formats.formats import parse_formats
from snnas.toolchain.checking.options import parse_ignored
from snnas.toolchain.cli.app import app
from snnas.toolchain.data import load
from snnas.toolchain.data.options import parse_options
from snnas.toolchain.exporting.options import TARGETS
from snnas.toolchain.searching import budgets
from snnas.toolchain.searching.cell_methods import SAHD
from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.training.config import recipe_names

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def shown(text: str) -> list[str]:
    """The commands in indented and fenced blocks and in ``literals`` of a page, without prompts and comments."""
    text = re.sub(r"\\\n\s*", "", text)
    lines = re.findall(r"^(?:    |\$ |)\s*(?:\$ )?(snnas [a-z].*)$", text, re.MULTILINE)
    found = [re.split(r"\s#|\s\|\s|\s[12]?>|\s&&|;|\s<", line)[0] for line in lines if not _is_prose(line)]
    return found + [literal for literal in re.findall(r"(?<!`)`(snnas [a-z][^`\n]*)`(?!`)", text)]


def _is_prose(line: str) -> bool:
    return not re.match(
        r"snnas (?:[a-z_]+)(?: |$)(?:[a-z]+$|[A-Z./-]|\S*[./_-]|$|lava|data|runs|bench|show|setup)", line
    )


def refused(line: str) -> str:
    """What is wrong with a command as it is typed; '' where it is taken, or shows its parts alone (``...``)."""
    words = shlex.split(line.replace("[", " ").replace("]", " "))[1:]
    if "..." in line or "…" in line:
        return ""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        if words[0].startswith("-"):
            return ""
        if words[0] not in command.commands:
            return f"no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    known.add("--help")
    odd = [word for word in words if re.match(r"--?[a-zA-Z]", word) and word.partition("=")[0] not in known]
    return f"{odd[0]} is no option of it" if odd else _refused_values(command, words)


def _refused_values(command: Any, words: list[str]) -> str:
    """What is wrong with the values, by the options' own parsers; placeholders in capitals are taken."""
    if hasattr(command, "commands"):
        return ""
    typed = ["1" if re.fullmatch("[A-Z]+", word) else word for word in words if word != "--help"]
    try:
        given = command.make_context("snnas", typed).params
    except Exception as error:  # of Typer's parser: a word where a number is wanted, a choice that is none
        alone = type(error).__name__ in ("MissingParameter", "BadOptionUsage")  # an option is shown without its value
        return "" if alone else str(error)
    for parameter in command.params:
        value, parse = given[parameter.name], VALUES.get(parameter.name)
        placeholder = value in ("1", ["1"])
        plain = value is None or value == parameter.default or parameter.param_type_name == "argument"
        if plain or placeholder or parse is None:
            continue
        try:
            parse(value)
        except SnnasError as error:
            return str(error)
    return ""


def _one_of(names: Iterable[str]) -> Callable[[str], None]:
    """A name among them, a placeholder, or what may be a file or a folder."""

    def parse(value: str) -> None:
        if not re.fullmatch(r"[A-Z]+|.*[./].*", value) and value not in names:
            raise UsageError(f"{value!r} is none of {', '.join(names)}")

    return parse


def _dataset(value: str) -> None:
    """A name that is known, of the reader's own, or a placeholder."""
    if value not in OWN and not re.fullmatch("[A-Z]+", value):
        load.require_known(value)


def _early_exit(value: str) -> None:
    if value != "exact" and not (re.fullmatch(r"\d*\.?\d+", value) and LEVELS[0] < float(value) < LEVELS[1]):
        raise UsageError(f"--early-exit {value}")


OWN = ("mine", "mine/")  # a data set of the reader's
# Options whose values are parsed behind Typer, by the functions that do it.
VALUES: dict[str, Callable[[Any], Any]] = {
    "maximum": budgets.parse_limits,
    "minimum": partial(budgets.parse_limits, option="--min", names=budgets.LEAST),
    "budget": budgets.parse_budgets,
    "tolerance": parse_tolerances,
    "formats": partial(parse_formats, as_json=False),
    "ignore": parse_ignored,
    "dataset": _dataset,
    "method": _one_of(tuple(RUNNERS)),
    "target": _one_of(TARGETS),
    "convention": _one_of(tuple(TABLE)),
    "system": _one_of(tables.known("systems")),
    "profile": _one_of(tables.known("profiles")),
    "recipe": _one_of(recipe_names()),
    "early_exit": _early_exit,
    "proxy": _one_of({proxy for runner in RUNNERS.values() for proxy in runner.proxies}),
    "sahd": _one_of(SAHD),
    "ranges": _one_of(get_args(Ranges)),
    "data": lambda value: parse_options(value) if isinstance(value, list) and any("=" in v for v in value) else None,
}


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_a_page_shows_are_taken(page: str) -> None:
    lines = shown((ROOT / page).read_text(encoding="utf-8"))
    assert [(line, why) for line in lines if (why := refused(line))] == []


def test_a_wrong_command_is_found() -> None:
    assert shown("    snnas serch --dataset digits   # finds\n\nand `snnas export --tarket lava` too") == [
        "snnas serch --dataset digits  ",
        "snnas export --tarket lava",
    ]
    assert refused("snnas serch --dataset digits") == "no command 'serch'"
    assert refused("snnas export --tarket lava") == "--tarket is no option of it"
    assert refused("snnas lava setup --with-dl") == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("snnas check g.nir --min accuracy=abc", "abc"),
        ("snnas check g.nir --max accuracy=1", "accuracy"),
        ("snnas check g.nir --max sar=", "sar"),
        ("snnas check g.nir --tolerance energy_totel:5%", "did you mean 'energy_total'"),
        ("snnas check g.nir --format junitt=out.xml", "junit"),
        ("snnas check g.nir --ignore SN99999", "SN99999"),
        ("snnas search --dataset digitss", "digitss"),
        ("snnas search --method lightsn", "lightsn"),
        ("snnas search --budget energy_total=fast", "fast"),
        ("snnas search --seed one", "valid integer"),
        ("snnas export --target laava", "laava"),
        ("snnas export g.nir --convention snntorchh", "snntorchh"),
        ("snnas estimate g.nir --system loihi9", "loihi9"),
        ("snnas train --recipe digit", "digit"),
        ("snnas export RUN --bits eight", "valid integer"),
        ("snnas search --seed one --quiet", "valid integer"),
        ("snnas search --proxy snnas", "snnas"),
        ("snnas search --sahd per-layer", "per-layer"),
        ("snnas search --data frames=x", "frames=x"),
        ("snnas export RUN --ranges maybe", "maybe"),
        ("snnas export RUN --early-exit abc", "abc"),
    ],
)
def test_a_wrong_value_is_found(line: str, said: str) -> None:
    assert said in refused(line)


def test_the_readme_has_commands() -> None:
    assert len(shown((ROOT / "README.md").read_text(encoding="utf-8"))) >= 10
