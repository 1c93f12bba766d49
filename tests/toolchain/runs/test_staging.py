"""A folder appears whole or not at all, whoever was ended while filling it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.runs.staging import beside, clear, staged


def fill(final: Path, text: str) -> None:
    with staged(final) as stage:
        (stage / "file").write_text(text)


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".final.4711-0123abcd.part").mkdir()
    (tmp_path / ".final.4711-0123abcd.part/half").write_text("half")
    (tmp_path / ".other.4711-0123abcd.part").mkdir()  # of another place: not ours to judge
    fill(tmp_path / "final", "whole")
    assert left(tmp_path) == [".other.4711-0123abcd.part", "final"]


@pytest.mark.parametrize("newer", [False, True])
def test_what_stepped_aside_comes_back_where_nothing_took_its_place(tmp_path: Path, newer: bool) -> None:
    """A process killed between its two renames."""
    (tmp_path / ".final.4711-0123abcd.old").mkdir()
    (tmp_path / ".final.4711-0123abcd.old/file").write_text("old")
    if newer:
        (tmp_path / "final").mkdir()
        (tmp_path / "final/file").write_text("new")
    clear(tmp_path)
    assert left(tmp_path) == ["final"]
    assert (tmp_path / "final/file").read_text() == ("new" if newer else "old")


@pytest.mark.parametrize("at", [1, 2], ids=["before the old one steps aside", "before the new one takes its place"])
def test_an_interrupt_leaves_the_older_folder(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "final", "old")
    calls = 0
    rename = os.rename

    def interrupted(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "final", "new")
    assert left(tmp_path) == ["final"]
    assert (tmp_path / "final/file").read_text() == "old"


def test_what_a_living_process_fills_is_not_touched(tmp_path: Path) -> None:
    with beside(tmp_path / "final") as theirs:
        (theirs / "file").write_text("theirs")
        with pytest.raises(UsageError, match=rf"final is being written by pid {os.getpid()}; wait"):
            fill(tmp_path / "final", "ours")
        assert left(tmp_path) == [theirs.name]
    assert left(tmp_path) == []


def test_all_of_a_folder_is_cleared_for_its_owner(tmp_path: Path) -> None:
    for name in (".run.toml.0123abcd.part", ".train.jsonl.part", "run.toml", ".lock"):
        (tmp_path / name).write_text("")
    (tmp_path / ".lava.1-0123abcd.part").mkdir()
    clear(tmp_path)
    assert left(tmp_path) == [".lock", "run.toml"]
    clear(tmp_path / "absent")
