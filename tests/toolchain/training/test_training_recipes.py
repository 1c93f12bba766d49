"""Recipes, augmentation, target SAR, and runs from a genotype."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import sha256
from snnas.search.network.config import NetworkConfig
from snnas.search.network.design import Design
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.network import Network
from snnas.toolchain.bench.train import TrainBenchOptions, bench_train
from snnas.toolchain.checking.remaking import making_of
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.split import class_weights
from snnas.toolchain.data.statistics import balanced_accuracy
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.run import find
from snnas.toolchain.training import (
    TrainingConfig,
    build,
    evaluate,
    load_recipe,
    of_run,
    recipe_for,
    recipe_names,
    train,
)
from snnas.toolchain.training import device as devices
from snnas.toolchain.training.config import SHIPPED
from snnas.toolchain.training.evaluation import validate
from snnas.toolchain.training.of_run import train_run
from snnas.toolchain.training.optimisation import learning_rate, loss_sum, prepare
from snnas.toolchain.training.parallel import world
from snnas.toolchain.training.restore import network_of
from snnas.toolchain.training.transfer import train_genotype

CHAIN = Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "skip"}),) * 2)
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=32, timesteps=3)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_shipped_recipe_is_good_and_survives_toml() -> None:
    cifar = ["cifar10", "cifar100", "cifar10_dvs", "cifar10_fast", "cifar10_paper"]
    assert recipe_names() == [*cifar, "digits", "dvs128_gesture", "fashion_mnist", "mnist", "nmnist", "shd", "signals"]
    for name in recipe_names():
        recipe = load_recipe(name)
        assert TrainingConfig(**recipe.plain()) == recipe
    assert load_recipe("digits") == TrainingConfig()
    paper = load_recipe("cifar10_paper")
    assert (paper.optimizer, paper.learning_rate, paper.epochs, paper.dropout) == ("sgd", 0.2, 300, 0.5)
    paths = {name: Path(SHIPPED, f"{name}.toml") for name in recipe_names()}
    unmeasured = {name for name, path in paths.items() if "not measured" in path.read_text().lower()}
    assert unmeasured == {"cifar100", "cifar10_dvs", "cifar10_paper", "dvs128_gesture", "fashion_mnist", "shd"}
    assert load_recipe("digits", {"epochs": 2, "target_sar": None}) == replace(TrainingConfig(), epochs=2)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("lr = 1", UsageError, r"unknown key 'lr' in .*own\.toml.*learning_rate"),
        ("epoch = 1", UsageError, "did you mean 'epochs'"),
        ("optimizer = 'adam'", UsageError, r"optimizer = 'adam' .* adamw or sgd \(.*own\.toml\)"),
        ("loss = 'tet'", UsageError, "ce or mse"),
        ("augment = ['mixup:3']", UsageError, "augmentation 'mixup:3', expected one of shift:N, flip, cutout:N"),
        ("augment = ['rotate:200']", UsageError, "augmentation 'rotate:200', expected .* D to 180"),
        ("augment = 'flip'", UsageError, "expected a list"),
        ("target_sar = 0", UsageError, "0 < x < 1"),
        ("clip = nan", UsageError, "clip = nan"),
        ("width_power = 2", UsageError, "width_power = 2 .* 0 <= x <= 1"),
        ("learn = ['reset']", UsageError, r"learn = \['reset'\] .* 'tau', 'threshold', or both"),
        ("learn = 'tau'", UsageError, "learn = 'tau' .* expected a list"),
        ("tau_start = 20", UsageError, r"tau_start = 20 .* learn = \[\], expected 'tau' among it"),
        ("learn = ['tau']\ntau_start = 1", UsageError, "tau_start = 1 .* expected 1.0025 < x < 400"),
        ("warmup = 15", UsageError, "less than the epochs"),
        ("epochs = ", InvalidFileError, "not TOML"),
    ],
)
def test_bad_recipes_are_refused(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(error, match=words):
        load_recipe(tmp_path / "own.toml")


def test_fewer_epochs_than_the_recipe_warms_up_for_shorten_the_warm_up(tmp_path: Path) -> None:
    assert load_recipe("mnist").warmup == 1
    assert load_recipe("mnist", {"epochs": 1}).warmup == 0
    assert load_recipe("cifar10", {"epochs": 2}).warmup == 1
    assert load_recipe("cifar10", {"epochs": 3}).warmup == 2
    path = tmp_path / "own.toml"
    path.write_text("epochs = 2\nwarmup = 2\n")
    with pytest.raises(UsageError, match="warmup = 2"):
        load_recipe(path)
    with pytest.raises(UsageError, match="warmup = 2"):
        load_recipe(path, {"epochs": 2, "warmup": 2})


def test_a_recipe_is_the_data_sets_own_unless_one_is_asked_for() -> None:
    assert recipe_for("mnist", None) == load_recipe("mnist")
    assert recipe_for("mnist", "signals", {"epochs": 9}) == load_recipe("signals", {"epochs": 9})
    assert recipe_for("mine.npz", None, signals=True) == load_recipe("signals")
    assert recipe_for("mine.npz", None, {"epochs": 2}).epochs == 2


def test_a_known_cell_is_trained_by_the_recipe_of_signals(tmp_path: Path) -> None:
    """As ``search`` trains one: nothing but --data says that these are signals."""
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((30, 8, 2), np.float32), y=np.arange(30) % 2)
    genotype = Genotype("lightsnn_1d", (Cell.of({(0, 3): "conv3x3"}),))
    (tmp_path / "genotype.json").write_text(genotype.to_json())
    words = ["train", "--genotype", tmp_path / "genotype.json", "--dataset", tmp_path / "a.npz", "--data", "axis=time"]
    words += ["--channels", "2", "--hidden", "4", "--epochs", "1", "--runs-dir", tmp_path, "--name", "one", "-q"]
    assert run_command([*map(str, words)]) == 0
    assert find(tmp_path, "one").section("train")["augment"] == list(load_recipe("signals").augment)


def test_unknown_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown recipe 'cifar'.*did you mean 'cifar10'"):
        load_recipe("cifar")
    with pytest.raises(InvalidFileError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_the_learning_rate_rises_and_falls() -> None:
    config = TrainingConfig(epochs=4, warmup=1, learning_rate=1.0)
    rates = [learning_rate(config, step, 10) for step in range(40)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert (rates[10], rates[25]) == (1.0, pytest.approx(0.5))
    assert learning_rate(replace(config, schedule="constant"), 39, 10) == 1.0


def test_the_learning_rate_is_of_sixteen_channels() -> None:
    rates = {}
    for channels in (4, 16, 64):
        network = build(CHAIN, replace(CONFIG, channels=channels), seed=0)
        rates[channels] = prepare(network, TrainingConfig(learning_rate=1.0, width_power=0.5)).learning_rate
        assert prepare(network, TrainingConfig(learning_rate=1.0)).learning_rate == 1.0
    assert rates == {4: 2.0, 16: 1.0, 64: 0.5}
    data = load("digits", seed=0)
    few = replace(data, x_train=data.x_train[:64], y_train=data.y_train[:64])
    record = []
    scaled = TrainingConfig(epochs=1, schedule="constant", learning_rate=0.01, width_power=1.0)
    train(build(CHAIN, CONFIG, seed=0), few, scaled, seed=0, log=record.append)
    assert record[0]["lr"] == pytest.approx(0.04)  # of 4 channels


def test_losses() -> None:
    logits, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    config = TrainingConfig(label_smoothing=0.0, loss="mse")
    assert float(loss_sum(logits, y, config)) == pytest.approx(0.5 + 1.0)
    expected = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))
    assert float(loss_sum(logits, y, replace(config, loss="ce"))) == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_a_sample_weighs_as_its_class_does(loss: str) -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 2])
    config, weights = TrainingConfig(loss=loss), torch.tensor([2 / 3, 1.0, 2.0])
    one_by_one = sum(float(weights[y[k]] * loss_sum(logits[k : k + 1], y[k : k + 1], config)) for k in range(6))
    assert float(loss_sum(logits, y, config, weights)) == pytest.approx(one_by_one)
    assert float(loss_sum(logits, y, config, torch.ones(3))) == pytest.approx(float(loss_sum(logits, y, config)))


def test_uneven_classes_are_chosen_by_balanced_accuracy() -> None:
    """Noise and 10 % of one class: plain training names the other, the weighted one does not, and says so."""
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 1, 8, 8), np.float32), (np.arange(400) % 10 == 0).astype(np.int64)
    x[y == 1, :, :, :4] += 0.2
    parts = {"x_train": x[:240], "y_train": y[:240], "x_val": x[240:], "y_val": y[240:], "x_test": x, "y_test": y}
    data = Dataset(name="uneven", classes=2, range=(0.0, 1.2), **parts)
    found = {}
    for weights in ((), class_weights(data.y_train, 2)):
        network = build(CHAIN, replace(CONFIG, classes=2), seed=0)
        result = train(network, replace(data, class_weights=weights), TrainingConfig(epochs=4), seed=0)
        accuracy, predictions = evaluate(network, data.x_val, data.y_val)
        assert accuracy == result.validation_accuracy
        found[bool(weights)] = balanced_accuracy(predictions, data.y_val)
    assert found[False] < 0.6 < found[True]


def test_validation_counts_each_class() -> None:
    data = load("digits", seed=0)
    network = build(CHAIN, CONFIG, seed=0)
    with world("cpu") as here:
        about = {"device": "cpu", "batch": 50, "unit": 1, "world": here}
        found = validate(network, data.x_val[:30], data.y_val[:30], classes=10, **about)
    _, predictions = evaluate(network, data.x_val[:30], data.y_val[:30])
    assert found.balanced == pytest.approx(balanced_accuracy(predictions, data.y_val[:30]))


def test_augmentation_moves_mirrors_and_cuts_all_frames_alike() -> None:
    x = torch.arange(1.0, 2 * 3 * 2 * 4 * 5 + 1).reshape(2, 3, 2, 4, 5)
    moved = Augmentation(["shift:2"]).apply(x, [torch.tensor([[1, -2], [0, 0]])])
    assert torch.equal(moved[1], x[1])
    assert torch.equal(moved[0, ..., 1:, :3], x[0, ..., :3, 2:])
    assert float(moved[0, ..., 0, :].abs().sum() + moved[0, ..., 3:].abs().sum()) == 0
    flipped = Augmentation(["flip"]).apply(x, [torch.tensor([[True, True], [False, False]])])
    assert torch.equal(flipped[0], x[0].flip(-1))
    assert torch.equal(flipped[1], x[1])
    cut = Augmentation(["cutout:2"]).apply(x, [torch.tensor([[0.5, 0.5], [0.0, 0.0]])])
    assert int((cut[0] == 0).sum()) == 4 * 6
    assert int((cut[1] == 0).sum()) == 1 * 6
    assert torch.equal(cut[0] == 0, cut[0, :1, :1].expand_as(cut[0]) == 0)


def test_augmentation_turns_and_zooms() -> None:
    image = torch.zeros(4, 1, 5, 5)
    image[:, 0, 1, 2] = 1.0  # above the centre
    turned = Augmentation(["rotate:90"]).apply(image, [torch.tensor([[90.0] * 2, [-90.0] * 2, [0.0] * 2, [45.0] * 2])])
    assert torch.equal(turned[2], image[2])
    places = [(int(at) // 5, int(at) % 5) for at in turned.flatten(1).argmax(1)]
    assert places[:2] == [(2, 3), (2, 1)]  # a quarter to the right, and to the left
    assert 0 < float(turned[3, 0, 1, 3]) < 1  # between pixels
    frames = torch.randint(0, 2, (2, 3, 2, 6, 9), generator=torch.Generator().manual_seed(0)).float()
    moved = Augmentation(["rotate:30", "zoom:20"]).apply(
        frames, [torch.tensor([[17.0] * 2, [0.0] * 2]), torch.tensor([[-11.0] * 2, [0.0] * 2])]
    )
    assert set(moved.unique().tolist()) == {0.0, 1.0}  # spikes stay spikes
    assert torch.equal(moved[1], frames[1])
    assert not torch.equal(moved[0], frames[0])
    blob = torch.zeros(1, 1, 9, 9)
    blob[..., 3:6, 3:6] = 1.0
    for percent, lower, upper in ((50.0, 17, 24), (-50.0, 1, 4)):
        area = float(Augmentation(["zoom:50"]).apply(blob, [torch.tensor([[percent] * 2])]).sum())
        assert lower <= area < upper
    wide = torch.zeros(1, 1, 5, 11)
    wide[0, 0, 2, 7] = 1.0  # two pixels to the right of the centre, in a map that is no square
    below = Augmentation(["rotate:90"]).apply(wide, [torch.tensor([[90.0] * 2])])
    assert int(below.argmax()) == 4 * 11 + 5


def test_augmentation_draws_within_its_range_and_from_its_stream_alone() -> None:
    both = Augmentation(["shift:2", "flip", "cutout:3"])
    one, two = (both.draw(500, np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert set(one[0].reshape(-1).tolist()) == {-2, -1, 0, 1, 2}
    assert 0.4 < one[1][:, 0].mean() < 0.6


@pytest.mark.slow
def test_training_reaches_a_target_sar() -> None:
    data = load("digits", seed=0)
    free, held = (build(CHAIN, replace(CONFIG, channels=8), seed=0) for _ in range(2))
    recipe = TrainingConfig(epochs=8)
    before = train(free, data, recipe, seed=0)
    after = train(held, data, replace(recipe, target_sar=before.sar / 2), seed=0)
    assert after.sar <= before.sar / 2 * 1.05
    assert after.validation_accuracy > before.validation_accuracy - 0.05


@pytest.mark.parametrize(
    "recipe", [{"optimizer": "sgd", "learning_rate": 0.1, "batch": 16}, {"loss": "mse"}, {"amp": "bf16"}]
)
def test_other_recipes_learn(recipe: dict) -> None:
    data = load("digits", seed=0)
    log: list = []
    train(build(CHAIN, CONFIG, seed=0), data, TrainingConfig(epochs=2, **recipe), seed=0, log=log.append)
    assert log[1]["loss"] < log[0]["loss"]
    assert log[1]["val_accuracy"] > 0.2


def test_bytes_train_as_floats_do() -> None:
    data = load("digits", seed=0)
    data = replace(data, x_train=data.x_train[:100], y_train=data.y_train[:100])
    whole = (data.x_train * 16).astype(np.uint8)
    networks = [build(CHAIN, CONFIG, seed=0) for _ in range(2)]
    as_bytes = replace(data, x_train=whole, x_val=(data.x_val * 16).astype(np.uint8), unit=16)
    for network, one in zip(networks, (data, as_bytes), strict=True):
        train(network, one, TrainingConfig(epochs=1), seed=0)
    assert torch.equal(networks[0].get_submodule("head_fc2").weight, networks[1].get_submodule("head_fc2").weight)
    assert np.array_equal(
        evaluate(networks[0], data.x_val, data.y_val)[1], evaluate(networks[1], as_bytes.x_val, data.y_val, unit=16)[1]
    )


def test_a_genotype_is_trained_on_another_data_set(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(CHAIN.to_json())
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=rng.random((60, 2, 8, 8), dtype=np.float32), y=np.arange(60) % 3)
    run = train_genotype(
        tmp_path / "cell.json",
        str(tmp_path / "own.npz"),
        folder=tmp_path / "runs",
        command="snnas train",
        timesteps=2,
        channels=4,
        hidden=8,
        cells=3,
        head="bn_lif",
        recipe=TrainingConfig(epochs=1),
        device="cpu",
    )
    train_run(run, Narrator(quiet=True))
    assert run.weights.exists()
    assert not (run.path / "checkpoint").exists()
    assert json.loads(run.genotype.read_text()) == json.loads(replace(CHAIN, cells=CHAIN.cells[:1] * 3).to_json())
    assert run.config()["network"]["head"] == "bn_lif"
    assert run.config()["network"]["input_shape"] == [2, 8, 8]
    assert len(run.train_log.read()) == 1


def test_a_training_begins_with_weights_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(CHAIN.to_json())
    asked: dict[str, Any] = {
        "folder": tmp_path / "runs",
        "command": "snnas train",
        "device": "cpu",
        "channels": 4,
        "hidden": 8,
    }
    small = {"data_options": {"train_limit": 64}, "recipe": TrainingConfig(epochs=1, learning_rate=1e-9)}
    warm = {**small, "recipe": TrainingConfig(epochs=1, learning_rate=0.1)}
    first = train_genotype(tmp_path / "cell.json", "digits", timesteps=2, seed=2, **asked, **warm)
    train_run(first, Narrator(quiet=True))
    begun = {"weights": first.weights, **asked, **small}
    with pytest.raises(UsageError, match=r"split digits by seed 2, .* give --seed 2"):
        train_genotype(tmp_path / "cell.json", "digits", timesteps=3, seed=3, **begun)
    second = train_genotype(tmp_path / "cell.json", "digits", timesteps=3, seed=2, **begun)
    assert second.config()["transfer"]["weights_sha256"] == sha256(first.weights)
    first.weights.unlink()  # the run has a copy
    train_run(second, Narrator(quiet=True))
    began, ended = load_file(second.start), load_file(second.weights)
    moved = {name: float((began[name] - ended[name]).abs().max()) for name in began if "conv" in name}
    assert max(moved.values()) < 1e-4, "at a learning rate of 1e-9 they stay"
    drawn = build(CHAIN, network_of(second).config, seed=2).state_dict()
    assert max(float((began[name] - drawn[name]).abs().max()) for name in moved) > 0.1, "seed 2 draws others"
    with pytest.raises(UsageError, match="a row does not hold"):
        making_of(second, {}, "loihi1")

    with pytest.raises(InvalidFileError, match="the network's sizes differ"):
        train_genotype(
            tmp_path / "cell.json", "digits", weights=second.weights, name="wide", **{**asked, "channels": 8}
        )
    assert not (tmp_path / "runs" / "wide").exists()
    other = replace(CHAIN, cells=(Cell.of({(0, 3): "conv3x3"}),) * 2)
    (tmp_path / "other.json").write_text(other.to_json())
    with pytest.raises(InvalidFileError, match="weights of another genotype"):
        train_genotype(tmp_path / "other.json", "digits", weights=second.weights, name="other", **asked)
    second.start.write_bytes(second.weights.read_bytes())
    with pytest.raises(InvalidFileError, match=r"not the weights that run\.toml says"):
        train_run(second, Narrator(quiet=True))
    second.start.unlink()
    with pytest.raises(InvalidFileError, match="does not exist"):
        train_run(second, Narrator(quiet=True))


def test_learnt_constants_go_on_being_learnt() -> None:
    network = build(CHAIN, CONFIG, seed=0)
    network.learn(("tau",))
    for recipe in ({}, {"learn": ("tau", "threshold")}, {"learn": ("tau",), "tau_start": 8.0}):
        with pytest.raises(UsageError, match=r'have a learnt tau; give a recipe with learn = \["tau"\] and without'):
            prepare(network, TrainingConfig(**recipe))
    assert prepare(network, TrainingConfig(learn=("tau",))).learn == ("tau",)


def test_a_design_is_trained_on_another_data_set(tmp_path: Path) -> None:
    design = Design("chip", (CHAIN.cells[0], Cell.of({(0, 3): "skip"})), 4, 3, 8, "lif", "average")
    (tmp_path / "design.json").write_text(design.to_json())
    asked = {"folder": tmp_path / "runs", "command": "", "device": "cpu", "recipe": TrainingConfig(epochs=1)}
    run = train_genotype(tmp_path / "design.json", "digits", **asked)
    assert Design.from_json(run.genotype.read_text()) == design
    train_run(run, Narrator(quiet=True))
    assert network_of(run).config.timesteps == 3
    other = train_genotype(tmp_path / "design.json", "digits", timesteps=2, channels=6, head="linear", **asked)
    assert Design.from_json(other.genotype.read_text()) == replace(
        design, timesteps=2, channels=6, head="linear", hidden=0
    )
    staged = train_genotype(tmp_path / "design.json", "digits", **{**asked, "recipe": TrainingConfig(stages=((1, 1),))})
    assert Design.from_json(staged.genotype.read_text()).timesteps == 1
    with pytest.raises(UsageError, match=r"--cells 3: the cells of .*design\.json differ"):
        train_genotype(tmp_path / "design.json", "digits", cells=3, **asked)
    with pytest.raises(UsageError, match="channels = 0 in a design"):
        train_genotype(tmp_path / "design.json", "digits", channels=0, **asked)


@pytest.mark.parametrize(("units", "became"), [(True, "bf16"), (False, "none")])
def test_auto_amp_is_what_the_device_has_units_for(
    units: bool, became: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (devices, of_run):
        monkeypatch.setattr(module, "has_bf16", lambda where: units)
    seen: list[torch.dtype] = []
    monkeypatch.setattr(Network, "_run_head", _noting(Network._run_head, seen))
    (tmp_path / "cell.json").write_text(CHAIN.to_json())
    asked = {"folder": tmp_path / "runs", "command": "", "device": "cpu", "channels": 4, "hidden": 8, "timesteps": 1}
    run = train_genotype(tmp_path / "cell.json", "digits", recipe=TrainingConfig(epochs=1, amp="auto"), **asked)
    assert run.config()["train"]["amp"] == became
    train_run(run, Narrator(quiet=True))
    assert run.config()["train"]["amp"] == became
    assert "first_train" not in run.config()
    assert (torch.bfloat16 in seen) == units


def _noting(run_head: Callable, seen: list[torch.dtype]) -> Callable:
    def noting(self: Network, *given: Any) -> torch.Tensor:
        out: torch.Tensor = run_head(self, *given)
        seen.append(out.dtype)
        return out

    return noting


def test_bf16_without_units_is_said_to_be_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "cell.json").write_text(CHAIN.to_json())
    asked = {"folder": tmp_path / "runs", "command": "", "device": "cpu", "channels": 4, "hidden": 8, "timesteps": 1}
    for units in (False, True):
        monkeypatch.setattr(of_run, "has_bf16", lambda where, units=units: units)
        run = train_genotype(tmp_path / "cell.json", "digits", recipe=TrainingConfig(epochs=1, amp="bf16"), **asked)
        train_run(run, Narrator())
        assert ("no bfloat16 units" in capsys.readouterr().err) == (not units)


def test_genotypes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    options = {"folder": tmp_path / "runs", "command": "", "device": "cpu"}
    odd = Genotype("lightsnn", (Cell.of({(0, 3): "conv1x1"}),) * 2)
    (tmp_path / "odd.json").write_text(CHAIN.to_json().replace("conv3x3", "conv1x1"))
    with pytest.raises(UsageError, match=r"conv1x1"):
        train_genotype(tmp_path / "odd.json", "digits", **options)
    (tmp_path / "dead.json").write_text(Genotype("lightsnn", (Cell.of({(0, 1): "skip"}),) * 2).to_json())
    with pytest.raises(UsageError, match="no path"):
        train_genotype(tmp_path / "dead.json", "digits", **options)
    mixed = Genotype("lightsnn", (CHAIN.cells[0], Cell.of({(0, 3): "conv3x3"})))
    (tmp_path / "mixed.json").write_text(mixed.to_json())
    with pytest.raises(UsageError, match=r"--cells 3: the cells of .*mixed\.json differ"):
        train_genotype(tmp_path / "mixed.json", "digits", cells=3, **options)
    (tmp_path / "no.json").write_text("[")
    with pytest.raises(InvalidFileError, match=r"no\.json"):
        train_genotype(tmp_path / "no.json", "digits", **options)
    assert odd.space == "lightsnn"
    assert not (tmp_path / "runs").exists()


def test_the_benchmark_compares_equal_losses() -> None:
    figures = bench_train(TrainBenchOptions(turns=1, channels=4, pixels=8, batch=4))
    assert figures["loss_difference"] <= figures["tolerance"]
    assert figures["peak_bytes"] < figures["baseline_peak_bytes"]
    keys = {"ratio", "loss_difference", "images_per_s", "peak_bytes", "seconds", "baseline_seconds", "good", "gate"}
    assert keys <= figures.keys()
    json.dumps(figures)
