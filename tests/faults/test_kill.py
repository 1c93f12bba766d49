"""The kill campaign, a few kills of it; and that it would notice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest.importorskip("torch")

from snnas.toolchain.runs.log import JsonLines
from tests.faults import kill, visible
from tests.faults.processes import Ended, Launcher


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "export"])
def test_a_few_kills_lose_nothing(tmp_path: Path, command: str) -> None:
    kill.run(command, 3, tmp_path, Launcher())
    records = JsonLines(tmp_path / "kills.jsonl").read()
    assert [(record["signal"], record["defects"]) for record in records] == [
        ("SIGKILL", []),
        ("SIGTERM", []),
        ("SIGINT", []),
    ]
    kill.run(command, 3, tmp_path, Launcher())  # all are done
    assert len(JsonLines(tmp_path / "kills.jsonl").read()) == 3


def test_an_ending_is_judged() -> None:
    def ended(code: int, err: str = "") -> Ended:
        return Ended(code, 1.0, 1.0, "", err)

    good = "snnas: ended by SIGTERM; start it again with: snnas train RUN\n"
    assert kill._ending(ended(-9), signal.SIGKILL, cold=True) == []
    assert kill._ending(ended(130, good), signal.SIGTERM, cold=True) == []
    assert kill._ending(ended(1, good), signal.SIGTERM, cold=True)
    assert kill._ending(ended(130, good * 2), signal.SIGTERM, cold=True)
    assert kill._ending(ended(130, "Traceback"), signal.SIGINT, cold=True)
    assert kill._ending(ended(130, good), signal.SIGKILL, cold=True)


def test_partial_and_unknown_files_are_noticed(tmp_path: Path) -> None:
    for name, text in {
        "run.toml": "seed = ",
        "genotype.json": '{"space',
        "search.jsonl": "{}\nhalf",  # its reader drops the last line
        "weights.safetensors": "1234",
        "program.npz": "PK",
        "stray.txt": "",
        ".lock": "",
        ".run.toml.0123abcd.part": "half",
    }.items():
        (tmp_path / name).write_text(text)
    found = [visible.problem(path).partition(":")[0] for path in visible.files(tmp_path)]
    assert [name for name in found if name] == [
        *("genotype.json", "program.npz", "run.toml", "stray.txt", "weights.safetensors")
    ]
    assert visible.temporaries(tmp_path) == [".run.toml.0123abcd.part"]


def test_outcomes_are_compared_without_times(tmp_path: Path) -> None:
    for place, seconds, loss in (("a", 1.0, 0.5), ("b", 2.0, 0.5), ("c", 1.0, 0.25)):
        (tmp_path / place).mkdir()
        JsonLines(tmp_path / place / "train.jsonl").append({"seconds": seconds, "loss": loss})
    a, b, c = (visible.outcome(tmp_path / place) for place in "abc")
    assert visible.difference(a, b) == ""
    assert visible.difference(a, c).startswith("/train.jsonl: ")
    assert visible.difference(a, {}) == "/train.jsonl is missing"
