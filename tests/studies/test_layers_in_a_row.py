"""One kernel of two convolutions holds the synapses of both, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from tests.studies.command import run_study
from tests.studies.layers_in_a_row import Pair, additions, command, one, rounding

SEPARABLE = Pair(side=8, channels=4, between=4, out=6, depthwise=True)
PADDED = Pair(side=8, channels=2, between=3, out=4, depthwise=False)


def test_a_kernel_has_the_synapses_of_the_layers_written_out() -> None:
    found = one(SEPARABLE, 0.3, seed=0)
    assert found["weights"] == {"input__n__0": 6 * 4 * 9}
    assert found["factors"] == 4 * 9 + 6 * 4
    assert found["unrolled"]["weights"] == 6 * 4 * (3 * 8 - 2) ** 2
    assert found["unrolled"]["synops"] == found["on_chip"]["synops"] > 0
    assert found["unrolled"]["memory"] > found["on_chip"]["memory"] > 0


def test_a_border_is_paid_for_beside_the_kernel() -> None:
    found = one(PADDED, 0.3, seed=0)
    kernel, border = found["weights"].values()
    assert kernel == 4 * 2 * 25
    assert 0 < border < found["unrolled"]["weights"]
    assert found["flash"] > found["flash_apart"] + border
    assert found["unrolled"]["weights"] == 4 * 2 * (5 * 8 - 2 * 3) ** 2
    assert found["unrolled"]["synops"] < found["on_chip"]["synops"] < 1.5 * found["unrolled"]["synops"]


def test_additions_by_hand() -> None:
    """64 pixels of 4 channels, every second one a spike: 9 taps into 6 channels, or into its own and on from there."""
    found = additions(SEPARABLE, 0.5)
    assert found["kernel"] == 64 * 4 * 0.5 * 9 * 6
    assert found["factors"] == 64 * 4 * 0.5 * 9
    assert found["multiplications"] == pytest.approx(64 * 4 * (1 - 0.5**9) * 6)


def test_products_of_int8_factors_have_more_than_8_bits() -> None:
    """127 x 127 in a depthwise block: 14 bits and a sign."""
    found = rounding(SEPARABLE.layers(np.random.default_rng(0)))
    assert found["bits_of_products"] > 12
    assert 0 < found["twice"] < found["once"] < 0.1


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.studies.layers_in_a_row.PAIRS", (SEPARABLE,))
    assert run_study(command, ["--rate", "0.3"]) == 0
    told = capsys.readouterr().out
    assert "one kernel   weights 216;" in told
    assert "written out  weights 11,616;" in told
    assert run_study(command, ["--rate", "2"]) == 2
