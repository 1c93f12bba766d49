"""``snnas runs``: the list, one run, and what may be removed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from snnas.toolchain.cli.app import run_command
from snnas.toolchain.runs import remove as removing
from snnas.toolchain.runs.run import Run
from tests.documents import RUN

CONFIG = RUN | {"seed": 3, "network": RUN["network"] | {"channels": 4}}
CELL = {"forward": {"0->1": "conv3x3", "0->3": "zeroize"}, "backward": {}}


def make(folder: Path, name: str, **more: Any) -> Run:
    run = Run(folder / name)
    run.path.mkdir(parents=True)
    run.write_config({**CONFIG, **more})
    return run


def ok(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    code = run_command(["runs", *arguments])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run_command(["runs", *arguments]) == 2
    return capsys.readouterr().err


def test_the_options_stand_behind_runs_or_behind_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, "a")
    there = ["--runs-dir", str(tmp_path)]
    said = ok(capsys, *there, "--json")
    for arguments in (["list", *there, "--json"], [*there, "--json", "list"], [*there, "list", "--json"]):
        assert ok(capsys, *arguments) == said
    assert [row["run"] for row in json.loads(said)["runs"]] == ["a"]


def test_a_run_is_shown_with_all_that_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"seconds": 1.5, "evaluations": 31, "guards": 0, "architecture": "abc"}
    run = make(tmp_path, "a", search=found)
    run.genotype.write_text(json.dumps({"space": "lightsnn", "cells": [CELL]}))
    (run.export("lava")).mkdir(parents=True)
    (run.export("lava") / "manifest.json").write_text("{}")
    known = json.loads(ok(capsys, "show", "a", "--runs-dir", str(tmp_path), "--json"))
    assert (known["stage"], known["seed"], known["search"], known["training"]) == ("searched", 3, found, None)
    assert known["exports"] == ["lava"]
    out = ok(capsys, "show", "--runs-dir", str(tmp_path))
    for words in ("2026-01-02", "0->1 conv3x3", "31 evaluations in 1.5 s", "exported"):
        assert words in out
    assert "zeroize" not in out


def test_a_run_that_has_only_begun_is_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, "a")
    known = json.loads(ok(capsys, "show", "a", "--runs-dir", str(tmp_path), "--json"))
    assert (known["stage"], known["genotype"], known["search"], known["exports"]) == ("begun", None, None, [])
    assert "begun" in ok(capsys, "show", "a", "--runs-dir", str(tmp_path))


def test_a_run_says_what_comes_next_at_every_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A search that was ended says how it goes on, also to who finds it days later."""
    run, there = make(tmp_path, "a"), ("--runs-dir", str(tmp_path))

    def following() -> str:
        capsys.readouterr()
        assert run_command(["runs", "show", "a", *there]) == 0
        return capsys.readouterr().err

    assert following() == f"next: snnas search --resume a --runs-dir {tmp_path}\n"
    run.fail("no network keeps its budget")
    assert following() == ""
    run.write_config({k: v for k, v in run.config().items() if k != "failed"})
    run.genotype.write_text(json.dumps({"space": "lightsnn", "cells": [CELL]}))
    run.write_config(
        {**run.config(), "search": {"seconds": 1.5, "evaluations": 31, "guards": 0, "architecture": "abc"}}
    )
    assert following() == f"next: snnas train a --runs-dir {tmp_path}\n"
    run.weights.write_bytes(b"")
    assert following() == f"next: snnas export a --target lava --runs-dir {tmp_path}\n"
    run.report.write_text("{}")
    assert following() == f"next: snnas report a --html --runs-dir {tmp_path}\n"
    assert run_command(["runs", "show", "a", *there, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_dates_and_nan_in_a_configuration_are_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path, "a")
    (run.path / "run.toml").write_text(tomli_w.dumps(CONFIG).replace("channels = 4", "channels = nan"))
    for words in (["runs", "show", "a"], ["report", "a", "a"]):
        assert run_command([*words, "--runs-dir", str(tmp_path), "--json"]) == 3
        assert "[network] holds a date, nan or inf" in capsys.readouterr().err
    (run.path / "run.toml").write_text(tomli_w.dumps(CONFIG | {"training": {"validation_accuracy": float("nan")}}))
    (row,) = json.loads(ok(capsys, "--runs-dir", str(tmp_path), "--json"))["runs"]
    assert row["stage"] == "damaged"
    assert "[training] holds a date, nan or inf" in row["reason"]


def test_a_name_that_is_nearly_right_is_hinted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        make(tmp_path, f"digits-lightsnn-{number:03d}")
    make(tmp_path, "mnist")
    err = refused(capsys, "show", "mnsit", "--runs-dir", str(tmp_path))
    assert "and 5 more; did you mean 'mnist'?" in err
    assert "did you mean" not in refused(capsys, "show", "quite-other", "--runs-dir", str(tmp_path))


# -- removing ----------------------------------------------------------------------------------------------------------


def test_runs_are_removed_with_their_fronts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        make(tmp_path, name)
    make(tmp_path / "a/front", "01")
    out = ok(capsys, "remove", "a", "c", "a", "--yes", "--runs-dir", str(tmp_path), "--json")
    assert json.loads(out)["removed"] == [str(tmp_path / "a"), str(tmp_path / "c")]
    assert os.listdir(tmp_path) == ["b"]


def test_nothing_goes_where_one_is_in_use_or_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    for name in ("a", "b"):
        make(runs, name)
    point = make(runs / "b/front", "01")
    (runs / "notes").mkdir()
    (runs / "link").symlink_to(runs / "a")
    there = ["--yes", "--runs-dir", str(runs)]
    with point.lock():
        assert f"pid {os.getpid()}" in refused(capsys, "remove", "a", "b", *there)
    assert "no run (no run.toml in it)" in refused(capsys, "remove", "a", "notes", *there)
    assert "no run (no run.toml in it)" in refused(capsys, "remove", "a", str(tmp_path), *there)
    assert "is a link" in refused(capsys, "remove", "a", "link", *there)
    assert "no run 'd'" in refused(capsys, "remove", "a", "d", *there)
    assert sorted(os.listdir(runs)) == ["a", "b", "link", "notes"]


def test_the_folder_that_one_is_in_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, "a")
    (run.path / "export").mkdir()
    monkeypatch.chdir(run.path / "export")
    assert "holds the folder that you are in" in refused(capsys, "remove", "a", "--yes", "--runs-dir", str(tmp_path))
    assert run.path.is_dir()


@pytest.mark.parametrize(("answer", "left"), [("n\n", ["a"]), ("\n", ["a"]), ("y\n", [])])
def test_a_person_is_asked(
    answer: str, left: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    make(tmp_path, "a")
    assert "--yes" in refused(capsys, "remove", "a", "--runs-dir", str(tmp_path))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert run_command(["runs", "remove", "a", "--runs-dir", str(tmp_path)]) == 0
    assert "2 files" in capsys.readouterr().err  # run.toml and its lock
    assert os.listdir(tmp_path) == left


def test_a_kill_in_the_middle_leaves_nothing_that_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(removing.shutil, "rmtree", killed)
        assert run_command(["runs", "remove", "a", "--yes", "--runs-dir", str(tmp_path)]) == 130
    assert json.loads(ok(capsys, "--runs-dir", str(tmp_path), "--json"))["runs"] == []
    make(tmp_path, "a")
    ok(capsys, "remove", "a", "--yes", "--runs-dir", str(tmp_path))
    assert os.listdir(tmp_path) == []
