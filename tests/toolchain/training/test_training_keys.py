"""Keys of a recipe that change what is learnt or how: timesteps in stages, a whitened stem."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.searching.begin import begin_search
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.training import TrainingConfig, build, recipe_of, train
from snnas.toolchain.training.optimisation import make_optimizer
from snnas.toolchain.training.stages import begins_stage, require_stages, stage_of, timesteps_asked
from snnas.toolchain.training.transfer import train_genotype
from snnas.toolchain.training.whitening import whiten

CHAIN = Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "skip"}),) * 2)
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=16, timesteps=2)
STAGED = TrainingConfig(epochs=6, stages=((1, 2), (2, 1)))


@pytest.fixture(scope="module")
def few() -> Dataset:
    data = load("digits", seed=0)
    x, y = (data.x_train[:64], data.x_val[:32]), (data.y_train[:64], data.y_val[:32])
    return replace(data, x_train=x[0], y_train=y[0], x_val=x[1], y_val=y[1])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stages": [[1, 2], 3]}, r"stages = \[\[1, 2\], 3\] .*expected pairs of whole numbers >= 1"),
        ({"stages": [[0, 2]]}, "expected pairs"),
        ({"stages": [[1, 1], [2, 1]], "epochs": 1}, "at most 1: one epoch each"),
        ({"whitening": 1}, "whitening = 1 .*expected true or false"),
        ({"nesterov": "yes"}, "nesterov = 'yes' .*expected true or false"),
        ({"nesterov": True}, "with optimizer = 'adamw', momentum = 0.9, expected 'sgd' with a momentum above 0; leave"),
        ({"nesterov": True, "optimizer": "sgd", "momentum": 0}, "'sgd', momentum = 0, expected 'sgd' with a momentum"),
    ],
)
def test_bad_values_are_refused(values: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainingConfig(**values)


def test_stages_share_the_epochs() -> None:
    assert [stage_of(STAGED, epoch) for epoch in range(1, 7)] == [0, 0, 0, 0, 1, 1]
    assert [epoch for epoch in range(1, 7) if begins_stage(STAGED, epoch)] == [1, 5]
    assert [stage_of(replace(STAGED, epochs=2), epoch) for epoch in (1, 2)] == [0, 1]
    lopsided = replace(STAGED, epochs=3, stages=((1, 100), (2, 1), (4, 1)))
    assert [stage_of(lopsided, epoch) for epoch in (1, 2, 3)] == [0, 1, 2]
    assert TrainingConfig(**STAGED.plain()) == STAGED


def test_stages_end_with_the_networks_timesteps(few: Dataset) -> None:
    require_stages(STAGED, few, 2)
    assert (timesteps_asked(STAGED, None), timesteps_asked(STAGED, 5), timesteps_asked(TrainingConfig(), None)) == (
        2,
        5,
        None,
    )
    with pytest.raises(UsageError, match=r"end at T = 2, expected the network's, T = 5; .* with -T 2"):
        require_stages(STAGED, few, 5)
    with pytest.raises(UsageError, match="digits has frames"):
        require_stages(STAGED, replace(few, x_train=few.x_train[:, None]), 2)
    with pytest.raises(UsageError, match="end at T = 2, expected the network's, T = 3"):
        train(build(CHAIN, replace(CONFIG, timesteps=3), seed=0), few, STAGED, seed=0)


def test_a_run_has_the_timesteps_of_the_last_stage(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(CHAIN.to_json())
    (tmp_path / "staged.toml").write_text("epochs = 6\nstages = [[1, 2], [2, 1]]\n")
    asked = {"folder": tmp_path / "runs", "command": "", "device": "cpu"}
    run = train_genotype(tmp_path / "cell.json", "digits", recipe=STAGED, **asked)
    assert run.config()["network"]["timesteps"] == 2
    assert recipe_of(run.section("train"), where="run.toml") == STAGED
    with pytest.raises(UsageError, match=r"end at T = 2, expected the network's, T = 3"):
        train_genotype(tmp_path / "cell.json", "digits", recipe=STAGED, timesteps=3, **asked)
    options = SearchOptions(dataset="digits", method="lightsnn", recipe=str(tmp_path / "staged.toml"), device="cpu")
    searched = begin_search(tmp_path / "runs", "searched", options, "")
    assert searched.config()["network"]["timesteps"] == 2
    with pytest.raises(UsageError, match=r"end at T = 2, expected the network's, T = 4"):
        begin_search(tmp_path / "runs", None, replace(options, timesteps=4), "")


def test_each_stage_runs_at_its_own_timesteps_and_the_best_epoch_is_of_the_last(few: Dataset) -> None:
    network = build(CHAIN, CONFIG, seed=0)
    seen: list[int] = []
    network.register_forward_pre_hook(lambda module, given: seen.append(module.config.timesteps))
    # Evaluated at T = 2 it says the opposite, so that an epoch of the first stage is the best by far.
    network.register_forward_hook(
        lambda module, given, out: out if module.training or module.config.timesteps == 1 else -out
    )
    result = train(network, few, replace(STAGED, batch=16), seed=0)
    assert sorted(set(seen), key=seen.index) == [1, 2]
    assert (result.best_epoch >= 5, network.config.timesteps) == (True, 2)


def test_nesterov_steps_from_where_the_momentum_leads() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    keys = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.0}
    optimizer = make_optimizer(layer, TrainingConfig(nesterov=True, **keys))
    for gradient in (1.0, 2.0):
        layer.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    # Buffers 1, .5 x 1 + 2 = 2.5; a step is the gradient plus .5 times its buffer: 1.5, 3.25 (plain momentum: 1, 2.5).
    assert layer.weight.item() == pytest.approx(-0.1 * (1.5 + 3.25))


@pytest.mark.parametrize(
    "recipe",
    [
        TrainingConfig(epochs=3, batch=16, whitening=True, stages=((1, 2), (2, 1))),
        TrainingConfig(epochs=3, batch=16, optimizer="sgd", nesterov=True),
    ],
    ids=["stages", "nesterov"],
)
def test_a_killed_training_ends_with_the_same_weights(few: Dataset, tmp_path: Path, recipe: TrainingConfig) -> None:

    def weights(folder: Path | None, stop_at: int = 0) -> dict[str, torch.Tensor]:
        network = build(CHAIN, CONFIG, seed=0)

        def step(done: int, total: int) -> None:
            if done == stop_at:
                raise InterruptedError

        train(network, few, recipe, seed=0, checkpoint=folder, on_step=step)
        return network.state_dict()

    whole = weights(None)
    for stop_at in (5, 9):  # in the second epoch, and in the first of the second stage
        with pytest.raises(InterruptedError):
            weights(tmp_path, stop_at)
    again = weights(tmp_path)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_whitened_stem_has_currents_of_unit_variance_and_no_correlation(few: Dataset) -> None:
    network = build(CHAIN, replace(CONFIG, channels=8), seed=0)
    conv, x = network.get_submodule("stem_conv"), torch.from_numpy(few.x_train)
    whiten(network, x, few.unit)
    inner = conv(x)[..., 1:-1, 1:-1].detach().transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(inner)[:4, :4], torch.eye(4), atol=0.02)
    assert torch.equal(conv.weight[4:], -conv.weight[:4])
    before = conv.weight.clone()
    train(network, few, TrainingConfig(epochs=1, whitening=True), seed=0)
    assert torch.equal(conv.weight, before)
    with pytest.raises(UsageError, match="expected a network of cells"):
        whiten(torch.nn.Linear(1, 1), x, few.unit)
