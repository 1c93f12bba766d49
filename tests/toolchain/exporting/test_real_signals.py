"""A real set of signals end to end, into Lava: where aeon, whose wheel holds it, is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.cli.app import run_command
from tests.studies.signal_baselines import shipped

CELL = Genotype("lightsnn_1d", (Cell.of({(0, 1): "conv5x5", (1, 3): "conv3x3"}),))


@pytest.mark.lava
def test_a_year_of_power_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ItalyPowerDemand, 24 hours a day: October to March, or April to September. 8 s of CPU time, for it is trained."""
    path = shipped("ItalyPowerDemand")
    if path is None:
        pytest.skip("needs aeon: pip install -e '.[aeon]'")
    (tmp_path / "cell.json").write_text(CELL.to_json())
    about = ["--genotype", tmp_path / "cell.json", "--dataset", path, "--data", "axis=length", "--timesteps", "4"]
    small = ["--channels", "8", "--hidden", "16", "--cells", "1", "--head", "bn_lif", "--epochs", "25"]
    runs = ["--runs-dir", tmp_path, "--quiet", "--json"]
    assert run_command([str(word) for word in ("train", *about, *small, "--name", "power", *runs)]) == 0
    capsys.readouterr()
    assert run_command([str(word) for word in ("export", "power", "--target", "lava", "--samples", "2", *runs)]) == 0
    report = json.loads(capsys.readouterr().out)
    checks = report["checks"]
    assert (checks["lava_samples"], checks["lava_differing_spikes"], checks["nir_differing_spikes"]) == (2, 0, 0)
    assert checks["lava_spikes_compared"] > 1000
    assert report["accuracy"]["samples"] == 1029
    assert report["accuracy"]["on_target"] > 0.85  # 1-NN with dynamic time warping: .950
