"""A readout that was rounded by calibration samples is told from one that is not the graph's."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from snnas.export.compiler.readout import RealReading, RealReadout, quantise_readout
from snnas.hw_sim.readout import Readout
from snnas.toolchain.checking.same_network import _readout_off

TIMESTEPS = 6


@pytest.fixture(scope="module")
def readouts() -> tuple[RealReadout, Readout, Readout]:
    """The graph's, as compiled without samples, and as compiled with them; one weight is clipped."""
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(10, 40))
    spikes = rng.random((32, TIMESTEPS, 40, 1, 1)) < 0.3
    weight[3, 7], spikes[:, :, 7] = 8.0, False
    real = RealReadout(
        readings=(RealReading(src="a", weight=weight),), constant=rng.normal(size=10), membrane=None, read="sum"
    )
    return real, quantise_readout(real, TIMESTEPS), quantise_readout(real, TIMESTEPS, {"a": spikes})


def test_a_readout_rounded_by_samples_is_the_graphs(readouts: tuple[RealReadout, Readout, Readout]) -> None:
    real, plain, rounded = readouts
    assert rounded.scale == pytest.approx(2 * plain.scale)
    assert not np.array_equal(plain.readings[0].weight, rounded.readings[0].weight)
    for read in (plain, rounded):
        assert _readout_off(real, plain, read, TIMESTEPS) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("classes", "weights are .* steps"),
        ("bias", "bias or response is .* steps"),
        ("response", "largest weight is 84.*expected 127 to 254"),
        ("scale", "bias or response is .* steps"),
        ("coarse", "largest weight is 50.* expected 127 to 254"),
        ("clipped", "weights are 137 steps"),
    ],
)
def test_what_is_not_the_graphs_is_said(fault: str, said: str, readouts: tuple[RealReadout, Readout, Readout]) -> None:
    real, plain, r = readouts
    weight = r.readings[0].weight.copy()
    if fault == "classes":
        weight = weight[::-1]
    elif fault == "clipped":
        weight[3, 7] = -10
    elif fault == "bias":
        r = replace(r, bias=r.bias + 2)
    elif fault == "response":
        r = replace(r, response=r.response * 3)
    elif fault == "scale":
        r = replace(r, scale=r.scale * 1.1)
    elif fault == "coarse":
        r, weight = replace(plain, scale=50 / 8, bias=np.rint(real.constant * 400)[None].astype(np.int64)), weight // 5
    found = _readout_off(real, plain, replace(r, readings=(replace(r.readings[0], weight=weight),)), TIMESTEPS)
    assert found is not None
    assert re.search(said, found), found


def test_weights_of_whole_steps_have_to_be_kept_as_they_are() -> None:
    weight = np.random.default_rng(0).integers(-8, 9, (4, 12)) / 8
    real = RealReadout(readings=(RealReading(src="a", weight=weight),), constant=np.zeros(4), membrane=None, read="sum")
    made = quantise_readout(real, TIMESTEPS)
    other = made.readings[0].weight.copy()
    other[0, 0] += 1
    assert _readout_off(real, made, made, TIMESTEPS) is None
    wrong = replace(made, readings=(replace(made.readings[0], weight=other),))
    assert _readout_off(real, made, wrong, TIMESTEPS) == "the readout's weights are not the graph's; export again"
