"""``snnas export --early-exit``: chosen on what is held back, measured on the rest, kept in the program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.early_exit import Rule, rule_of
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking import CheckOptions, check
from snnas.toolchain.checking import said as said_again
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands.export import GraphExportOptions, export_graph
from snnas.toolchain.commands.exported import read_export
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.exporting import early_exit
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.simulate import simulate
from snnas.toolchain.output.stderr import Narrator
from tests.documents import hold_document
from tests.export.nir_nets import written
from tests.toolchain.checking.check_subjects import change_arrays, sign
from tests.toolchain.exporting.test_of_graph import data, small

pytest.importorskip("torch")
QUIET = Narrator(quiet=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    written(tmp_path, small()).rename(tmp_path / "foreign.nir")
    data(tmp_path, samples=60)
    return tmp_path


EXPORT = ["export", "foreign.nir", "--data", "data.npz", "--samples", "4"]


def test_exact_changes_no_answer_and_says_what_it_saves(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*EXPORT, "--early-exit", "exact", "-q"]) == 0
    assert "early exit (exact): timesteps" in capsys.readouterr().out
    folder = here / "foreign-lava"
    report = json.loads((folder / "report.json").read_text())
    hold_document(report)
    found = report["early_exit"]
    assert found["changed"] == 0
    assert found["accuracy"] == report["accuracy"]["on_target"]
    assert 0 < found["early"] <= found["samples"] == report["accuracy"]["samples"]
    assert 1 <= found["timesteps"]["mean"] < found["of_timesteps"] == report["timesteps"]
    assert found["energy_uJ"]["ending_early"] < found["energy_uJ"]["whole"] == report["energy_uJ"]["total"]["nominal"]
    program = read_program(folder / "program.npz")
    assert rule_of(program) == Rule(mode="exact")
    assert check(folder, CheckOptions()).exit_code == 0
    figures = simulate(open_subject(folder, ReadingOptions(data="data.npz")), QUIET)
    hold_document(figures)
    assert figures["early_exit"]["changed"] == 0
    assert figures["early_exit"]["timesteps"]["mean"] < program.timesteps
    export = read_export(folder)
    ends = export.early_exit
    assert ends is not None
    assert (ends.mode, ends.level, ends.of_timesteps, ends.changed) == ("exact", None, program.timesteps, 0)
    assert (ends.timesteps, ends.early) == (found["timesteps"]["mean"], found["early"])
    assert ends.accuracy == export.accuracy
    assert export.simulate().early_exit == ends


def test_a_confidence_is_chosen_on_what_calibrates(here: Path) -> None:
    assert run_command([*EXPORT, "--early-exit", "0.9", "-q"]) == 0
    rule = rule_of(read_program(here / "foreign-lava/program.npz"))
    assert rule is not None
    assert (rule.mode, rule.level, rule.chosen_on) == ("confidence", 0.9, 12)
    report = json.loads((here / "foreign-lava/report.json").read_text())
    assert report["early_exit"]["margin"] == rule.margin
    assert report["early_exit"]["samples"] == 48
    before = (here / "foreign-lava/manifest.json").read_text()
    assert run_command([*EXPORT, "--early-exit", "0.9", "-q"]) == 0, "up to date"
    assert (here / "foreign-lava/manifest.json").read_text() == before
    assert run_command([*EXPORT, "--early-exit", "exact", "-q"]) == 2, "another export is there"


def test_what_cannot_be_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked, code, said in (
        ("always", 2, "expected exact, or a share"),
        ("1.5", 2, "expected exact, or a share"),
        ("0.99", 4, "there are 12 samples to choose a margin on, 100 are needed"),
    ):
        assert run_command([*EXPORT, "--early-exit", asked, "-q"]) == code
        assert said in capsys.readouterr().err
    assert run_command([*EXPORT, "-q", "--early-exit"]) == 2
    assert "requires an argument. It takes: End once the answer is settled: exact, or" in capsys.readouterr().err
    assert run_command([*EXPORT[:2], "--target", "onnx", "--early-exit", "exact"]) == 2
    assert not (here / "foreign-lava").exists()


def test_a_readout_of_membranes_is_refused(here: Path) -> None:
    assert run_command([*EXPORT, "-q"]) == 0
    program = read_program(here / "foreign-lava/program.npz")
    last = replace(program, readout=replace(program.readout, read="last"))
    with pytest.raises(UnsupportedError, match="--early-exit: this readout weighs"):
        early_exit.with_rule(last, "exact", np.zeros((0,)))


def test_without_labels_there_is_no_accuracy_and_onnx_has_no_exit(here: Path) -> None:
    arrays = dict(np.load("data.npz"))
    np.savez("bare.npz", x=arrays["x"])
    asked = ["export", "foreign.nir", "--data", "bare.npz", "--samples", "4", "--early-exit", "exact", "-q"]
    assert run_command(asked) == 0
    found = json.loads(Path("foreign-lava/report.json").read_text())["early_exit"]
    assert found["accuracy"] is None
    assert found["changed"] == 0
    with pytest.raises(UsageError, match="--early-exit exact: of an integer program"):
        export_graph(
            GraphExportOptions(
                graph=Path("foreign.nir"),
                reading=ReadingOptions(data="data.npz"),
                target="onnx",
                early_exit="exact",
            )
        )


def _spoil_report(folder: Path, **changes: object) -> None:
    report = read_json(folder / "report.json")
    for path, value in changes.items():
        *tables, last = path.split("__")
        table = report["early_exit"]
        for name in tables:
            table = table[name]
        table[last] = value
    write_json(folder / "report.json", report)
    sign(folder, "report.json")


def _spoil_rule(folder: Path, **changes: object) -> None:
    program = read_program(folder / "program.npz")
    meta = {**program.meta, "early_exit": {**program.meta["early_exit"], **changes}}
    write_program(folder / "program.npz", replace(program, meta=meta))
    sign(folder, "program.npz")


def _found(folder: Path) -> tuple[str, str]:
    """Status and detail of SN314, the one rule that is breached if any is."""
    findings = check(folder, CheckOptions()).findings
    odd = [f for f in findings if f.status not in ("passed", "warned")]
    assert {f.code for f in odd} <= {"SN314"}, odd
    (found,) = [f for f in findings if f.code == "SN314"]
    return found.status, found.detail


def test_check_ends_the_samples_of_an_exact_exit_again(here: Path) -> None:
    assert run_command([*EXPORT, "--early-exit", "exact", "-q"]) == 0
    folder = here / "foreign-lava"
    status, detail = _found(folder)
    assert status == "passed"
    assert "48 samples, mean " in detail
    assert "0 answers changed" in detail
    whole = read_json(folder / "report.json")
    for changes, said in (
        ({"timesteps__mean": 1.0}, "early_exit.timesteps.mean is "),
        ({"early": 1}, "early_exit.early is "),
        ({"changed": 3}, "early_exit.changed is 0, the report says 3"),
        ({"accuracy": 0.999}, "early_exit.accuracy is "),
        ({"energy_uJ__ending_early": 0.1}, "early_exit.energy_uJ.ending_early is "),
        ({"mode": "confidence"}, "early_exit.mode is exact, the report says confidence"),
        ({"energy_uJ": None}, "early_exit.energy_uJ is no table"),
        ({"accuracy": None}, "early_exit.accuracy is "),
        ({"timesteps__interval": [1.0, 1.5]}, "early_exit.timesteps.interval is "),
    ):
        _spoil_report(folder, **changes)
        status, detail = _found(folder)
        assert (status, detail[: len(said)]) == ("failed", said)
        write_json(folder / "report.json", whole)
    del whole["early_exit"]
    write_json(folder / "report.json", whole)
    sign(folder, "report.json")
    assert _found(folder) == ("failed", "program.npz has an early exit, report.json has none; export again")


def test_an_exact_exit_that_changes_an_answer_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command([*EXPORT, "--early-exit", "exact", "-q"]) == 0
    monkeypatch.setattr("snnas.hw_sim.early_exit.slack", lambda readout: np.zeros((readout.classes,) * 2, np.int64))
    status, detail = _found(here / "foreign-lava")
    assert status == "failed"
    assert detail.startswith("exact, and the answers of ")


def test_check_finds_the_margin_of_a_confidence_that_was_changed(here: Path) -> None:
    assert run_command([*EXPORT, "--early-exit", "0.9", "-q"]) == 0
    folder = here / "foreign-lava"
    assert _found(folder)[0] == "passed"
    kept = {name: (folder / name).read_bytes() for name in ("report.json", "program.npz", "manifest.json")}
    margin = read_json(folder / "report.json")["early_exit"]["margin"]
    for spoil, said in (
        (lambda: _spoil_report(folder, margin=margin - 1), f"early_exit.margin is {margin}, the report says"),
        (lambda: _spoil_rule(folder, level=0.99), "early_exit.level is 0.99, the report says 0.9"),
        (lambda: (_spoil_rule(folder, margin=1), _spoil_report(folder, margin=1)), "early_exit.timesteps.mean is "),
    ):
        spoil()
        status, detail = _found(folder)
        assert (status, detail[: len(said)]) == ("failed", said)
        for name, content in kept.items():
            (folder / name).write_bytes(content)


def test_of_fewer_samples_the_share_that_stays_is_held(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said_again, "LIMIT_BYTES", 0)  # as if no more had fitted
    assert run_command([*EXPORT, "--early-exit", "0.9", "-q"]) == 0
    folder = here / "foreign-lava"
    change_arrays(folder / "stimulus.npz", x=lambda x: x[:40], y=lambda y: y[:40])
    sign(folder, "stimulus.npz")
    status, detail = _found(folder)
    assert status == "passed"
    assert "the report's 48 are not here" in detail
    whole = read_json(folder / "report.json")
    for changes, said in (
        ({"stay_interval": [0.1, 0.2]}, "early_exit.stay_interval is "),
        ({"changed": 40, "stay_interval": list(wilson(8, 48))}, " of the answers stay, the report says"),
        ({"samples": 1000}, "early_exit is of 1000 samples"),
        ({"early": 49}, " 49 early, of 48"),
        ({"timesteps__mean": 1.0}, "early_exit.hardware_steps is "),
        ({"hardware_steps": 1}, "early_exit.hardware_steps is "),
        ({"energy_uJ__ending_early": 0.001}, "early_exit.energy_uJ.ending_early is "),
        ({"accuracy": 0.0}, "are right, the report says 0.00%"),
        ({"timesteps__interval": [0.1, 0.2]}, "timesteps on average, the report says "),
    ):
        _spoil_report(folder, **changes)
        status, detail = _found(folder)
        assert (status, said in detail) == ("failed", True), detail
        write_json(folder / "report.json", whole)


def test_of_fewer_samples_an_exact_exit_may_change_no_answer(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said_again, "LIMIT_BYTES", 0)  # as if no more had fitted
    assert run_command([*EXPORT, "--early-exit", "exact", "-q"]) == 0
    folder = here / "foreign-lava"
    change_arrays(folder / "stimulus.npz", x=lambda x: x[:40], y=lambda y: y[:40])
    sign(folder, "stimulus.npz")
    _spoil_report(folder, changed=3, stay_interval=list(wilson(45, 48)))
    assert _found(folder) == ("failed", "exact, and the report says that 3 answers change")
