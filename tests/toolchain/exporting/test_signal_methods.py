"""Signals through what test_signals leaves out: other methods that search cells, and ONNX with its encoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.onnx_encoder import run_encoder
from snnas.hw_sim.files import read_json, write_json
from snnas.search.network.genotype import Genotype
from snnas.toolchain.data.load import load
from snnas.toolchain.runs.run import Run
from tests.toolchain.checking.check_subjects import checked, sign
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


def other_threshold(folder: Path) -> None:
    """A finer one in encoder.onnx, which is signed."""
    model = onnx.load(str(folder / "encoder.onnx"))
    (held,) = (tensor for tensor in model.graph.initializer if tensor.name == "threshold")
    held.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(held) / 2, "threshold"))
    (folder / "encoder.onnx").write_bytes(model.SerializeToString(deterministic=True))
    sign(folder, "encoder.onnx")


def without_encoder(folder: Path) -> None:
    (folder / "encoder.onnx").unlink()
    manifest = read_json(folder / "manifest.json")
    del manifest["files"]["encoder.onnx"]
    write_json(folder / "manifest.json", manifest)


def fewer_compared(folder: Path) -> None:
    write_json(folder / "report.json", {**read_json(folder / "report.json"), "encoder_spikes_compared": 7})
    sign(folder, "report.json")


def of_no_encoder(folder: Path) -> None:
    """The graph says of values that stay values; model and encoder lie there all the same."""
    graph = read_nir(folder / "model.nir")
    write_nir(folder / "model.nir", replace(graph, meta={n: v for n, v in graph.meta.items() if n != "signal"}))
    sign(folder, "model.nir")


FORGED: list[tuple[Callable[[Path], None], tuple[int, set[tuple[str, str]]]]] = [
    (other_threshold, (1, {("SN315", "not what model.nir gives")})),
    (without_encoder, (1, {("SN315", "model.nir says of an encoder of signals, and there is none")})),
    (fewer_compared, (1, {("SN307", "encoder_spikes_compared is COUNT, the report says 7")})),
    (of_no_encoder, (1, {
        ("SN315", "1 part is not what model.nir gives: metadata signal"),
        ("SN315", "model.nir says of no encoder of signals, so that nothing gives it"),
        ("SN307", "encoder_spikes_compared is 0, the report says COUNT"),
    })),
]  # fmt: skip


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
    assert checked(capsys, str(folder))[0] == 0
    compared = str(report["encoder_spikes_compared"])
    for change, expected in FORGED:
        spoilt = shutil.copytree(folder, tmp_path / change.__name__)
        change(spoilt)
        code, findings = checked(capsys, str(spoilt))
        said = {(f["code"], f["detail"].partition(";")[0]) for f in findings if f["status"] == "failed"}
        assert (code, {(rule, text.replace(compared, "COUNT")) for rule, text in said}) == expected
