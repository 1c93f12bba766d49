"""Heads and numbers of cells: what a network says of itself, what it is scored, what it stores, what is deployed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.hw_sim.errors import UsageError
from snnas.search.methods.memory import memory, parameters
from snnas.search.network import space
from snnas.search.network.config import HEADS, NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.network import Network
from tests.deployed import check_in_lava
from tests.networks import images, network
from tests.search.network.test_network import interpret, make
from tests.search.scoring.test_batched import check_equal, random_masks, supernet

SKIPPING = Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip"})
RECURRENT = Cell.of({(0, 3): "conv3x3", (3, 0): "conv3x3"})


def of_cells(cell: Cell, cells: int, name: str = "lightsnn") -> Genotype:
    return Genotype(name, (cell,) * cells)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.parametrize("name", ["lightsnn", "snasnet"])
def test_layers_reproduce_forward(head: str, cells: int, name: str) -> None:
    net = make(of_cells(RECURRENT if cells == 1 else SKIPPING, cells, name), head=head, cells=cells)
    x = torch.rand(3, 2, 9, 8, dtype=torch.float64)
    spikes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        logits = net(x, spikes=spikes)
        expected, trains = interpret(net.layers(), x, 4)
    assert set(spikes) == set(trains)
    assert all(torch.equal(spikes[lif].reshape(train.shape), train) for lif, train in trains.items())
    assert ("head_lif" in trains) == (head != "linear")
    assert logits.shape == (3, 3)
    torch.testing.assert_close(logits, expected)


def test_the_norm_of_the_head_is_over_time_and_batch() -> None:
    net = make(of_cells(SKIPPING, 2), head="bn_lif").float().train()
    seen: list[torch.Tensor] = []
    net.get_submodule("head_bn").register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    net(torch.rand(5, 2, 9, 8))
    (out,) = seen
    assert out.shape == (4 * 5, 12, 1, 1)
    shift = net.get_submodule("head_bn").bias.detach()
    torch.testing.assert_close(out.mean((0, 2, 3)), shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("cells", [1, 3])
def test_candidates_score_as_each_alone(head: str, cells: int) -> None:
    net = supernet("lightsnn", backward=cells == 1, head=head, cells=cells)
    check_equal(net, random_masks(space.get("lightsnn"), 6, 3, backward=cells == 1, keep=0.6))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("cells", [1, 3])
def test_what_is_deployed_is_the_network_and_as_large_as_said(head: str, cells: int, tmp_path: Path) -> None:
    net = network(of_cells(RECURRENT if cells == 1 else SKIPPING, cells), 1, head=head, cells=cells, timesteps=3)
    x, seen = images(6, 1), dict[str, torch.Tensor]()
    with torch.no_grad():
        logits = net(torch.from_numpy(x), spikes=seen)
    graph = fold(net.layers())
    spikes, total = run_deployed(graph, x, 3)
    merged = graph.meta.get("merged", {})
    for name, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        assert np.mean(ours != spikes[merged.get(name, name)].reshape(ours.shape)) < 1e-3  # float32 against float64
        assert ours.any()
    np.testing.assert_allclose(total / 3, logits.numpy(), atol=1e-3)
    write_nir(tmp_path / "model.nir", graph)
    read = read_nir(tmp_path / "model.nir", use_metadata=False, delayed=graph.delayed)
    again = interpreter.run(read, x, 3)
    assert all(np.array_equal(again.spikes[name].reshape(train.shape), train) for name, train in spikes.items())
    program = compile_graph(read, timesteps=3)
    assert memory(net.genotype, net.config).neurons == sum(p.size for p in program.populations if p.role == "neuron")
    voted = net.config.head_neurons * 10 * (net.config.votes - 1)
    built = sum(p.numel() for p in net.parameters() if p.dim() > 1)
    assert parameters(net.genotype, net.config) == built - voted


@pytest.mark.lava
@pytest.mark.parametrize(("head", "cells"), [("bn_lif", 1), ("linear", 3)])
def test_lava_fires_the_programs_spikes(head: str, cells: int, tmp_path: Path, lava_python: Path) -> None:
    genotype = of_cells(SKIPPING if cells == 3 else RECURRENT, cells, "lightsnn" if cells == 3 else "snasnet")
    program = compile_graph(fold(network(genotype, 2, head=head, cells=cells).layers()), timesteps=3)
    result = check_in_lava(tmp_path, program, 2, lava_python)
    assert all(row["fired"] for row in result["per_population"].values())


def test_a_linear_head_has_one_vote_and_no_neurons() -> None:
    config = NetworkConfig(input_shape=(1, 8, 8), classes=10, head="linear", votes=7, hidden=30)
    assert (config.votes, config.head_neurons, config.head_weights) == (1, 0, 10 * config.features)
    assert [name for name, _ in Network(of_cells(SKIPPING, 2), config).named_children() if "head" in name] == [
        "head_drop",
        "head_fc",
    ]
    with pytest.raises(UsageError, match=r"head = 'mlp' .* expected 'lif' or 'bn_lif' or 'linear'"):
        NetworkConfig(input_shape=(1, 8, 8), classes=10, head="mlp")


def test_a_configuration_of_before_heads_means_a_lif() -> None:
    plain = json.loads(NetworkConfig(input_shape=(1, 8, 8), classes=10, head="bn_lif").to_json())
    assert plain["head"] == "bn_lif"
    assert NetworkConfig.from_json(json.dumps(plain)).head == "bn_lif"
    del plain["head"]
    assert NetworkConfig.from_json(json.dumps(plain)).head == "lif"
