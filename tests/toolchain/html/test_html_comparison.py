"""Runs beside each other: what is shown of each, what is said where they cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import snnas
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import write_json
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.html import compared, material, write_comparison
from snnas.toolchain.runs.run import Run
from tests.toolchain.html.test_html_page import HOSTILE, Reader, make_run

SECTIONS = {"figures", "pictures", "cells", "settings"}


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [make_run(tmp_path, "one"), make_run(tmp_path, "two")]


def page_of(runs: list[Run], path: Path) -> str:
    return write_comparison(runs, path).read_text(encoding="utf-8")


def test_equal_runs_differ_in_nothing(runs: list[Run], tmp_path: Path) -> None:
    page = page_of(runs, tmp_path / "a.html")
    reader = Reader(page)
    assert set(reader.ids) >= SECTIONS
    assert len(reader.ids) == len(set(reader.ids))
    assert "None: the same settings, seeds and versions." in reader.said
    assert "These runs have different" not in reader.said
    for words in ("one", "two", "measured | simulated", "estimated", "90.00%", "80.00%"):
        assert words in reader.said
    assert page.count("<figure>") == page.count("<summary>Numbers") == 7
    assert page == page_of(runs, tmp_path / "b.html")


def test_the_figures_as_text(runs: list[Run]) -> None:
    runs[1].report.unlink()
    _, head, rows = compared(runs)
    assert head == ["", "one", "two", "provenance"]
    found = {row[0]: row[1:] for row in rows}
    assert found["accuracy"] == ["90.00% -> 80.00%", "-", "measured | simulated"]
    assert found["latency (us)"] == ["1 .. 2 .. 1,000", "-", "estimated"]


def test_each_run_is_read_once(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    read, reads = material.read_report, list[Path]()

    def counted(path: Path) -> dict[str, Any]:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(material, "read_report", counted)
    snnas.compare_runs(*(str(run.path) for run in runs))
    assert sorted(reads) == sorted(run.report for run in runs)


def test_rows_of_one_run_stand_where_they_stand_there(runs: list[Run]) -> None:
    plain = [row[0] for row in compared(runs)[2]]
    report = json.loads(runs[1].report.read_text())
    report["finetune"] = {
        "epochs": 2, "best_epoch": 1, "weights_changed": 1, "weights": 2, "bits": 4, "seconds": 1.0,
        "validation": {"before": 0.5, "after": 0.6, "samples": 10}, "test": {"before": 0.5, "after": 0.6},
    }  # fmt: skip
    write_json(runs[1].report, report)
    alone = [row[0] for row in compared([runs[1], runs[1]])[2]]
    beside = [row[0] for row in compared(runs)[2]]
    assert len(alone) > len(plain)
    assert beside == alone


def test_what_was_asked_of_exports_differs_too(runs: list[Run]) -> None:
    for run, inputs in zip(runs, ({"bits": 8, "samples": 32}, {"bits": 4, "samples": 32}), strict=True):
        manifest = run.export("lava") / "manifest.json"
        write_json(manifest, json.loads(manifest.read_text()) | {"inputs": inputs})
    assert compared(runs)[0]["differences"] == {"export.bits": [8, 4]}


def test_figures_of_different_things_are_told_on_the_terminal(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(runs[1].report.read_text())
    write_json(runs[1].report, report | {"timesteps": report["timesteps"] + 1})
    named = ["report", *(run.name for run in runs), "--runs-dir", str(runs[0].path.parent)]
    assert run_command(named) == 0
    said = "These runs have different numbers of timesteps: their figures are of different things."
    assert capsys.readouterr().err.splitlines() == [f"note: {said}"]
    assert run_command([*named, "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["warnings"], err) == ([said], "")


def test_the_figures_as_plain_data(runs: list[Run]) -> None:
    config = runs[1].config()
    config["seed"] = 17
    config["network"] = config["network"] | {"input_shape": [1, 2, 3]}
    config["search"] = {"seconds": 3.0, "evaluations": 31, "guards": 0, "architecture": "abc"}
    runs[1].write_config(config)
    found, _, _ = compared(runs)
    assert [run["name"] for run in found["runs"]] == ["one", "two"]
    assert [run["report"] for run in found["runs"]] == [json.loads(run.report.read_text()) for run in runs]
    before = runs[0].config()["seed"]
    assert found["differences"] == {"seed": [before, 17], "network.input_shape": [[1, 8, 8], [1, 2, 3]]}
    assert found["warnings"] == []
    runs[0].report.unlink()
    runs[1].report.write_text("{}")
    assert [run["report"] for run in compared(runs)[0]["runs"]] == [None, None]


def test_what_differs_is_said(runs: list[Run], tmp_path: Path) -> None:
    config = runs[1].config()
    config["data"]["sha256"] = "1" * 64
    config["seed"] = 17
    runs[1].write_config(config)
    report = json.loads(runs[1].report.read_text())
    report["timesteps"] = 9
    report["energy_uJ"]["profile"] = "other"
    report["accuracy"]["samples"] = 100
    write_json(runs[1].report, report)
    said = Reader(page_of(runs, tmp_path / "a.html")).said
    for what in ("data sets", "numbers of test samples", "energy profiles", "numbers of timesteps"):
        assert f"These runs have different {what}" in said
    assert "data.sha256" in said
    assert "17" in said


def test_runs_take_part_with_what_they_have(runs: list[Run], tmp_path: Path) -> None:
    runs[0].report.unlink()
    page = page_of(runs, tmp_path / "a.html")
    assert "Not exported, or not readable: one" in page
    assert "90.00%" in page
    runs[1].report.write_text("{}")
    page = page_of(runs, tmp_path / "a.html")
    assert "None of these runs is exported" in page
    assert set(Reader(page).ids) >= SECTIONS
    runs[1].genotype.unlink()
    assert "The search has not ended" in page_of(runs, tmp_path / "a.html")


def test_a_report_of_odd_types_costs_its_own_part(runs: list[Run], tmp_path: Path) -> None:
    whole = json.loads(runs[0].report.read_text())
    for section in ("accuracy", "sar", "energy_uJ", "latency_us", "checks"):
        for key in whole[section]:
            write_json(runs[0].report, whole | {section: whole[section] | {key: "x"}})
            assert set(Reader(page_of(runs, tmp_path / "a.html")).ids) >= SECTIONS


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_of_others_stay_text(runs: list[Run], hostile: str, tmp_path: Path) -> None:
    config = runs[0].config()
    config["data"]["name"] = config["versions"]["numpy"] = hostile.replace("\x00", "")
    runs[0].write_config(config)
    report = json.loads(runs[0].report.read_text())
    report["checks"]["lava"] = report["energy_uJ"]["evidence"] = hostile
    write_json(runs[0].report, report)
    page = page_of(runs, tmp_path / "a.html")
    assert page.count("<script>") == page.count("<style>") == 1
    assert not any(key.startswith("on") for _, key, _ in Reader(page).attributes)


def test_runs_of_equal_names_are_told_apart(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / folder, "same") for folder in ("a", "b")]
    assert "same (2)" in Reader(page_of(runs, tmp_path / "a.html")).said


def test_the_number_of_runs(runs: list[Run], tmp_path: Path) -> None:
    for some in ([], runs[:1], runs * 7):
        with pytest.raises(UsageError, match="expected 2 to 12"):
            write_comparison(some, tmp_path / "a.html")
    (runs[0].path / "run.toml").write_text("seed = 1")
    with pytest.raises(InvalidFileError, match=r"run\.toml"):
        write_comparison(runs, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
