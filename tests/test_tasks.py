"""The pages of docs/tasks: both tabs of each run, from page to page, and are of the same task."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from snnas.toolchain.cli.app import run_command
from tests.test_python_page import ran

pytest.importorskip("torch")
pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")
ROOT = Path(__file__).parents[1]
TASKS = ("search", "train", "export", "price", "identify", "check", "diagnose")  # in this order
pytestmark = pytest.mark.slow


def tabs(language: str) -> list[str]:
    """The one block of each page."""
    found = []
    for task in TASKS:
        text = (ROOT / f"docs/tasks/{task}.md").read_text(encoding="utf-8")
        (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        found.append(block)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("snntorch_digits.nir", "snntorch_digits.npz"):
        shutil.copy(ROOT / "examples/notebooks" / name, tmp_path)
    return tmp_path


def test_no_page_is_left_out() -> None:
    assert {path.stem for path in (ROOT / "docs/tasks").glob("*.md")} == {*TASKS, "index"}


@pytest.mark.usefixtures("no_lava")
def test_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SNNAS_RUNS", raising=False)
    for line in "".join(tabs("sh")).replace("\\\n", "").splitlines():
        typed, _, comment = line.partition("#")
        code = int(found[1]) if (found := re.search(r"exit code (\d+)", comment)) else 0
        program, *arguments = shlex.split(typed)
        assert program == "snnas"
        assert run_command(arguments) == code, f"{line}\n{capfd.readouterr().err}"


def test_python(folder: Path) -> None:
    out = ran("\n".join(tabs("python")), folder)
    *_, refused, sound = out.splitlines()
    assert re.fullmatch(r"False SN407 cores \d+ is over 0", refused)
    assert sound == "True"
