"""The slow networks' task, thresholds, readout and training, and what is counted of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnas.export.executors import interpreter
from snnas.export.graph.graph import CubaLif, Linear
from tests.studies import slow_networks
from tests.studies.command import run_study
from tests.studies.slow_networks import ACTIVITY, Narrator, command, good, network, one, samples, with_readout

torch = pytest.importorskip("torch")
from tests.studies import slow_training  # noqa: E402

QUIET = Narrator(quiet=True)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CHANNELS": 60, "HIDDEN": (12, 8), "CLASSES": 3, "WIDTH": 20, "BATCH": 8}.items():
        monkeypatch.setattr(slow_networks, name, value)


def task(timesteps: int = 20, count: int = 24) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A stream, spikes and labels of three classes whose bands lie apart."""
    rng, labels = np.random.default_rng(0), np.arange(count) % 3
    templates = np.array([[[0.1, 0.2]] * 4, [[0.5, 0.5]] * 4, [[0.9, 0.8]] * 4])
    return rng, samples(rng, labels, templates, timesteps), labels


def test_a_class_raises_its_bands_at_its_times() -> None:
    rng = np.random.default_rng(1)
    x = samples(rng, np.zeros(20, int), np.array([[[0.5, 0.25]] * 4]), 40, noise=0.0)
    by_time, by_channel = x.mean(axis=(0, 2)), x.mean(axis=(0, 1))
    assert 8 <= by_time.argmax() <= 12
    assert by_time[30:].max() < 0.05 * by_time.max()
    assert by_channel[:10].max(initial=0) == by_channel[50:].max(initial=0) == 0  # 20 +- 10, and 20 wide
    assert by_channel[28:32].min() > 0
    plain = samples(rng, np.zeros(50, int), np.zeros((1, 0, 2)), 40, noise=3.0)
    assert plain.sum() / (50 * 60) == pytest.approx(3.0, rel=0.1)


def test_thresholds_keep_each_population_active() -> None:
    rng, x, _ = task()
    run = interpreter.run(network(rng, 20, x.astype(np.float32)), x.astype(np.float32), 20)
    assert all(0.7 * ACTIVITY < s.mean() < 1.4 * ACTIVITY for s in run.spikes.values())


def test_a_fitted_readout_tells_what_it_was_fitted_to() -> None:
    rng, x, _ = task()
    graph = network(rng, 20, x.astype(np.float32))
    labels = np.array([0, 1, 2] * 10)
    counts = np.eye(3).repeat(3, axis=1)[labels] * 30
    out = with_readout(graph, counts, labels, 20).nodes["out"]
    assert isinstance(out, Linear)
    assert out.bias is not None
    assert np.allclose(counts @ out.weight.T + 20 * out.bias, np.eye(3)[labels], atol=0.02)


def test_what_is_trained_is_the_graphs_arithmetic() -> None:
    rng, x, _ = task(count=8)
    graph = network(rng, 20, x.astype(np.float32))
    graph = with_readout(graph, rng.random((30, 8)) * 9, np.arange(30) % 3, 20)
    weights = {n: torch.tensor(node.weight) for n, node in graph.nodes.items() if isinstance(node, Linear)}
    run = interpreter.run(graph, x.astype(np.float32), 20)
    made, rates = slow_training.logits(graph, weights, torch.from_numpy(x.astype(np.float32)))
    assert [float(r) for r in rates] == pytest.approx([float(s.mean()) for s in run.spikes.values()], abs=1e-3)
    assert np.allclose(made.numpy(), run.answers, atol=0.05)


def test_a_spike_has_the_derivative_of_an_arc_tangent() -> None:
    x = torch.tensor([0.0, 1.0, -0.5], requires_grad=True)
    spike = slow_training._Spike.apply(x)
    assert spike.tolist() == [0, 1, 0]
    spike.sum().backward()
    assert x.grad.tolist() == pytest.approx([1 / (1 + (np.pi * v) ** 2) for v in (0, 1, -0.5)])


def test_training_lowers_the_loss_and_moves_weights_alone() -> None:
    rng, x, labels = task()
    graph = network(rng, 20, x.astype(np.float32))
    counts = interpreter.run(graph, x.astype(np.float32), 20).spikes["n1"].sum(axis=1).astype(float)
    graph = with_readout(graph, counts, labels, 20)
    made = slow_training.trained(graph, lambda: (x, labels), 15, lambda *_: None)
    losses = []
    for g in (graph, made):
        answers = torch.from_numpy(interpreter.run(g, x.astype(np.float32), 20).answers)
        losses.append(float(torch.nn.functional.cross_entropy(10 * answers, torch.from_numpy(labels))))
    assert losses[1] < losses[0]
    for name, node in graph.nodes.items():
        other = made.nodes[name]
        if isinstance(node, CubaLif):
            assert other is node
        if isinstance(node, Linear):
            assert isinstance(other, Linear)
            assert (other.weight != node.weight).any()
            assert other.bias is node.bias


@pytest.mark.parametrize("steps", [0, 1])
def test_figures_of_a_network_agree_with_each_other(steps: int) -> None:
    found = one(20, 40, 20, 0, QUIET, steps)
    assert (found["timesteps"], found["steps"], found["tau_syn"], found["tau_mem"]) == (20, steps, 4.0, 8.0)
    assert round(20 * (found["float"] - found["on_target"])) == found["lost"] - found["gained"]
    assert found["lost"] + found["gained"] <= round(20 * found["predictions_changed"])
    low, high = found["interval_on_target"]
    assert low < found["on_target"] < high
    assert set(found["largest_weight"]) == {"input__n0__0", "n0__n1__0"}


@pytest.mark.parametrize(("lost", "expected"), [(0.0, True), (0.01, True), (0.012, False), (-0.05, True)])
def test_a_point_may_be_lost(lost: float, expected: bool) -> None:
    one_is_fine: dict[str, Any] = {"float": 0.8, "on_target": 0.8}
    assert good({"networks": [one_is_fine, {"float": 0.8, "on_target": 0.8 - lost}]}) is expected


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_networks, "one", lambda t, *_: {"float": 0.9, "on_target": 0.9 - t / 1000})
    assert run_study(command, ["--lengths", "5,10", "--json"]) == 0
    assert [n["on_target"] for n in json.loads(capsys.readouterr().out)["networks"]] == [0.895, 0.89]
    assert run_study(command, ["--lengths", "20", "--json"]) == 1
    assert run_study(command, ["--lengths", "T"]) == 2
    assert run_study(command, ["--test", "3"]) == 2
