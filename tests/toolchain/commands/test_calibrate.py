"""``snnas calibrate`` from a plan to a profile, as an owner of a board would type it."""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snnas
from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.calibrate import model
from snnas.hw_sim.calibrate.plan import IDLE
from snnas.hw_sim.calibrate.probes import build
from snnas.hw_sim.energy.profile import load_profile
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands import calibrate as commands
from snnas.toolchain.commands.calibrate import PlanOptions, plan_probes, read_plan
from tests.studies.calibration import as_csv, hidden, measured, truth

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrate") / "probes"
    plan_probes(PlanOptions(profile="loihi1", out=out, target="c"))
    return out


def test_a_filled_in_log_becomes_a_profile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log that was written, with what a meter read put in: mean power, in its own units."""
    plan, rows = read_plan(folder), list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    constants = hidden(plan, 5)
    lines = ["probe,repeat,inferences,power_mW,time_ms"]
    for row in rows:
        if row["probe"] == IDLE:
            lines.append(f"idle,{row['repeat']},,{constants['power.idle']},{float(row['time_s']) * 1e3}")
            continue
        probe = next(p for p in plan.probes if p.id == row["probe"])
        energy, spent = truth(model.tally(probe.counts), constants)
        lines.append(
            f"{probe.id},{row['repeat']},{row['inferences']},{energy / spent * 1e3},"
            f"{spent * int(row['inferences']) / 1e3}"
        )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("\n".join(lines))
    assert run_command(["calibrate", "--log", "log.csv", "--plan", str(folder), "--out", "board.toml"]) == 0
    said = capsys.readouterr()
    assert "energy.synop" in said.out
    assert "next: snnas estimate EXPORT --profile board.toml" in said.err
    profile = load_profile("board.toml")
    assert profile.name == "board"
    for key, value in constants.items():
        assert profile.constants[key].value == pytest.approx(value, rel=1e-4), key
    (tmp_path / "board.toml").write_text("mine")
    assert run_command(["calibrate", "--log", "log.csv", "--plan", str(folder), "--out", "board.toml"]) == 2
    assert "--out board.toml: is there already" in capsys.readouterr().err
    assert (tmp_path / "board.toml").read_text() == "mine"


def test_a_log_with_a_fault_writes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = read_plan(folder)
    text = as_csv(measured(plan, hidden(plan, 5)))
    (tmp_path / "log.csv").write_text(text.replace("energy_uJ", "energy_mJ"))
    fit = ["calibrate", "--log", "log.csv", "--plan", str(folder), "--out", "board.toml"]
    assert run_command(fit) == 3
    assert "a unit is off by 1000" in capsys.readouterr().err
    assert not (tmp_path / "board.toml").exists()
    assert run_command([*fit, "--trust-units", "-q"]) == 0
    for options, said in (
        (["--log", "none.csv", "--plan", str(folder), "--out", "b.toml"], "none.csv: cannot be read"),
        (["--log", "log.csv", "--plan", "nowhere", "--out", "b.toml"], "no plan.json in it"),
        (["--log", "log.csv", "--plan", str(folder), "--out", "b.json"], "ends in .toml"),
        (["--log", "log.csv", "--plan", str(folder), "--out", "b.toml", "--probes", "3"], "--probes is of a plan"),
        (["--plan", "loihi1", "--out", str(folder)], "is there already"),
        (["--plan", "loihi1", "--out", "new", "--target", "onnx"], "expected lava or c"),
        (["--plan", "loihi1", "--out", "new", "--trust-units"], "--trust-units is of a fit"),
        (["--plan", "loihi", "--out", "new"], "did you mean 'loihi1'?"),
    ):
        assert run_command(["calibrate", *options]) == 2, options
        assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_too_few_probes_to_check_a_fit_by_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    plan_probes(PlanOptions(profile="loihi1", out=few, target="c", probes=7))
    assert "--probes 7: as many as the constants need" in capsys.readouterr().err
    plan = read_plan(few)
    assert plan.needed == 7

    def fitted(plan_folder: Path, rows: str) -> str:
        log = tmp_path / "log.csv"
        log.write_text(rows)
        (tmp_path / "board.toml").unlink(missing_ok=True)
        snnas.calibrate(plan_folder, tmp_path / "board.toml", log=log)
        return capsys.readouterr().err

    def strange(plan_folder: Path, probe: str) -> str:
        """A board on which one probe takes three times what the sum of its counts says."""
        plan = read_plan(plan_folder)
        rows = [
            replace(r, energy_uJ=3 * r.energy_uJ) if r.probe == probe else r for r in measured(plan, hidden(plan, 5))
        ]
        return fitted(plan_folder, as_csv(rows))

    assert fitted(folder, as_csv(measured(read_plan(folder), hidden(read_plan(folder), 5)))) == ""
    said = strange(folder, "p01")
    assert "each probe foretold by the others is off by " in said
    assert "trust no bill by this profile" in said
    assert "7 probes leave none to check the fit by; " in strange(few, "p01")


def test_python_plans_and_fits_as_the_command_does(folder: Path, tmp_path: Path) -> None:
    plan = read_plan(folder)
    (tmp_path / "log.csv").write_text(as_csv(measured(plan, hidden(plan, 5))))
    out = tmp_path / "board.toml"
    found = snnas.calibrate(folder, out, log=tmp_path / "log.csv")
    assert found.path == out
    assert {row["constant"] for row in found.to_dict()["constants"]} == set(plan.constants)
    assert found.headline.startswith(f"{out}: held-out error ")
    with pytest.raises(snnas.UsageError, match="probes is of a plan, and log fits one that is there"):
        snnas.calibrate(folder, out, log=tmp_path / "log.csv", probes=3)  # type: ignore[call-overload]
    with pytest.raises(snnas.UsageError, match=r"^out=.*: is there already"):
        snnas.calibrate("loihi1", folder)
    with pytest.raises(snnas.UsageError, match=r"^trust_units.* is of a fit; give log"):
        snnas.calibrate("loihi1", tmp_path / "new", trust_units=True)  # type: ignore[call-overload]


def test_a_probe_is_simulated_as_it_was_counted(folder: Path) -> None:
    for probe in read_plan(folder).probes[:2]:
        figures = snnas.load(folder / probe.id / "program.npz")
        assert isinstance(figures, snnas.Program)
        with np.load(folder / probe.id / "stimulus.npz") as arrays:
            assert figures.simulate(arrays["x"]).to_dict()["synops_per_inference"]["mean"] == probe.counts.synops


def test_a_damaged_plan_is_an_invalid_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    spoilt = tmp_path / "probes"
    shutil.copytree(folder, spoilt)
    (spoilt / "p02/counts.json").write_text("{}")
    fit = ["calibrate", "--log", str(folder / "log.csv"), "--plan", str(spoilt), "--out", str(tmp_path / "b.toml")]
    assert run_command(fit) == 3
    assert "counts: format" in capsys.readouterr().err
    (spoilt / "plan.json").write_text("[")
    assert run_command(fit) == 3


def test_the_c_of_a_probe_is_the_program(folder: Path) -> None:
    plan = read_plan(folder)
    smallest = min(plan.probes, key=lambda p: p.counts.synops + sum(c.compartments for c in p.counts.cores))
    made = subprocess.run(["make", "-s", "test"], cwd=folder / smallest.id, capture_output=True, text=True, check=False)
    if "not found" in made.stderr:
        pytest.skip("no C compiler")
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.lava
def test_a_probe_runs_in_lava_as_it_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lava_python: Path
) -> None:
    """On the board a probe does what the simulator counted: each of its spikes, by Lava's processes."""
    plan = read_plan_of_lava(tmp_path, monkeypatch)
    found = min(plan.probes, key=lambda p: sum(c.compartments for c in p.counts.cores) - 1000 * (p.counts.spikes > 0))
    folder = tmp_path / "probes" / found.id
    assert read_program(folder / "program.npz").populations[0].id == build(found.recipe).populations[0].id
    golden = read_npz(folder / "golden.npz")
    assert sum(int(np.unpackbits(v).sum()) for k, v in golden.items() if k.startswith("spikes.")) == found.counts.spikes
    done = subprocess.run(
        [str(lava_python), "run_lava.py"], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read_plan_of_lava(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> commands.Plan:
    """A plan for Lava of few and small candidates."""
    whole = commands.make
    monkeypatch.setattr(commands, "make", lambda *a, **k: whole(*a, **{**k, "small": True, "candidates": 30}))
    plan_probes(PlanOptions(profile="loihi1", out=tmp_path / "probes", system="generic"))
    plan = read_plan(tmp_path / "probes")
    assert json.loads((tmp_path / "probes/plan.json").read_text())["system"] == "generic"
    return plan
