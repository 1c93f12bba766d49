"""The study of shared weights: what is trained and judged, and what is told of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.training import load_recipe
from tests.studies import weight_sharing
from tests.studies.deploy_table import split
from tests.studies.weight_sharing import SharingOptions, study, summary

FEW = SharingOptions(channels=4, timesteps=1, epochs=(1,), seeds=(3,), forms=3)


def test_a_step_moves_the_weights_of_its_path_alone() -> None:
    data, sizes = split(3)
    one = weight_sharing.forms(FEW)[0]
    assert list(one.live().values()) == ["conv3x3"]
    begun = weight_sharing._supernet(FEW, sizes, 3).state_dict()
    walked = weight_sharing._walk(
        SharingOptions(channels=4, timesteps=1, forms=1), data, sizes, load_recipe("digits"), 3, 2
    ).state_dict()
    moved = {name for name, value in begun.items() if "conv" in name and not torch.equal(value, walked[name])}
    ((i, j),) = one.live()
    assert {name for name in moved if name.startswith("cell1")} == {f"cell1_e{i}{j}_conv.weight"}
    assert "stem_conv.weight" in moved


def test_paths_are_judged_by_statistics_of_their_own() -> None:
    """Whatever order: nothing of one path is left in the next."""
    data, sizes = split(3)
    network = weight_sharing._walk(FEW, data, sizes, load_recipe("digits"), 3, 30)
    first = weight_sharing.judge(network, FEW, data, 64)
    assert weight_sharing.judge(network, FEW, data, 64) == first
    assert len(set(first)) > 1
    assert max(first) > 0.2


def test_it_ranks_goes_on_and_tells(tmp_path: Path) -> None:
    narrator = weight_sharing.Narrator(quiet=True)
    first = study(FEW, narrator, tmp_path / "a.json")
    before = (tmp_path / "a.jsonl").read_text()
    assert study(FEW, narrator, tmp_path / "a.json") == first
    assert (tmp_path / "a.jsonl").read_text() == before
    assert [row["arm"] for row in first["rows"]] == ["alone", "shared"]
    with pytest.raises(UsageError, match="--channels 5 --timesteps 1: not in deploy_digits"):
        study(SharingOptions(channels=5, timesteps=1), narrator, None)


def test_correlation_and_regret_by_hand() -> None:
    truth = [0.9, 0.8, 0.7, 0.6]
    found = [
        {"epochs": 1, "alone": [0.4, 0.3, 0.2, 0.1], "shared": [0.1, 0.2, 0.3, 0.4], "seconds": [2.0, 1.0]},
        {"epochs": 1, "alone": [0.3, 0.4, 0.2, 0.1], "shared": [0.4, 0.3, 0.2, 0.1], "seconds": [4.0, 3.0]},
    ]
    alone, shared = summary(found, truth, SharingOptions(epochs=(1,)))
    assert (alone["spearman"], alone["seconds"]) == (pytest.approx(0.9), 3.0)
    assert alone["regret"] == pytest.approx(0.05)
    assert shared["spearman"] == pytest.approx(0.0)
    assert shared["regret"] == pytest.approx(0.15)
    ahead = shared["ahead"]
    assert ahead["mean"] == pytest.approx(-0.9)
    assert np.isclose([ahead["low"], ahead["high"]], [-2.0, 0.2]).all()
