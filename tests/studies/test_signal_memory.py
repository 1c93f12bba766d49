"""The study of memory for signals: what its task asks, and that it measures."""

from __future__ import annotations

import numpy as np
import pytest

from snnas.toolchain.output.stderr import Narrator
from tests.studies import signal_memory
from tests.studies.command import run_study
from tests.studies.signal_memory import PULSE, good, measure, samples


def test_order_alone_tells_the_classes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_memory, "NOISE", 0.0)
    x, y = samples(np.random.default_rng(0), 200, 40)
    assert x.shape == (200, 40, 2, 1, 1)
    assert set(x.sum(1).ravel()) == {PULSE}  # as many spikes in both channels, of both classes
    assert np.array_equal(x[..., 0, 0].argmax(1).argmin(1), y)
    assert np.ptp(x[..., 0, 0].argmax(1).min(1)) > 20


def test_a_small_one_measures_and_an_equal_one_is_not_good() -> None:
    found = measure(1, 20, 8, 2, Narrator(quiet=True), arms=("fast", "both"))
    assert [run["arm"] for run in found["runs"]] == ["fast", "both"]
    assert all(0 <= run["on_target"] <= 1 for run in found["runs"])
    assert good({"on_target": {"fast": 0.5, "slow": 0.56, "both": 0.6}})
    assert not good({"on_target": {"fast": 0.5, "slow": 0.52, "both": 0.6}})


def test_too_few_timesteps_are_refused() -> None:
    assert run_study(signal_memory.command, ["--timesteps", "10"]) == 2
