"""Rounding with one step for a layer and with one for each channel."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.export.compiler.test_resolution import realistic
from tests.studies.channel_scales import command, measure, one, rounded, with_weights
from tests.studies.command import run_study


def test_a_step_for_a_layer_or_for_each_channel() -> None:
    weight = np.array([[7.0, -3.4], [0.7, 0.06], [0.0, 0.0]])
    assert np.allclose(rounded(weight, 4, by_channel=False), [[7, -3], [1, 0], [0, 0]])
    assert np.allclose(rounded(weight, 4, by_channel=True), [[7, -3], [0.7, 0.1], [0, 0]])


def test_other_weights_are_put_where_they_belong() -> None:
    graph, _ = realistic(np.random.default_rng(0))
    made = with_weights(graph, {"w1": np.full((20, 128), 0.5)})
    assert (made.nodes["w1"].weight == 0.5).all()  # type: ignore[union-attr]
    assert made.nodes["w0"] is graph.nodes["w0"]


def test_a_step_for_each_channel_changes_fewer_spikes_most_where_channels_are_far_apart() -> None:
    plain, spread = one(0, 8, 0.0), one(0, 8, 1.0)
    shares = [n[of]["spikes_differing"] for n in (plain, spread) for of in ("of_layer", "of_channel")]
    assert 0.01 < shares[1] < shares[0] < 0.03
    assert shares[2] > 2 * shares[3] > 0
    assert 0 < plain["of_layer"]["predictions_changed"] < 10  # 5 of 52


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_study(command, ["--seeds", "0", "--bits", "8", "--spread", "0"]) == 0
    said = r"seed 0, 8 bits: a step for a layer changes \d.\d\d% of spikes and \d of 52 answers, one for"
    assert re.match(said, capsys.readouterr().out)
    assert len(measure((0,), (8,), 0.0)["networks"]) == 1
    assert run_study(command, ["--bits", "eight"]) == 2
