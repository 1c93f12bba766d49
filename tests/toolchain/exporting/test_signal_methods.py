"""Signals through what test_signals leaves out: other methods that search cells, and ONNX with its encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.onnx_encoder import run_encoder
from snnas.search.network.genotype import Genotype
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.load import load
from snnas.toolchain.runs.run import Run
from tests.toolchain.exporting.test_signals import SMALL, printed, waves

FEW = ["--candidates", "3", "--no-train", "--channels", "4", "--hidden", "8", "--batch", "16", "--quiet"]


@pytest.mark.parametrize("method", ["snasnet", "spikenas"])
def test_a_signal_is_searched_by_a_method_of_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    """axis=time: frames of one place, in which convolutions of one by one are all that there is."""
    about = ["--dataset", str(waves(tmp_path / "waves.npz")), "--data", "axis=time", "--runs-dir", str(tmp_path)]
    found = printed(capsys, "search", "--method", method, *about, "--name", "a", *FEW, "--json")
    run = Run(tmp_path / "a")
    assert run.section("network")["input_shape"] == [2, 1, 1]
    assert found["run"] == "a"
    assert not run.weights.exists()
    assert Genotype.from_json(run.genotype.read_text()).architecture_id == run.section("search")["architecture"]


def test_onnx_of_a_signal_brings_its_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    runs = ["--runs-dir", tmp_path]
    about = ["--dataset", waves(tmp_path / "waves.npz"), "--data", "axis=time,encoder=delta", "--name", "tiny", *runs]
    printed(capsys, "search", "--method", "lightsnn", *about, *SMALL)
    report = printed(capsys, "export", "tiny", "--target", "onnx", "--samples", "4", *runs, "--quiet", "--json")
    folder = tmp_path / "tiny/export/onnx"
    signal = load(tmp_path / "waves.npz", seed=0, axis="time", encoder="delta").signal
    assert signal is not None
    with np.load(tmp_path / "waves.npz") as held:
        raw = held["x"][:4].astype(np.float32)
    spikes = run_encoder(folder / "encoder.onnx", signal, raw)
    assert np.array_equal(spikes, signal.apply(raw))
    assert 0 < spikes.mean() < 1
    assert report["encoder_spikes_compared"] > 0
    assert report["encoder_spikes_compared"] % spikes[0].size == 0
    assert run_command(["check", str(folder), "--quiet"]) == 0
