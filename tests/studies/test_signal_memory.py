"""The study of memory for signals: what its task asks, and that it measures."""

from __future__ import annotations

import numpy as np
import pytest

from snnas.toolchain.output.stderr import Narrator
from tests.studies import signal_memory
from tests.studies.command import run_study
from tests.studies.signal_memory import begins_with, good, measure, samples


@pytest.mark.parametrize(("timesteps", "pulse"), [(40, 3), (200, 18)])
def test_order_alone_tells_the_classes_apart(monkeypatch: pytest.MonkeyPatch, timesteps: int, pulse: int) -> None:
    monkeypatch.setattr(signal_memory, "NOISE", 0.0)
    x, y = samples(np.random.default_rng(0), 200, timesteps)
    assert x.shape == (200, timesteps, 2, 1, 1)
    assert set(x.sum(1).ravel()) == {pulse}  # as many spikes in both channels, of both classes
    first = x[..., 0, 0].argmax(1)
    assert np.array_equal(first.argmin(1), y)
    assert np.ptp(first.min(1)) > timesteps // 2
    assert np.ptp(first, axis=1).min() >= 3 * pulse - 1  # the gap, and one of them


def test_slow_neurons_begin_with_a_quarter_of_the_time() -> None:
    assert begins_with(True, 200) == (50, 0.048)
    assert begins_with(False, 200) == (4 / 3, 1)


def test_a_small_one_measures_and_an_equal_one_is_not_good() -> None:
    found = measure(1, 20, 8, 2, Narrator(quiet=True), arms=("fast", "both"))
    assert [run["arm"] for run in found["runs"]] == ["fast", "both"]
    assert all(0 <= run["on_target"] <= 1 for run in found["runs"])
    assert good({"on_target": {"fast": 0.5, "slow": 0.56, "both": 0.6}})
    assert not good({"on_target": {"fast": 0.5, "slow": 0.52, "both": 0.6}})


def test_too_few_timesteps_are_refused() -> None:
    assert run_study(signal_memory.command, ["--timesteps", "10"]) == 2
    assert run_study(signal_memory.command, ["--arms", "slow,lazy"]) == 2
