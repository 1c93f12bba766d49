"""Runs on disk that are damaged, moved, of other data or of another machine; what starting one leaves behind."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import snnas.toolchain.training
from snnas.hw_sim.files import sha256
from snnas.toolchain.cli.app import app, run_command
from snnas.toolchain.data.load import load
from snnas.toolchain.runs.run import Run

SMALL = ["--channels", "2", "--hidden", "8", "--epochs", "1", "-T", "2"]


def frames(path: Path, timesteps: int = 3) -> Path:
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 2, (24, timesteps, 1, 4, 4)).astype(np.uint8), y=np.arange(24) % 2)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that holds one, trained on a file beside it."""
    folder = tmp_path_factory.mktemp("made")
    arguments = [
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        str(frames(folder / "mine.npz", 2)),
        "--runs-dir",
        str(folder / "runs"),
    ]
    assert run_command([*arguments, *SMALL, "--batch", "8", "-q"]) == 0
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> Run:
    return Run(runs / "mine-lightsnn-001")


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, *words: str) -> str:
    capsys.readouterr()
    got, err = run_command(arguments), capsys.readouterr().err
    assert got == code, err
    line = err.strip().splitlines()[-1]
    for word in words:
        assert word in line, line
    return err


def edit(run: Run, old: str, new: str) -> None:
    path = run.path / "run.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# -- the data set ------------------------------------------------------------------------------------------------------


def test_a_run_is_bound_to_its_data(made: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    section = run.section("data")
    assert section["path"] == str(made / "mine.npz")
    assert section["sha256"] == load(made / "mine.npz", seed=0).digest
    other = frames(run.path.parent / "mine.npz", 2)
    edit(run, str(made / "mine.npz"), str(other))
    assert run_command(["train", run.name, "--runs-dir", str(run.path.parent), "--force", "-q"]) == 0
    with np.load(other) as arrays:
        np.savez(other, x=1 - arrays["x"], y=arrays["y"])
    before = sha256(run.weights)
    fails(
        capsys,
        ["train", run.name, "--runs-dir", str(run.path.parent), "--force", "-q"],
        3,
        "not the one that the run was searched on",
        "run.toml",
    )
    assert sha256(run.weights) == before


def test_frames_of_another_length_are_refused_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = frames(tmp_path / "f.npz", 8)
    asked = ["search", "--method", "lightsnn", "--dataset", str(data), "--runs-dir", str(tmp_path / "r")]
    fails(capsys, [*asked, "-T", "5"], 2, "--timesteps 5", "sequences of 8 frames", "leave --timesteps out")
    assert not (tmp_path / "r").exists()
    assert run_command([*asked, "--channels", "2", "--hidden", "8", "--no-train", "-q"]) == 0
    assert Run(tmp_path / "r/f-lightsnn-001").section("network")["timesteps"] == 8


def test_what_cannot_be_searched_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.zeros((24, 1, 4, 4), np.uint8)
    x[:, 0, 0, 0] = 200
    np.savez(tmp_path / "same.npz", x=x, y=np.arange(24) % 2)
    asked = ["search", "--method", "lightsnn", "--runs-dir", str(tmp_path / "r"), "-q", "--dataset"]
    fails(capsys, [*asked, str(tmp_path / "same.npz")], 3, "17 training samples hold 1 distinct, expected at least 2")
    fails(capsys, [*asked, "digits", "--workers", "0"], 2, "--workers 0")
    fails(capsys, [*asked, "digits", "--engine", "cloud"], 2, "--engine 'cloud'")
    fails(capsys, [*asked, "digits", "--method", "mse_nas", "--population", "1"], 2, "--population 1")
    fails(capsys, ["train", "--dataset", "digits", "--runs-dir", str(tmp_path / "r")], 2, "name the RUN")
    fails(capsys, ["search", "digits", "--runs-dir", str(tmp_path / "r")], 2, "'digits'", "--dataset digits")
    assert not (tmp_path / "r").exists()


def test_copies_are_said_and_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(frames(tmp_path / "f.npz", 2)) as arrays:
        x, y = arrays["x"], arrays["y"]
    np.savez(tmp_path / "twice.npz", x=np.concatenate([x, x]), y=np.concatenate([y, y]))
    small = [word for word in SMALL if word not in ("--hidden", "8")]
    asked = [
        "search",
        "--method",
        "lightsnn",
        "--runs-dir",
        str(tmp_path / "r"),
        *small,
        "--no-train",
        "--batch",
        "20",
        "--dataset",
    ]
    for method in ("lightsnn", "mse_nas"):
        own = ["--population", "2", "--generations", "1"] if method == "mse_nas" else ["--hidden", "8"]
        small = ["--method", method, "--cells", "2", *own]
        assert run_command([*asked, str(tmp_path / "twice.npz"), *small]) == 0
        assert "of 34 training samples are copies of others; the scoring batch holds " in capsys.readouterr().err
        assert math.isfinite(Run(tmp_path / f"r/twice-{method}-001").section("search")["score"])
    assert run_command([*asked, str(tmp_path / "f.npz")]) == 0
    err = capsys.readouterr().err
    assert "copies of others" not in err
    assert "f.npz: 24 samples of 2 frames of 1 x 4 x 4, 2 classes, spikes; 17 training, 2 validation, 5 test" in err


def test_a_data_set_that_moved_is_pointed_to(
    made: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--runs-dir", str(run.path.parent)]
    shutil.copy(made / "mine.npz", tmp_path / "there.npz")
    edit(run, str(made / "mine.npz"), str(tmp_path / "gone.npz"))
    fails(capsys, ["train", run.name, *folder, "--force", "-q"], 2, "gone.npz", "24 samples", "--dataset PATH")
    resume = ["search", "--resume", run.name, *folder, "-q", "--dataset"]
    fails(capsys, [*resume, str(frames(tmp_path / "other.npz", 3))], 3, "not the one that the run was searched on")
    assert run.section("data")["path"] == str(tmp_path / "gone.npz")
    assert run_command([*resume, str(tmp_path / "there.npz")]) == 0
    assert run.section("data")["path"] == str(tmp_path / "there.npz")
    assert run_command(["train", run.name, *folder, "--force", "-q"]) == 0


def test_the_newest_is_the_newest_that_can(runs: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--runs-dir", str(runs)]
    small = ["--channels", "2", "--hidden", "8", "-T", "2", "--batch", "8", "-q"]
    assert run_command(["search", "--method", "lightsnn", *folder, "--no-train", "--name", "later", *small]) == 0
    tight = ["--budget", "memory=1200B"]  # near enough to the smallest network not to be refused at once
    assert run_command(["search", "--method", "lightsnn", *folder, *tight, "--name", "no", *small]) == 1
    assert Run(runs / "no").stage() == "failed"
    fails(capsys, ["train", "no", *folder], 2, "its search failed", "memory")
    assert run_command(["search", "--resume", "no", *folder]) == 1, "and fails at once"
    capsys.readouterr()
    assert run_command(["export", *folder, "--samples", "2", "-q"]) == 0
    assert "note: run mine-lightsnn-001 is taken; newer, without weights: no (failed), later (searched)" in (
        capsys.readouterr().err
    )
    assert run_command(["report", *folder]) == 0
    assert "without a report: no (failed), later (searched)" in capsys.readouterr().err


# -- starting ----------------------------------------------------------------------------------------------------------


def test_a_start_that_fails_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = frames(tmp_path / "\udcff.npz")
    fails(capsys, ["search", "--dataset", str(bad), "--runs-dir", str(tmp_path / "r"), "-T", "3", "-q"], 2, "UTF-8")
    assert os.listdir(tmp_path / "r") == []

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    fails(capsys, ["search", "--runs-dir", str(tmp_path / "r"), "-q"], 74, "No space")
    assert os.listdir(tmp_path / "r") == []


def test_a_network_larger_than_the_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for channels in ("1000000", "1" + "0" * 30):
        arguments = ["search", "--method", "lightsnn", "--runs-dir", str(tmp_path / "r"), "--channels", channels, "-q"]
        fails(capsys, arguments, 2, f"--channels {channels}", "parameters", "fewer --channels")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("text", ["DefaultCPUAllocator: not enough memory: you tried", "can't allocate memory: 12"])
def test_memory_that_runs_out_is_named(
    text: str, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any, **__: Any) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(snnas.toolchain.training, "train", hungry)
    fails(capsys, ["train", "--runs-dir", str(run.path.parent), "--force", "-q"], 70, "out of memory", "--channels")


def test_a_batch_above_the_training_split_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = frames(tmp_path / "f.npz", 2)
    arguments = [
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        str(data),
        "--runs-dir",
        str(tmp_path / "r"),
        *SMALL,
        "--no-train",
    ]
    assert run_command([*arguments, "--batch", "64", "-q"]) == 0
    assert "--batch 64 is clipped to the 17 samples" in capsys.readouterr().err
    assert run_command([*arguments, "--batch", "17"]) == 0
    err = capsys.readouterr().err
    assert "clipped" not in err
    assert "next: snnas train f-lightsnn-002" in err


def test_names_too_long_are_usage(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["report", "a" * 300, "--runs-dir", str(runs)], 2, "File name too long")


# -- going on ----------------------------------------------------------------------------------------------------------


def test_what_resume_would_ignore_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    resume = ["search", "--resume", run.name, "--runs-dir", str(run.path.parent)]
    # Even where it is the default: what is typed is meant.
    fails(capsys, [*resume, "--seed", "0", "-T", "3", "--name", "x"], 2, "--seed", "--timesteps", "--name", "--resume")
    assert run_command([*resume, "--no-train", "--device", "cpu"]) == 0
    assert f"next: snnas export {run.name}" in capsys.readouterr().err


def test_a_run_of_another_machine_can_change_its_device(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(run, 'device = "cpu"', 'device = "cuda:9"')
    there = ["--runs-dir", str(run.path.parent), "-q"]
    fails(capsys, ["train", "--force", *there], 2, "cuda:9", "--device cpu")
    assert run_command(["train", "--force", "--device", "cpu", *there]) == 0
    assert run.table("training")["device"] == "cpu"
    run.genotype.unlink()
    run.weights.unlink()
    fails(capsys, ["search", "--resume", run.name, *there], 2, "cuda:9", "--device cpu")
    assert run_command(["search", "--resume", run.name, "--device", "cpu", *there]) == 0
    assert run.weights.exists()


@pytest.mark.parametrize("moment", ["epoch", "weights"])
def test_an_interrupted_training_loses_nothing(
    moment: str, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> dict[Path, str]:
        return {p: sha256(p) for p in run.path.iterdir() if p.is_file() and p.name != ".lock"}

    before = files()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if moment == "epoch":
        monkeypatch.setattr("snnas.toolchain.training.step.loss_sum", stop)
    else:
        monkeypatch.setattr(snnas.toolchain.training, "save_weights", stop)
    fails(capsys, ["train", "--force", "--runs-dir", str(run.path.parent), "-q"], 130, "snnas train mine-lightsnn-001")
    assert files() == before


def test_weights_are_readable_by_others(run: Run) -> None:
    umask = os.umask(0o022)
    try:
        assert run_command(["train", "--force", "--runs-dir", str(run.path.parent), "-q"]) == 0
    finally:
        os.umask(umask)
    assert run.weights.stat().st_mode & 0o777 == 0o644


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 0", 'seed = "x"', ["seed is 'x'", "a whole number"]),
        ("seed = 0", "seed = true", ["seed is True"]),
        ("seed = 0", "seed = -1", ["seed is -1"]),
        ("seed = 0", f"seed = {'9' * 5000}", ["not TOML"]),
        ("[versions]", "[visions]", ["[versions] is missing"]),
        ("batch = 8", "botch = 8", ["[method] batch is missing"]),
        ("backward = false", "backward = 0", ["[method] backward is 0", "true or false"]),
        ("[search]", "[torch]", ["[search] is missing"]),
        ("evaluations = ", 'evaluations = "all" # ', ["[search] evaluations is 'all'"]),
        ("validation_accuracy = ", "validation_accuracy = [] # ", ["[training] validation_accuracy"]),
        ("epochs = 1", "epochs = 1.5", ["[train]", "epochs = 1.5"]),
        ("epochs = 1", "ages = 1", ["[train]", "ages"]),
        ("classes = 2", "classes = 2020-01-01", ["[network]", "date"]),
        ("[data]\n", "data = 3\n[daten]\n", ["run.toml"]),
    ],
)
def test_a_damaged_configuration_is_named(
    old: str, new: str, words: list[str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run, old, new)
    fails(capsys, ["train", run.name, "--force", "--runs-dir", str(run.path.parent), "-q"], 3, "run.toml", *words)


@pytest.mark.parametrize("text", ["{}", "[]", '{"cells": []}', '{"cells": [{"ops": 3}]}'])
def test_a_damaged_genotype_is_named(text: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.genotype.write_text(text)
    fails(capsys, ["search", "--resume", run.name, "--runs-dir", str(run.path.parent), "-q"], 3, "genotype.json")


def test_one_damaged_run_hides_no_other(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.path.parent
    (folder / "bad").mkdir()
    (folder / "bad/run.toml").write_text("seed = ")
    assert run_command(["runs", "--runs-dir", str(folder), "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)["runs"]}
    assert rows["bad"]["stage"] == "damaged"
    assert "not TOML" in rows["bad"]["reason"]
    assert rows[run.name]["stage"] == "trained"
    assert run_command(["runs", "--runs-dir", str(folder)]) == 0
    assert "not TOML" in capsys.readouterr().out
    assert run_command(["train", "--force", "--runs-dir", str(folder), "-q"]) == 0
    assert "note: run bad is damaged" in capsys.readouterr().err
    shutil.rmtree(run.path)
    fails(capsys, ["train", "--runs-dir", str(folder), "-q"], 3, "bad/run.toml")


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_control_characters_reach_no_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["report", "--runs-dir", "a\x1b]0;title\x07\x9bb"], 2, "no run in ", "a?]0;title??b")
    evil = run.path.rename(run.path.parent / "a\x1b[31m\x9b\udcffb")
    capsys.readouterr()
    assert run_command(["runs", "--runs-dir", str(run.path.parent)]) == 0
    out, err = capsys.readouterr()
    assert "a?[31m??b" in out
    assert run_command(["search", "--resume", evil.name, "--runs-dir", str(run.path.parent)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("a?[31m??b")
    assert not any(c in out + err for c in "\x1b\x9b\udcff")


@pytest.mark.parametrize(("columns", "width"), [(None, 160), ("60", 80), ("140", 140), ("wide", 160), ("0", 160)])
def test_a_pipe_has_a_width_of_its_own(columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.toolchain.output.stdout import _width

    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert _width() == width


def test_the_date_is_not_cut(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnas.toolchain.output.stdout._width", lambda: 60)
    out = CliRunner().invoke(app, ["runs", "--runs-dir", str(runs)]).output
    created = str(Run(runs / "mine-lightsnn-001").config()["created_at"])[:19]
    assert created in out
