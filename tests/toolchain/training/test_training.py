import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.network import Network
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.training import (
    TrainingConfig,
    TrainingResult,
    build,
    evaluate,
    load_weights,
    outlook,
    save_weights,
    train,
)
from snnas.toolchain.training.evaluation import Validation

CHAIN = Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "skip"}),) * 2)
LOOP = Genotype("lightsnn", (Cell.of({(0, 3): "conv3x3", (3, 0): "conv3x3"}),) * 2)
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=32, timesteps=3)
SHORT = TrainingConfig(epochs=2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", seed=0)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    return replace(digits, x_train=digits.x_train[:129], y_train=digits.y_train[:129])


def test_what_a_training_will_take_is_its_steps_and_looks(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([50.0, 2.0, 4.0, 6.0] * 2)  # the first step warms up; then two steps, and a look at one batch

    def timed(work: Callable[[], object], device: str) -> float:
        work()
        return next(seconds)

    monkeypatch.setattr(outlook, "_timed", timed)
    network, recipe = build(CHAIN, CONFIG, seed=0), TrainingConfig(epochs=4, batch=24)
    before = [parameter.clone() for parameter in network.parameters()]
    epoch = 6 * 3.0 + len(few.x_val) / 24 * 6.0  # 129 samples are six batches
    assert outlook.seconds_ahead(network, few, recipe, seed=0, device="cpu") == 4 * epoch
    staged = replace(recipe, stages=((1, 1), (3, 1)))  # tried at T = 3, and half of it is a third as long
    assert outlook.seconds_ahead(network, few, staged, seed=0, device="cpu") == pytest.approx((2 / 3 + 2) * epoch)
    assert all(map(torch.equal, before, network.parameters()))
    # Samples that every epoch makes anew: a few are made twice; 9 s with what is read once, 1 s for an epoch.
    seconds, asked = iter([9.0, 1.0, 50.0, 2.0, 4.0, 6.0]), list[int | None]()

    def redraw(seed: int, epoch: int, first: int | None = None, /) -> np.ndarray:
        asked.append(first)
        return few.x_train[:first]

    drawn = replace(few, redraw=redraw)
    expected = 4 * epoch + 129 / 72 * (8 + 4 * 1)
    assert outlook.seconds_ahead(network, drawn, recipe, seed=0, device="cpu") == pytest.approx(expected)
    assert asked == [72, 72]


@pytest.mark.parametrize(("genotype", "floor"), [(CHAIN, 0.85), (LOOP, 0.7)], ids=["chain", "loop"])
def test_training_learns_and_keeps_the_best_epoch(digits: Dataset, genotype: Genotype, floor: float) -> None:
    network = build(genotype, replace(CONFIG, channels=8, hidden=96), seed=0)
    log: list = []
    progress: list = []
    result = train(
        network, digits, TrainingConfig(epochs=4), seed=0, log=log.append, on_epoch=lambda *done: progress.append(done)
    )
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [record["epoch"] for record in log] == [1, 2, 3, 4]
    best = max(record["val_accuracy"] for record in log)
    assert log[result.best_epoch - 1]["val_accuracy"] == best > floor
    assert result.validation_accuracy >= best  # or its statistics had not been kept
    assert log[-1]["loss"] < log[0]["loss"]
    assert log[-1]["lr"] < log[0]["lr"] == 1.2e-2
    assert not network.training
    # Evaluation agrees with what is said of the network that is left.
    accuracy, predictions = evaluate(network, digits.x_val, digits.y_val)
    assert accuracy == pytest.approx(result.validation_accuracy)
    assert accuracy == (predictions == digits.y_val).mean()
    assert predictions.dtype == np.int64


def test_equal_seeds_give_equal_weights(few: Dataset) -> None:
    def weights(seed: int, noise: int) -> dict:
        # Whatever was drawn from torch's global generator before must not matter.
        torch.manual_seed(noise)
        network = build(CHAIN, replace(CONFIG, dropout=0.2), seed=seed)
        train(network, few, SHORT, seed=seed)
        return network.state_dict()

    one, two, other = weights(0, 1), weights(0, 2), weights(1, 1)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["stem_conv.weight"], other["stem_conv.weight"])


def test_training_never_reads_the_test_split(few: Dataset) -> None:
    blind = replace(few, x_test=np.full_like(few.x_test, np.nan), y_test=-few.y_test)
    networks = [build(CHAIN, CONFIG, seed=0) for _ in range(2)]
    for network, data in zip(networks, (few, blind), strict=True):
        train(network, data, SHORT, seed=0)
    assert torch.equal(networks[0].get_submodule("head_fc2").weight, networks[1].get_submodule("head_fc2").weight)


def test_a_loss_that_is_not_finite_stops_with_advice(few: Dataset) -> None:
    network = build(CHAIN, CONFIG, seed=0)
    with torch.no_grad():
        network.get_submodule("head_fc2").weight[0, 0] = math.nan
    with pytest.raises(GateError, match=r"loss is nan at step 1 of epoch 1 \(learning rate 0\.012\).*lower") as caught:
        train(network, few, SHORT, seed=0)
    assert caught.value.exit_code == 1


def test_a_last_step_that_diverges_is_no_good_end(few: Dataset) -> None:
    """Every loss is that before its step: the last one is seen on the validation split alone."""
    network = build(CHAIN, CONFIG, seed=0)
    one_step = TrainingConfig(epochs=1, batch=len(few.x_train), learning_rate=3e38, schedule="constant")
    with pytest.raises(
        GateError, match=r"validation loss is (nan|inf) after step 1 of epoch 1 \(learning rate 3e\+38\)"
    ):
        train(network, few, one_step, seed=0)


def small_values(samples: int) -> Dataset:
    """Two classes of 12 x 12 images, told apart by which half is brighter, all values small."""
    rng = np.random.default_rng(0)
    x, y = np.zeros((samples, 1, 12, 12), np.float32), np.arange(samples) % 2
    for half in (0, 1):
        x[y == half, :, :, 6 * half : 6 * half + 6] = 0.02
    x += rng.random(x.shape, np.float32) * 0.02
    parts = {"train": slice(0, samples - 100), "val": slice(samples - 100, samples - 50), "test": slice(-50, None)}
    arrays = {f"{a}_{name}": v[part] for name, part in parts.items() for a, v in (("x", x), ("y", y))}
    return Dataset(name="small values", classes=2, input_kind="analogue", range=(0.0, 0.04), **arrays)


def test_statistics_are_right_after_few_steps_on_small_values() -> None:
    """By torch's rule .9^n of the variance that BN begins with is left: 100 % in training, chance as shipped."""
    data = small_values(300)
    network = build(
        CHAIN, NetworkConfig(input_shape=(1, 12, 12), classes=2, channels=4, hidden=16, timesteps=2), seed=0
    )
    result = train(network, data, TrainingConfig(epochs=4), seed=0)
    assert result.training_accuracy > 0.9
    assert result.validation_accuracy > 0.9
    assert evaluate(network, data.x_val, data.y_val)[0] == result.validation_accuracy


def test_parts_of_a_batch_add_up_to_its_gradient(few: Dataset) -> None:
    """Where BN has nothing to do with it: the head's gradients of one step."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1))

    def weights(accumulate: int) -> torch.Tensor:
        torch.manual_seed(0)
        network = Plain()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("snnas.toolchain.training.loop.validate", lambda *a, **k: Validation(0.5, 1.0, 0.0))
            recipe = TrainingConfig(epochs=1, accumulate=accumulate, optimizer="sgd", learning_rate=0.1, clip=0)
            train(network, few, recipe, seed=0)
        return network.fc.weight.detach()

    assert torch.allclose(weights(1), weights(4), atol=1e-6)
    assert not torch.allclose(weights(1), torch.zeros(10, 64))


def test_a_gap_is_called_by_its_reason() -> None:
    from snnas.toolchain.training.of_run import gap_note

    def result(training: float, seen: float, validation: float) -> TrainingResult:
        about = {"best_epoch": 1, "epochs": 1, "seconds": 0.0}
        return TrainingResult(
            validation_accuracy=validation,
            training_accuracy=training,
            seen_accuracy=seen,
            **about,  # type: ignore[arg-type]
        )

    assert gap_note(result(0.95, 0.97, 0.9)) is None
    assert "running statistics: these are off (validation 25.0%)" in str(gap_note(result(1.0, 0.25, 0.25)))
    assert "100.0% on training samples, 25.0% on validation samples: over-fitting" in str(gap_note(result(1, 1, 0.25)))


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": "x"},
        {"batch": 1},
        {"learning_rate": math.nan},
        {"label_smoothing": 1.0},
        {"accumulate": 0},
        {"accumulate": 33, "batch": 64},
    ],
)
def test_the_recipe_is_checked(bad: dict) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(bad))} = "):
        TrainingConfig(**bad)


def test_evaluation_does_not_depend_on_the_batch(few: Dataset) -> None:
    network = build(LOOP, CONFIG, seed=0).train()
    one = evaluate(network, few.x_val, few.y_val, batch=7)[1]
    assert np.array_equal(one, evaluate(network, few.x_val, few.y_val, batch=256)[1])


def test_weights_round_trip(tmp_path: Path) -> None:
    network, other = (build(LOOP, CONFIG, seed=seed) for seed in (0, 1))
    save_weights(network, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_of_another_genotype_or_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(build(CHAIN, CONFIG, seed=0), path)
    with pytest.raises(InvalidFileError, match="weights of another genotype") as caught:
        load_weights(build(LOOP, CONFIG, seed=0), path)
    assert caught.value.exit_code == 3
    wider = Network(CHAIN, replace(CONFIG, hidden=33))
    before = wider.get_submodule("head_fc1").weight.clone()
    with pytest.raises(InvalidFileError, match=r"'head_fc1.weight' .* \(32, 32\), expected \(33, 32\)"):
        load_weights(wider, path)
    assert torch.equal(before, wider.get_submodule("head_fc1").weight)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    network = build(CHAIN, CONFIG, seed=0)
    with pytest.raises(InvalidFileError, match="does not exist"):
        load_weights(network, path)
    save_weights(network, path)
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:-5], b"\xff" * 50, b"\x10" + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidFileError, match=r"w\.safetensors"):
            load_weights(network, path)
    path.write_bytes(content)
    for value in (torch.full((4, 1, 3, 3), math.inf), torch.zeros((4, 1, 3, 3), dtype=torch.float64)):
        tensors = {**load_file(path), "stem_conv.weight": value}
        save_file(tensors, tmp_path / "odd.safetensors", metadata={"architecture_id": CHAIN.architecture_id})
        with pytest.raises(InvalidFileError, match=r"'stem_conv\.weight' .* expected finite torch\.float32"):
            load_weights(network, tmp_path / "odd.safetensors")


def test_accuracy_that_guessing_reaches_is_doubted() -> None:
    from snnas.toolchain.output.chance import chance_note

    even, odd = np.arange(100) % 4, np.zeros(100, np.int64)
    odd[:10] = 1
    assert chance_note(0.40, even) is None
    assert "25.0% of 100 validation samples is no better than always naming one class (25.0%)" in str(
        chance_note(0.25, even)
    )
    assert "26.0% of 100 validation samples cannot be told from always naming one class" in str(chance_note(0.26, even))
    assert "is no better than always naming one class (90.0%)" in str(chance_note(0.90, odd))
    assert "100.0% of 2 validation samples says nothing: were all" in str(chance_note(1.0, np.arange(2)))
    assert "of 1 validation sample says nothing" in str(chance_note(1.0, np.zeros(1, np.int64)))
    assert chance_note(1.0, np.arange(6) % 2) is None
    said = chance_note(0.26, even, split="test", longer="train longer")
    assert str(said).endswith("; test on more of them, or train longer")


def test_a_training_that_ends_silent_says_so(few: Dataset) -> None:
    from snnas.toolchain.training.of_run import silence_note
    from snnas.toolchain.training.silence import silence_of

    network = build(CHAIN, CONFIG, seed=0)  # untrained: nothing arrives at its head
    assert str(silence_note(silence_of(network, few, "cpu"))) == (
        "no measurement: all 144 predictions are ties; 2 of 5 never fire: red2_lif, head_lif "
        "(on 144 validation samples); train longer with --epochs, or with a lower learning_rate in the recipe"
    )
    train(network, few, SHORT, seed=0)
    assert silence_note(silence_of(network, few, "cpu")) is None
