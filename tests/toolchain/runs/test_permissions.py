"""Everything that a run, its exports, reports and packs leave on disk may be read by whom the umask lets read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snnas.toolchain.cli.app import run_command

TINY = ("--dataset", "digits", "--channels", "1", "--hidden", "4", "-T", "2", "--data", "train_limit=60")


@pytest.fixture(params=[0o022, 0o077], ids=["022", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.slow
def test_files_and_folders_have_the_mode_that_the_umask_leaves(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNNAS_LAVA_ENV", str(tmp_path / "absent"))
    monkeypatch.delenv("SNNAS_LAVA_PYTHON", raising=False)
    root = tmp_path / "made"
    runs = root / "runs"
    export = str(runs / "one" / "export" / "lava")
    at = ("--runs-dir", str(runs), "-q")
    for command in (
        ("search", *TINY, "--method", "lightsnn", "--epochs", "1", "--name", "one", *at),
        ("export", "one", "--samples", "4", *at),
        ("export", "one", "--samples", "4", "--target", "c", *at),
        ("report", "one", "--html", "--runs-dir", str(runs)),
        ("diagnose", export, "--limit", "4", "--out", str(root / "diagnosis"), "-q"),
        (
            "check",
            export,
            "--baseline",
            str(root / "baseline.json"),
            "--update-baseline",
            "--format",
            f"junit={root / 'junit.xml'}",
            "-q",
        ),
        ("attest", export, "--out", str(root / "attest.json")),
        ("runs", "pack", "one", "--out", str(root / "one.zip"), "--runs-dir", str(runs)),
    ):
        assert run_command([*command]) == 0, command
    paths = [root, *root.rglob("*")]
    wrong = {
        str(path.relative_to(root)): oct(mode)
        for path in paths
        if (mode := path.stat().st_mode & 0o777) != (0o777 if path.is_dir() else 0o644) & ~umask
    }
    assert not wrong
    names = {path.name for path in paths}
    assert {"run.toml", "weights.safetensors", "program.npz", "run_lava.py"} <= names
    assert ".c" in {path.suffix for path in paths}
    assert {"report.html", "junit.xml", "attest.json", "baseline.json", "one.zip", "divergence.svg"} <= names
