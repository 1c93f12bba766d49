"""The encoder of signals on onnxruntime: the same spikes, each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.signals import SignalInput

pytest.importorskip("onnxruntime")
from snnas.export.formats import onnx_encoder

WALKS = np.random.default_rng(1).normal(size=(5, 30, 3)).cumsum(axis=1).astype(np.float32) * (1, 700, 0.01)


@pytest.mark.parametrize("window", [0, 8])
@pytest.mark.parametrize("encoding", ["delta", "level", "latency"])
def test_every_spike_is_the_same(tmp_path: Path, encoding: str, window: int) -> None:
    if encoding == "latency" and not window:
        pytest.skip("a single sample has no latency")
    x = WALKS.astype(np.float32)
    signal = SignalInput(window=window, hop=5 if window else 0, length=30, encoding=encoding).fitted(x)  # type: ignore[arg-type]
    compared = onnx_encoder.write_encoder(tmp_path / "encoder.onnx", signal, 3)
    assert compared == onnx_encoder.CHECKED * int(np.prod(signal.shape(3)))
    found, wanted = onnx_encoder.run_encoder(tmp_path / "encoder.onnx", signal, x), signal.apply(x)
    assert wanted.sum() > 50
    assert np.array_equal(found, wanted)


def test_what_differs_is_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = SignalInput(window=0, length=30, encoding="delta").fitted(WALKS)
    wrong = SignalInput(window=0, length=30, encoding="delta", threshold=0.3).fitted(WALKS)
    build = onnx_encoder.build_encoder
    monkeypatch.setattr(onnx_encoder, "build_encoder", lambda _, channels: build(wrong, channels))
    with pytest.raises(GateError, match=r"encoder\.onnx: \d+ of \d+ spikes differ"):
        onnx_encoder.write_encoder(tmp_path / "encoder.onnx", signal, 3)


def test_values_need_no_encoder() -> None:
    with pytest.raises(UnsupportedError, match="'direct'"):
        onnx_encoder.build_encoder(SignalInput(window=0, length=3), 1)
