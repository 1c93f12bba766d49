"""A run as one .zip: equal bytes, read back by all that takes a run; and its card, which model hubs read."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import snnas
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.card import OURS, card
from snnas.toolchain.runs import find
from snnas.toolchain.runs.run import Run

yaml: Any = pytest.importorskip("yaml")
pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was searched, trained and exported, and nothing more of it than that takes."""
    runs: Path = tmp_path_factory.mktemp("runs")
    small = ["--channels", "2", "--hidden", "16", "--epochs", "1", "-T", "2", "--batch", "8", "--quiet"]
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(runs), "--name", "tiny", *small]) == 0
    assert run_command(["export", "tiny", "--runs-dir", str(runs), "--samples", "2", "--quiet"]) == 0
    return runs


def packed(folder: Path, to: Path) -> Path:
    assert run_command(["runs", "pack", "tiny", "--out", str(to), "--runs-dir", str(folder)]) == 0
    return to


def test_a_packed_run_is_a_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = packed(folder, tmp_path / "one.zip"), packed(folder, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = set(archive.namelist())
    assert {"tiny/run.toml", "tiny/README.md", "tiny/weights.safetensors", "tiny/export/lava/program.npz"} <= names
    assert not any("/." in name or "checkpoint" in name for name in names)
    elsewhere = ["--runs-dir", str(tmp_path / "elsewhere")]
    capsys.readouterr()
    assert run_command(["report", str(one), *elsewhere, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "tiny/report.json").read_text())
    assert run_command(["check", str(one), "-q"]) == 0
    again = ["export", str(one), "--samples", "2", *elsewhere]
    assert run_command(again) == 0  # unpacked already, and up to date
    err = capsys.readouterr().err
    assert "up to date" in err
    assert f"next: snnas check {tmp_path}/elsewhere/tiny/export/lava" in err
    for path in (folder / "tiny").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert (tmp_path / "elsewhere/tiny" / path.relative_to(folder / "tiny")).read_bytes() == path.read_bytes()
    (tmp_path / "elsewhere/tiny/run.toml").write_text("other = 1\n")
    assert run_command(["report", str(one), *elsewhere]) == 2
    assert "is another run, or has gone on since" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "no packed run"),
        ({"a/weights.safetensors": b""}, "no packed run"),
        ({"a/run.toml": b"", "b/run.toml": b""}, "no packed run"),
        ({"run.toml": b""}, "no packed run"),
        ({"a/run.toml": b"", "a/../../x": b""}, "outside the archive"),
        ({"/a/run.toml": b""}, "outside the archive"),
        ({".": b"", "a/run.toml": b""}, "no packed run"),
        ({"a": b"", "a/run.toml": b""}, "no packed run"),
        ({"s/run.toml": b"", "s/a": b"", "s/a/b": b""}, "no packed run"),
    ],
)
def test_what_is_no_packed_run_leaves_nothing(
    members: dict[str, bytes], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, runs = tmp_path / "bad.zip", tmp_path / "runs"
    with zipfile.ZipFile(bad, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    for command in (["report", str(bad), "--runs-dir", str(runs)], ["check", str(bad)]):
        assert run_command(command) == 3
        assert said in capsys.readouterr().err
    assert not runs.exists() or not list(runs.iterdir())
    bad.write_bytes(b"PK")
    assert run_command(["export", str(bad), "--runs-dir", str(runs)]) == 3
    assert run_command(["runs", "pack", "tiny", "--out", "x.tar", "--runs-dir", str(runs)]) == 2


def test_a_folder_of_the_users_stays(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = packed(folder, tmp_path / "one.zip")
    kept = tmp_path / "elsewhere/tiny/thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert run_command(["report", str(one), "--runs-dir", str(tmp_path / "elsewhere")]) == 2
    assert "is there already and is no run" in capsys.readouterr().err
    assert kept.read_text() == "mine"
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["tiny"]


def test_a_check_calls_a_packed_run_by_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = packed(folder, tmp_path / "one.zip")
    capsys.readouterr()
    found = snnas.check(one, max={"cores": 0})
    assert found.headline.startswith(f"{one}: ")
    assert found.to_dict()["subject"] == str(one)
    assert {finding.place.split(".zip")[0] for book in found.books for finding in book.findings} == {str(one)[:-4]}
    for more in ([], ["--json"]):
        assert run_command(["check", str(one), "--max", "cores=0", *more]) == 1
        told = capsys.readouterr()
        assert str(one) in told.out + told.err
        assert "snnas-check-" not in told.out + told.err
    assert run_command(["check", str(one), "--data", "digits", "--limit", "2", "--max", "cores=99"]) == 0
    capsys.readouterr()
    monkeypatch.delenv("CI", raising=False)
    assert run_command(["check", str(one), "--update-baseline"]) == 2
    assert f"{one} keeps none; say where it is with --baseline PATH" in capsys.readouterr().err
    baseline = tmp_path / "baseline.json"
    assert run_command(["check", str(one), "--update-baseline", "--baseline", str(baseline)]) == 0
    assert baseline.is_file()
    assert isinstance(snnas.load(one, runs_dir=tmp_path / "there"), snnas.Run)


def test_the_card_is_one_that_hubs_read(folder: Path) -> None:
    path = folder / "tiny/README.md"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\n")
    _, front, body = text.split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["library_name"] == "snnas"
    results = about["model-index"][0]["results"]
    report = json.loads((folder / "tiny/report.json").read_text())
    values = {one["metrics"][0]["name"]: one["metrics"][0]["value"] for one in results}
    assert values["Accuracy on target, simulated"] == pytest.approx(report["accuracy"]["on_target"], abs=1e-6)
    assert [one["dataset"]["split"] for one in results] == ["validation", "test", "test"]
    for one in results:  # what huggingface_hub demands of a result
        assert {"type"} <= one["task"].keys()
        assert {"type", "name"} <= one["dataset"].keys()
    assert OURS in body
    total = report["energy_uJ"]["total"]
    assert f"{total['low']:.4g} .. {total['nominal']:.4g} .. {total['high']:.4g} uJ, estimated" in body


@pytest.mark.parametrize(
    ("data", "network", "said"),
    [
        ({}, {}, {"type": "image-classification", "name": "Classification of images"}),
        ({"options": {"axis": "time"}}, {}, {"type": "other", "name": "Classification of signals"}),
        ({"options": {"frames": 4}}, {"input_kind": "counts"}, {"type": "other", "name": "Classification of events"}),
    ],
)
def test_the_card_says_what_is_classified(
    data: dict[str, Any], network: dict[str, Any], said: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "tiny")
    shutil.copytree(folder / "tiny", run.path)
    config = run.config()
    config["data"] |= data
    config["network"] |= network
    run.write_config(config)
    about = yaml.safe_load(card(run).split("---\n", 2)[1])
    assert [one["task"] for one in about["model-index"][0]["results"]] == [said] * 3


def test_a_training_that_was_killed_before_its_card_gets_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "tiny")
    shutil.copytree(folder / "tiny", run.path)
    known = (run.path / "README.md").read_text()
    (run.path / "README.md").unlink()
    assert run_command(["train", "tiny", "--runs-dir", str(tmp_path)]) == 2
    assert "is trained" in capsys.readouterr().err
    assert (run.path / "README.md").read_text() == known


def test_a_card_of_ones_own_stays(folder: Path, tmp_path: Path) -> None:
    path = find(folder, "tiny").path / "README.md"
    before = path.read_text()
    try:
        path.write_bytes("für mich".encode("latin-1"))
        packed(folder, tmp_path / "mine.zip")
        assert path.read_bytes() == b"f\xfcr mich"
    finally:
        path.write_text(before)
