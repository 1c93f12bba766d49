"""The script as a command, with recorded spikes in place of Lava: what it writes, prints and returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.lava import run_lava
from tests.hw_sim.lava.test_lava import export
from tests.programs import random_program

Recorded = dict[str, np.ndarray]
Lava = Callable[[Callable[[Recorded], None]], None]
PROGRAM = random_program(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tmp_path / "x", PROGRAM)
    return tmp_path / "x"


@pytest.fixture
def lava(monkeypatch: pytest.MonkeyPatch) -> Lava:
    """A Lava that fires what was recorded, once ``change`` has had it."""

    def fires(change: Callable[[Recorded], None]) -> None:
        def run_all(
            program: dict[str, Any],
            arrays: Recorded,
            golden: Recorded,
            samples: int,
            out: str,
            say: Callable[..., None],
        ) -> run_lava.Run:
            spikes = {p["id"]: golden[f"spikes.{p['id']}"][:samples].copy() for p in program["populations"]}
            change(spikes)
            say("built")
            return run_lava.Run(spikes=spikes, steps=9, processes=4, build_seconds=0.5, run_seconds=1.25)

        monkeypatch.setattr(run_lava, "imported", lambda module, name: None)
        monkeypatch.setattr(run_lava, "run_all", run_all)

    return fires


def test_equal_spikes(folder: Path, tmp_path: Path, lava: Lava, capsys: pytest.CaptureFixture[str]) -> None:
    lava(lambda spikes: None)
    counted = 2 * PROGRAM.timesteps * sum(p.size for p in PROGRAM.populations)
    out = tmp_path / "out/deep"
    for arguments in ([], ["--quiet"]):  # the second time the folder is there
        assert run_lava.main([str(folder), "--out", str(out), *arguments]) == 0
        *said, verdict = capsys.readouterr().out.splitlines()
        assert said == ([] if arguments else ["built"])
        assert verdict == (
            f"equal: 0 of {counted} spikes differ; 2 samples, 4 processes, 9 hardware steps, 1.2 s in Lava"
        )  # fmt: skip
    text = (out / "result.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert sorted(path.name for path in out.iterdir()) == ["result.json", "spikes.npz"]
    assert run_lava.main([str(folder), "--samples", "1", "--quiet"]) == 0
    assert json.loads((folder / "lava/result.json").read_text())["samples"] == 1


def test_a_spike_that_differs(folder: Path, lava: Lava, capsys: pytest.CaptureFixture[str]) -> None:
    def flip(spikes: Recorded) -> None:
        spikes["p1"][1, 2, 0] ^= 128

    lava(flip)
    assert run_lava.main([str(folder)]) == 1
    place, verdict = capsys.readouterr().out.splitlines()[-2:]
    assert place.startswith("p1: 1 of ")
    assert place.endswith(" differ, first at sample 1, timestep 2, neuron (0, 0, 0)")
    assert verdict.startswith("DIFFERENT: 1 of ")


def test_a_lava_that_fails_or_is_not_there(
    folder: Path, lava: Lava, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(spikes: Recorded) -> None:
        raise RuntimeError("a\n  b")

    lava(fails)
    assert run_lava.main([str(folder)]) == 70
    assert capsys.readouterr().err == "Lava failed: RuntimeError: a b\n"

    def absent(module: str, name: str) -> None:
        raise ImportError("no lava")

    monkeypatch.setattr(run_lava, "imported", absent)
    assert run_lava.main([str(folder)]) == 2
    assert "(no lava); pip install lava-nc==0.10.0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["program.npz", "golden.npz"])
def test_files_that_cannot_be_used(name: str, folder: Path, lava: Lava, capsys: pytest.CaptureFixture[str]) -> None:
    lava(lambda spikes: None)
    (folder / name).write_text("no archive")
    assert run_lava.main([str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"{folder / name}: ")
    (folder / name).unlink()
    assert run_lava.main([str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"{folder / name}: ")
