"""Each key that is tried and not offered does what it says, and leaves the training loop as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.training import TrainingConfig, build, train
from tests.studies import recipe_trials
from tests.studies.recipe_trials import TRIALS, Alternating, taught, trial
from tests.studies.recipes import CELL

GENOTYPE = Genotype("lightsnn", (Cell.of(CELL),) * 2)
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=16, timesteps=2)
RECIPE = TrainingConfig(epochs=2, batch=24, augment=("shift:1", "flip"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few() -> Dataset:
    data = load("digits", seed=0)
    return replace(
        data, x_train=data.x_train[:48], y_train=data.y_train[:48], x_val=data.x_val[:16], y_val=data.y_val[:16]
    )


def trained(data: Dataset, name: str = "", **keys) -> nn.Module:
    network, recipe = build(GENOTYPE, CONFIG, seed=0), replace(RECIPE, **keys)
    with trial(name):
        train(network, data, recipe, seed=0, teacher=taught(data, recipe, 0) if name == "teacher" else None)
    return network


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


DRAWN = ("alternating flip", "mixup", "teacher")


def test_each_trial_trains_something_else_and_only_while_it_lasts(few: Dataset) -> None:
    base = trained(few)
    networks = {name: trained(few, name) for name in TRIALS}
    for name, network in networks.items():
        assert not same(network, base), name
    for name in DRAWN:
        assert same(networks[name], trained(few, name)), f"{name} is drawn otherwise than from the seed"
    assert same(base, trained(few))


def test_a_sample_is_mirrored_in_every_other_epoch(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[float]] = {}

    class Watched(Alternating):
        def begin(self, order, epoch=1):
            super().begin(order, epoch)
            for index, mirrored in zip(order.tolist(), self.drawn[1][:, 0].tolist(), strict=True):
                seen.setdefault(index, []).append(mirrored)

    monkeypatch.setitem(TRIALS, "alternating flip", [(recipe_trials.loop, "Stepper", Watched)])
    trained(few, "alternating flip", epochs=3)
    assert sorted(seen) == list(range(48))
    assert all(a != b and a == c for a, b, c in seen.values())
    first = [seen[k][0] for k in range(48)]
    assert first == (stream(0, "flip").random(48) < 0.5).tolist()
    assert 12 < sum(first) < 36


def test_at_one_timestep_without_its_regulariser_tet_is_the_cross_entropy(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_trials, "TET", 0.0)
    monkeypatch.setattr("tests.studies.test_recipe_trials.CONFIG", replace(CONFIG, timesteps=1))
    base, one = (trained(few, name, epochs=1).state_dict() for name in ("", "TET"))
    for name in base:
        assert torch.allclose(base[name], one[name], atol=1e-4), name


def test_an_average_over_one_step_is_that_step(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_trials, "EMA", 0.0)
    assert same(trained(few, "EMA"), trained(few))


def test_a_sample_mixed_with_nothing_is_itself(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole:
        def beta(self, a: float, b: float) -> float:
            return 1.0

    monkeypatch.setattr(recipe_trials, "stream", lambda seed, name: Whole())
    assert same(trained(few, "mixup"), trained(few))


def test_the_teacher_knows_its_samples(few: Dataset) -> None:
    teacher = taught(few, replace(RECIPE, augment=()), 0)
    assert teacher.logits.shape == (48, 10)
    assert np.mean(teacher.logits.argmax(1).numpy() == few.y_train) > 0.3
