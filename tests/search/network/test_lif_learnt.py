"""Learnt tau and threshold: gradients against autograd through a plain loop, sharing, and what is deployed."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.methods.memory import memory
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.network import lif as neurons_of
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.lif_learnt import LEARNABLE, LearntLIF
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.training import TrainingConfig, build, load_weights, save_weights, train
from tests.deployed import check_deployed, check_in_lava
from tests.networks import network

# Nodes 0 and 1 read the same sum.
TWINS = Genotype("lightsnn", (Cell.of({(0, 1): "skip", (1, 3): "conv3x3", (0, 3): "conv3x3", (3, 0): "skip"}),))


class Atan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad / (1 + (math.pi * x) ** 2)


def plain(current: torch.Tensor, tau: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    v, spikes = torch.zeros_like(current[0]), []
    for x in current:
        v = v + (x - v) / tau
        fired = Atan.apply(v - threshold)
        spikes.append(fired)
        v = v * (1 - fired.detach())
    return torch.stack(spikes)


@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("what", [("tau",), ("threshold",), LEARNABLE])
def test_gradients_are_those_of_a_plain_loop(mode: str, dtype: torch.dtype, what: tuple[str, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(4, 3, 2, 5, 5, generator=generator) * 1.5).to(dtype)
    weights = torch.randn(x.shape, generator=generator).to(dtype)
    lif = LearntLIF(1.6, 0.8, what).to(dtype)
    lif.step_mode = mode
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = lif(one) if mode == "m" else torch.stack([lif(step) for step in one])
    (out * weights).sum().backward()
    tau, threshold = (torch.tensor(value, dtype=dtype, requires_grad=True) for value in lif.constants())
    wanted = plain(other, tau, threshold)
    (wanted * weights).sum().backward()
    assert torch.equal(out, wanted)
    assert 0.1 < float(out.detach().mean()) < 0.9
    loose = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(one.grad, other.grad, **loose)
    # d tau / d log_tau = tau - 1, d threshold / d log_threshold = threshold.
    found = {"tau": lif.log_tau, "threshold": lif.log_threshold}
    chained = {"tau": tau.grad * (tau.detach() - 1), "threshold": threshold.grad * threshold.detach()}
    for name in LEARNABLE:
        assert (found[name] is None) == (name not in what)
        if name in what:
            torch.testing.assert_close(found[name].grad, chained[name], **loose)


@pytest.mark.parametrize("mode", ["m", "s"])
def test_numbers_that_stay_on_a_device_do_the_same(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU without Triton: torch's operations, which get tensors."""
    x = 1.5 * torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    found = []
    monkeypatch.setattr(neurons_of, "_kernel", lambda *tensors: None)
    for there in (False, True):
        if there:
            monkeypatch.setattr(LearntLIF, "_values", lambda self, current: tuple(n.detach() for n in self.numbers()))
        neurons, given = LearntLIF(1.6, 0.8, LEARNABLE), x.clone().requires_grad_()
        neurons.step_mode = mode
        out = neurons(given) if mode == "m" else torch.stack([neurons(step) for step in given])
        (out * x).sum().backward()
        found.append((out, given.grad, neurons.log_tau.grad, neurons.log_threshold.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert 0.1 < float(out.detach().mean()) < 0.9
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(one, other)


def test_a_static_current_and_evaluation_need_no_gradient() -> None:
    lif = LearntLIF(4 / 3, 1.0, LEARNABLE)
    x = torch.randn(1, 6).expand(3, 6) * 2
    lif(x).sum().backward()  # a current that is no function of a parameter
    assert float(lif.log_tau.grad) != 0
    with torch.no_grad():
        assert not lif(x).requires_grad
        lif.log_tau.fill_(-99)
        lif.log_threshold.fill_(99)
    tau, threshold = lif.constants()
    assert 1 < tau < 1.01
    assert threshold < 500


def test_equal_sums_share_their_numbers_and_stay_one_population() -> None:
    net = network(TWINS, 1, cells=1)
    net.learn(LEARNABLE)
    names = {name for name, _ in net.named_parameters()}
    assert "cell1_n0_lif.log_tau" in names
    assert "red1_lif.log_threshold" in names
    assert "head_lif.log_tau" in names
    learnt = len(names)
    net.learn(LEARNABLE)
    assert len(list(net.parameters())) == learnt
    with torch.no_grad():
        net.get_submodule("cell1_n0_lif").log_tau.fill_(0.3)
        net.get_submodule("red1_lif").log_threshold.fill_(-0.4)
    stored = {layer["name"]: (layer["tau"], layer["threshold"]) for layer in net.layers() if layer["op"] == "lif"}
    assert stored["cell1_n0_lif"][0] == pytest.approx(1 + math.exp(0.3))
    assert stored["red1_lif"] == pytest.approx((4 / 3, math.exp(-0.4)))
    program = compile_graph(fold(net.layers()), timesteps=5)
    assert memory(net.genotype, net.config).neurons == sum(p.size for p in program.populations if p.role == "neuron")
    slow = network(TWINS, 1, cells=1)
    slow.learn(["tau"], tau=20.0)
    taus = {layer["name"]: layer["tau"] for layer in slow.layers() if layer["op"] == "lif"}
    assert len(taus) >= 3
    assert all(tau == pytest.approx(20) for tau in taus.values())
    with pytest.raises(UsageError, match="learn: unknown 'reset'"):
        net.learn(["reset"])


@pytest.fixture(scope="module")
def data() -> Dataset:
    every = load("digits", seed=0)
    return replace(every, x_train=every.x_train[:256], y_train=every.y_train[:256])


@pytest.fixture(scope="module")
def trained(data: Dataset):
    """A chain on digits for one epoch at a high rate, so that every number has moved."""
    sizes = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=16, timesteps=3)
    cell = Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip"})
    net = build(Genotype("lightsnn", (cell, cell)), sizes, seed=0)
    train(net, data, TrainingConfig(epochs=1, learning_rate=0.03, learn=LEARNABLE), seed=0)
    return net


def test_numbers_are_learnt_stored_and_read_back(trained, data: Dataset, tmp_path: Path) -> None:
    lifs = [layer for layer in trained.layers() if layer["op"] == "lif"]
    assert all(abs(layer["tau"] - 4 / 3) > 1e-3 and abs(layer["threshold"] - 1) > 1e-3 for layer in lifs)
    save_weights(trained, tmp_path / "w.safetensors")
    again = build(trained.genotype, trained.config, seed=1)
    load_weights(again, tmp_path / "w.safetensors")
    read = [layer for layer in again.layers() if layer["op"] == "lif"]
    assert [(layer["tau"], layer["threshold"]) for layer in read] == [(x["tau"], x["threshold"]) for x in lifs]
    wider = build(trained.genotype, NetworkConfig.from_json(trained.config.to_json().replace("16,", "17,")), seed=1)
    with pytest.raises(InvalidFileError, match="head_fc1"):
        load_weights(wider, tmp_path / "w.safetensors")
    assert not any("log_" in name for name in wider.state_dict())


def test_the_deployed_network_fires_as_the_learnt_one(trained, data: Dataset) -> None:
    x, seen = data.x_val[:16], dict[str, torch.Tensor]()
    with torch.no_grad():
        trained(torch.from_numpy(x), spikes=seen)
    check_deployed(fold(trained.layers()), x, 3, seen)


@pytest.mark.lava
def test_lava_fires_the_learnt_programs_spikes(trained, tmp_path: Path, lava_python: Path) -> None:
    program = compile_graph(fold(trained.layers()), timesteps=3)
    assert len({(p.dv, p.vth) for p in program.populations if p.role == "neuron"}) > 2
    check_in_lava(tmp_path, program, 4, lava_python)


def test_motifs_keep_theirs(data: Dataset) -> None:
    sizes = MseConfig(input_shape=(1, 8, 8), classes=10, channels=2, timesteps=2, cells=1, reductions=())
    space = GenomeSpace(1)
    genome = space.decode(np.zeros_like(space.sizes))
    with pytest.raises(UsageError, match=r"learn = .* network of motifs"):
        train(build(genome, sizes, seed=0), data, TrainingConfig(epochs=1, learn=("tau",)), seed=0)
