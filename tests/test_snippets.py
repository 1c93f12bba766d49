"""Every command that README and docs show is one that the command line takes; README's Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from snnas.toolchain.cli.app import app

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
    return f"{odd[0]} is no option of it" if odd else ""


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
    assert len(shown((ROOT / "README.md").read_text(encoding="utf-8"))) >= 10
