"""What a run, its exports, reports and packs and a calibration leave may be read by whom the umask lets read it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands.calibrate import read_plan
from tests.studies.calibration import as_csv, hidden, measured

TINY = ("--dataset", "digits", "--channels", "1", "--hidden", "4", "-T", "2", "--data", "train_limit=60")


@pytest.fixture(params=[0o022, 0o077], ids=["022", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def unlike(root: Path, umask: int) -> dict[str, str]:
    """What beneath ``root``, itself included, has another mode than the umask leaves, and which."""
    return {
        str(path.relative_to(root)): oct(mode)
        for path in (root, *root.rglob("*"))
        if (mode := path.stat().st_mode & 0o777) != (0o777 if path.is_dir() else 0o644) & ~umask
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_lava")
def test_files_and_folders_have_the_mode_that_the_umask_leaves(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    root = tmp_path / "made"
    runs = root / "runs"
    export = str(runs / "one" / "export" / "lava")
    at = ("--runs-dir", str(runs), "-q")
    searched = ("search", *TINY, "--method", "lightsnn", "--epochs", "1", "--name", "one", *at)
    monkeypatch.setattr(sys, "argv", ["snnas", *searched])  # which a row of the leaderboard names
    row = root / "row.json"
    kept = ("--baseline", str(root / "baseline.json"), "--update-baseline", "--format", f"junit={root / 'junit.xml'}")
    for command in (
        searched,
        ("export", "one", "--samples", "4", *at),
        ("export", "one", "--samples", "4", "--target", "c", *at),
        ("export", "one", "--samples", "4", "--target", "onnx", *at),
        ("report", "one", "--html", "--runs-dir", str(runs)),
        ("diagnose", export, "--limit", "4", "--out", str(root / "diagnosis"), "-q"),
        ("check", export, *kept, "-q"),
        ("attest", export, "--out", str(root / "attest.json")),
        ("submit", "one", "--runs-dir", str(runs), "--out", str(row)),
        ("submit", "--files", str(row), "--out", str(root / "again")),
        ("runs", "pack", "one", "--out", str(root / "one.zip"), "--runs-dir", str(runs)),
    ):
        assert run_command([*command]) == 0, command
    assert unlike(root, umask) == {}
    paths = [*root.rglob("*")]
    names = {path.name for path in paths}
    assert {"run.toml", "weights.safetensors", "program.npz", "run_lava.py", "model.onnx", "row.json"} <= names
    assert ".c" in {path.suffix for path in paths}
    assert {"report.html", "junit.xml", "attest.json", "baseline.json", "one.zip", "divergence.svg"} <= names
    assert (root / "again").is_dir()


@pytest.mark.slow
def test_a_calibration_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    pytest.importorskip("scipy")
    root = tmp_path / "made"
    plan, profile = root / "plan", root / "board.toml"
    assert run_command(["calibrate", "--plan", "loihi1", "--out", str(plan), "--target", "c", "-q"]) == 0
    read = read_plan(plan)
    log = tmp_path / "log.csv"
    log.write_text(as_csv(measured(read, hidden(read, 5))))
    assert run_command(["calibrate", "--log", str(log), "--plan", str(plan), "--out", str(profile), "-q"]) == 0
    assert unlike(root, umask) == {}
    names = {path.name for path in root.rglob("*")}
    assert {"plan.json", "log.csv", "board.toml", "program.npz"} <= names
