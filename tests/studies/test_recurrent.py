"""The study of recurrent cells: its data, its pairing, its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.search.network.batch_norm import StepwiseBatchNorm
from snnas.toolchain.runs.log import JsonLines
from tests.studies import recurrent
from tests.studies import recurrent_networks as networks
from tests.studies.command import run_study


@pytest.fixture(scope="module")
def data() -> networks.Dataset:
    return networks.first_of_two(0, blank=1, samples=60, others=20)


def test_pairs_are_two_different_digits_and_the_label_is_the_first(data: networks.Dataset) -> None:
    digits = networks.digits(0)
    of_image = {image.tobytes(): label for image, label in zip(digits.x_train, digits.y_train, strict=True)}
    assert data.x_train.shape == (60, 5, 1, 8, 8)
    assert not data.x_train[:, [0, 2, 4]].any()
    first, second = (np.array([of_image[frame.tobytes()] for frame in data.x_train[:, t]]) for t in (1, 3))
    assert np.array_equal(first, data.y_train)
    assert (first != second).all()


def test_every_split_is_of_its_own_digits() -> None:
    data = networks.digits(0)
    images = [{image.tobytes() for image in x} for x in (data.x_train, data.x_val, data.x_test)]
    assert len(data.y_val) == networks.VALIDATION
    assert len(data.y_train) + len(data.y_val) + len(data.y_test) == 1797
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_the_step_by_step_cell_is_the_feed_forward_one(data: networks.Dataset) -> None:
    x = torch.from_numpy(data.x_val)
    outputs, shared = {}, {}
    for kind in ("ff", "stepwise", "conv"):
        network = networks.network_of(kind, data, seed=3, channels=4, cells=1).eval()
        shared[kind] = network.get_parameter("cell1_e01_conv.weight")
        # What has no running statistics yet gives no spikes.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_var is not None
                module.running_var.fill_(0.1)
        outputs[kind] = network(x)
    assert torch.equal(shared["ff"], shared["conv"])
    torch.testing.assert_close(outputs["ff"], outputs["stepwise"])
    assert not torch.allclose(outputs["ff"], outputs["conv"])


def test_a_clipped_norm_without_room_is_that_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    norm = networks.Clipped(3)
    far, x = 5 + 2 * torch.randn(8, 3, 5, 5), torch.randn(8, 3, 5, 5)
    norm(far)
    norm.commit()
    monkeypatch.setattr(networks, "WARM_UP", 1)
    wide = norm(x)  # r about 1/2 and d about -5/2, within the limits
    norm.eval()
    torch.testing.assert_close(wide, norm(x), atol=1e-5, rtol=1e-5)
    norm.train()
    monkeypatch.setattr(networks, "WARM_UP", 10**9)
    torch.testing.assert_close(norm(x).mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    assert isinstance(norm, StepwiseBatchNorm)


def test_half_the_rate_is_half_the_step(data: networks.Dataset) -> None:
    moved = {}
    for name in ("conv", "conv+half"):
        network = networks.network_of(name, data, seed=0, channels=2, cells=1)
        before = {key: value.detach().clone() for key, value in network.named_parameters()}
        with networks.optimiser_of(name):
            optimizer = networks.step.make_optimizer(network, recurrent_recipe())
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        moved[name] = {
            key: float((value.detach() - before[key]).abs().max()) for key, value in network.named_parameters()
        }
    for key, step in moved["conv"].items():
        assert moved["conv+half"][key] == pytest.approx(step / 2 if "_b30_" in key else step, rel=1e-3)


def recurrent_recipe() -> networks.step.TrainingConfig:
    return networks.step.TrainingConfig(weight_decay=0.0)


def test_differences_are_paired_and_have_students_interval() -> None:
    lines = {
        (name, seed): {"validation": value, "loss": 1.0, "sar": 0.1, "cpu_seconds": 1.0}
        for name, values in (("ff", (0.5, 0.9, 0.7)), ("conv", (0.6, 1.0, 0.9)))
        for seed, value in enumerate(values)
    }
    first, second = recurrent.summary(lines, ["ff", "conv"], [0, 1, 2], "validation")
    assert first["validation_gain"] == (0, 0, 0)
    mean, low, high = second["validation_gain"]
    assert mean == pytest.approx(0.4 / 3)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.303 / 30)
    assert recurrent.interval([1.0]) is None


def test_a_study_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[tuple[str, int]] = []

    def train_one(task: str, name: str, seed: int, sizes: dict[str, int]) -> dict[str, float]:
        trained.append((name, seed))
        return {"validation": 0.5, "loss": 1.0, "sar": 0.1, "test": 0.25, "cpu_seconds": 1.0}

    monkeypatch.setattr(recurrent, "train_one", train_one)
    options = ["--out", str(tmp_path / "log.jsonl"), "--networks", "ff,conv", "-q", "--json"]
    assert run_study(recurrent.command, [*options, "--seeds", "0,1"]) == 0
    assert "test" not in json.loads(capsys.readouterr().out)["networks"][0]
    assert run_study(recurrent.command, [*options, "--seeds", "0,1,2", "--test"]) == 0
    assert trained == [("ff", 0), ("conv", 0), ("ff", 1), ("conv", 1), ("ff", 2), ("conv", 2)]
    assert json.loads(capsys.readouterr().out)["networks"][1]["test"] == 0.25
    assert run_study(recurrent.command, [*options, "--seeds", "0", "--epochs", "2"]) == 0
    assert len(trained) == len(JsonLines(tmp_path / "log.jsonl").read()) == 8
    assert run_study(recurrent.command, [*options, "--task", "second"]) == 2


def test_an_unknown_cure_is_refused(data: networks.Dataset) -> None:
    with pytest.raises(UsageError, match=r"conv\+tea: expected one of ff, stepwise, conv, skip"):
        networks.network_of("conv+tea", data, seed=0, channels=2, cells=1)
