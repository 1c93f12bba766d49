"""An attestation is made again from the folder alone, and says what is no longer so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking.attest import digest_of
from snnas.toolchain.cli.app import run_command
from tests.toolchain.checking.check_subjects import change_arrays, healthy, here, sign  # noqa: F401


def test_a_second_machine_makes_the_same_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["attest", "lava", "--out", "attest.json"]) == 0
    other = Path(shutil.copytree("lava", "elsewhere/under/another/name"))
    (other / "budget.toml").write_text("[budget]\ncores = 0\n")
    capsys.readouterr()
    assert run_command(["attest", str(other), "--compare", "attest.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(Path("attest.json"))
    assert run_command(["attest", str(other), "--compare", "attest.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal to the one compared"


def test_what_differs_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["attest", "lava", "--out", "attest.json"]) == 0
    change_arrays(Path("lava/stimulus.npz"), y=lambda y: y[::-1])
    change_arrays(Path("lava/golden.npz"), labels=None)
    for name in ("stimulus.npz", "golden.npz"):
        sign(Path("lava"), name)
    capsys.readouterr()
    assert run_command(["attest", "lava", "--compare", "attest.json"]) == 1
    out = capsys.readouterr().out
    assert "samples.labels: " in out
    assert "samples.stimulus: " not in out
    assert "figures.accuracy: " in out
    assert "checks.SN307 report's figures: 'failed' here, 'passed' there" in out


def test_an_export_that_fails_is_attested_as_failing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("lava/golden.npz").write_bytes(b"x")
    assert run_command(["attest", "lava", "--out", "attest.json"]) == 3
    found = read_json(Path("attest.json"))
    assert (found["exit_code"], found["files"], found["figures"]) == (3, {}, {})
    out = capsys.readouterr().out
    assert out.startswith("FAILED (SN104)")
    assert found["digest"] not in out  # which a reader would take for that of a good one


def test_an_attestation_is_not_believed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["attest", "lava", "--out", "attest.json"]) == 0
    table = read_json(Path("attest.json"))
    write_json(Path("attest.json"), {**table, "figures": {**table["figures"], "energy_total": 1.0}})
    assert run_command(["attest", "lava", "--compare", "attest.json"]) == 3
    forged = {**table, "figures": {**table["figures"], "energy_total": 1.0}}
    write_json(Path("attest.json"), {**forged, "digest": digest_of(forged)})
    assert run_command(["attest", "lava", "--compare", "attest.json"]) == 1
    assert "1.0 there" in capsys.readouterr().out
    write_json(Path("attest.json"), {**table, "exit_code": 1})  # which no digest is of
    assert run_command(["attest", "lava", "--compare", "attest.json"]) == 1
    assert "exit_code: 0 here, 1 there" in capsys.readouterr().out
    write_json(Path("attest.json"), {"schema": "snnas.report/1"})
    assert run_command(["attest", "lava", "--compare", "attest.json"]) == 3
    assert run_command(["attest", "lava", "--compare", "absent.json"]) == 2
    assert run_command(["attest", "graph.nir"]) == 2
