"""Every study can be run from a checkout, and ``snnas bench`` says which there are."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.cli.bench import STUDIES
from tests.studies.command import numbers, run_study

ROOT = Path(__file__).parents[2]


def test_bench_lists_all_of_them_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    there = {path.stem for path in Path(__file__).parent.glob("*.py") if "\ndef command(" in path.read_text()}
    assert set(STUDIES) == there
    assert run_command(["bench", "--help"]) == 0
    assert f"tests.studies.NAME: {', '.join(STUDIES)}." in " ".join(capsys.readouterr().out.split())


# What draws nothing that an option changes.
PLAIN = ("fit_instructions", "growth")


@pytest.mark.parametrize("name", STUDIES)
def test_each_says_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = importlib.import_module(f"tests.studies.{name}").command
    assert run_study(command, ["--help"]) == 0
    out = capsys.readouterr().out
    assert f"python -m tests.studies.{name} [OPTIONS]" in out
    if name not in PLAIN:
        assert "--seed" in out
        assert "--json" in out
    assert run_study(command, ["--frobnicate"]) == 2
    assert f"(see python -m tests.studies.{name} --help)" in capsys.readouterr().err


def test_one_as_it_is_typed(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "tests.studies.ranges"]
    done = subprocess.run([*run, "--inputs", "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("snnas: --inputs 0: expected")
    done = subprocess.run(
        [*run, "--inputs", "40", "-q", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counterexamples"] == 0


def test_numbers_with_commas() -> None:
    assert numbers("8,4", "--widths", "8,4") == (8, 4)
    with pytest.raises(UsageError, match="--widths 8;4: expected whole numbers with commas between, like 8,6"):
        numbers("8;4", "--widths", "8,6")
