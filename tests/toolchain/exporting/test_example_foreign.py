"""The worked example of a foreign network: what its README does with the files that lie beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.toolchain.checking import CheckOptions, check
from snnas.toolchain.exporting.of_graph import export_graph
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.find_convention import whose
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.stderr import Narrator

EXAMPLE = Path(__file__).parents[3] / "examples" / "foreign_nmnist"
MODEL, RECORDED = EXAMPLE / "model.nir", EXAMPLE / "recorded.npz"
REAL = Path(os.environ.get("SNNAS_DATA") or "no such folder")
QUIET = Narrator(quiet=True)


@pytest.fixture
def noise(tmp_path: Path) -> str:
    """The recording's samples as data."""
    with np.load(RECORDED) as arrays:
        np.savez(tmp_path / "noise.npz", x=arrays["x"].astype(np.uint8))
    return str(tmp_path / "noise.npz")


def export(tmp_path: Path, data: str, **options: Any) -> dict[str, Any]:
    wanted = ReadingOptions(data=data, convention="snntorch-zero")
    return export_graph(MODEL, wanted, ExportOptions(**options), QUIET, out=tmp_path / "out")


def test_the_recording_names_snntorch_with_a_reset_to_zero() -> None:
    verdict = whose(MODEL, RECORDED)
    assert verdict.exit_code == 0
    assert [r.dialect.name for r in verdict.fitting] == ["snntorch-zero", "spikingjelly", "nir"]
    assert verdict.rows[0].played
    assert verdict.rows[0].played.doubtful < 10 < 100_000 < verdict.rows[0].played.compared


def test_the_estimate_ends_in_joules(noise: str) -> None:
    result = estimate(open_subject(MODEL, ReadingOptions(data=noise, convention="snntorch-zero")), Pricing(), QUIET)
    assert result["energy_uJ"]["total"]["nominal"] > result["energy_uJ"]["dynamic"]["nominal"] > 0
    assert result["fit"]["chips_used"] == 1
    assert 0.2 < result["sar"]["mean"] < 0.4


def test_the_program_keeps_the_graphs_spikes(noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    report = export(tmp_path, noise, samples=7)
    assert report["checks"]["nir_differing_spikes"] == 0
    assert all(part["differing"] < 0.02 * part["spikes"] for part in report["quantisation"].values())
    assert {f.status for f in check(tmp_path / "out", CheckOptions()).findings} == {"passed"}


@pytest.mark.lava
def test_every_spike_is_lavas(noise: str, tmp_path: Path, lava_python: Path) -> None:
    report = export(tmp_path, noise, samples=2, require_lava=True, lava_python=lava_python)
    assert report["checks"]["lava_differing_spikes"] == 0


@pytest.mark.skipif(not (REAL / "nmnist_subset").is_dir(), reason="SNNAS_DATA names no folder with nmnist_subset")
def test_the_accuracy_of_the_readme(tmp_path: Path) -> None:
    from snnas.toolchain.data import load as data

    split = data.load("nmnist", seed=0, frames=8)
    np.savez(tmp_path / "test.npz", x=split.x_test.astype(np.uint8), y=split.y_test)
    wanted = ReadingOptions(data=str(tmp_path / "test.npz"), convention="snntorch-zero")
    assert estimate(open_subject(MODEL, wanted), Pricing(), QUIET)["accuracy"]["on_target"] == pytest.approx(0.92)
