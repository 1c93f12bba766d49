"""A baseline keeps the bands of figures that are the upper end of one, beside the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnas.hw_sim.energy.profile import Band
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking.drift import read_baseline, write_baseline
from snnas.toolchain.cli.app import run_command
from tests.toolchain.checking.check_subjects import healthy, here  # noqa: F401

ENDS = {"low": 0.5, "nominal": 2, "high": 8.0}


def test_bands_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, band = tmp_path / "baseline.json", Band(low=0.5, nominal=2.0, high=8.0)
    write_baseline(path, {"energy_total": 8.0, "cores": 1}, None, None, {"energy_total": band})
    assert read_baseline(path).bands == {"energy_total": band}
    write_baseline(path, {"energy_total": 8.0}, None)
    assert "bands" not in read_json(path)
    assert read_baseline(path).bands == {}
    for figures in ({"energy_total": 7.0}, {"cores": 8.0}):  # set by hand, and of no figure
        write_json(path, {"schema": "snnas.baseline/1", "figures": figures, "bands": {"energy_total": ENDS}})
        assert read_baseline(path).bands == {}
    write_json(path, {"schema": "snnas.baseline/1", "figures": {"cores": 8.0}, "bands": {"cores": ENDS}})
    assert read_baseline(path).bands == {}  # cores have none


@pytest.mark.parametrize(
    "bands",
    [
        [], "low", {"energy_total": 1.0}, {"energy_total": {}}, {"energy_total": {**ENDS, "low": 3}},
        {"energy_total": {**ENDS, "nominal": 9}}, {"energy_total": {**ENDS, "high": None}},
        {"energy_total": {**ENDS, "low": True}}, {"energy_total": {**ENDS, "more": 1}},
        {"energy_total": {**ENDS, "high": "8"}}, {"energy_total": {**ENDS, "low": -0.5}},
    ],
)  # fmt: skip
def test_what_is_no_band_is_refused(bands: Any, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_json(path, {"schema": "snnas.baseline/1", "figures": {"energy_total": 8.0}, "bands": bands})
    with pytest.raises(InvalidFileError, match="expected 0 <= low <= nominal <= high"):
        read_baseline(path)


def test_the_bands_of_an_export_are_those_of_its_report(here: Path) -> None:
    assert run_command(["check", "lava", "--baseline", "kept.json", "--update-baseline", "-q"]) == 0
    report, kept = read_json(here / "lava/report.json"), read_json(here / "kept.json")
    wanted = {name: report["energy_uJ"][name.removeprefix("energy_")] for name in ("energy_total", "energy_dynamic")}
    wanted["latency"] = report["latency_us"]
    assert kept["bands"].keys() == wanted.keys()
    for name, band in kept["bands"].items():
        assert band == pytest.approx({end: wanted[name][end] for end in ("low", "nominal", "high")}, rel=1e-6)
        assert kept["figures"][name] == band["high"]
