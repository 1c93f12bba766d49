"""Networks of signals (C, 1, L) and (C, 1, 1): the same cells, along one axis or none."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.graph.graph import Conv, Pool
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.functional import form
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.layers import dilated
from snnas.search.network.network import Network
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.supernet import Supernet
from tests.networks import network

LINE, POINT = (3, 1, 12), (3, 1, 1)
EVERY = {(0, 1): "conv5x5", (0, 2): "conv3x3", (1, 2): "conv3x3d2", (2, 3): "conv1x1", (1, 3): "avgpool3x3"}


def frames(shape: tuple[int, int, int], count: int = 6, steps: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, steps, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [LINE, POINT])
@pytest.mark.parametrize("back", [{}, {(3, 1): "conv5x5", (2, 0): "skip"}])
@pytest.mark.parametrize("reduction", ["lightsnn_1d", "snasnet_1d"])
def test_the_graph_has_the_networks_spikes(shape: tuple[int, int, int], back: dict, reduction: str) -> None:
    genotype = Genotype(reduction, (Cell.of({**EVERY, **back}),) * 2)
    net, x = network(genotype, 0, input_shape=shape, gain=(0.5, 2.0, 1.0)), frames(shape)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        net(torch.from_numpy(x), spikes=seen)
    graph = fold(net.layers())
    run = interpreter.run(graph, x, 5)
    assert sum(float(value.sum()) for value in seen.values()) > 100
    for name, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        theirs = run.spikes[graph.meta.get("merged", {}).get(name, name)].reshape(ours.shape)
        assert (ours != theirs).mean() < 0.002, name
    kernels = {node.weight.shape[2:] for node in graph.nodes.values() if isinstance(node, Conv)}
    pools = {node.kernel for node in graph.nodes.values() if isinstance(node, Pool)}
    if shape == LINE:
        assert {(1, 1), (1, 3), (1, 5)} <= kernels
        assert (1, 2) in pools
    else:
        assert not kernels | pools
        assert {len(flat) for flat in graph.shapes().values()} == {1}


@pytest.mark.parametrize(("shape", "kinds"), [(LINE, {"Conv1d", "SumPool2d"}), (POINT, {"Affine"})])
def test_nir_has_nodes_of_one_axis_or_none(tmp_path: Path, shape: tuple[int, int, int], kinds: set[str]) -> None:
    genotype = Genotype("lightsnn_1d", (Cell.of({**EVERY, (3, 1): "conv3x3"}),) * 2)
    graph, x = fold(network(genotype, 0, input_shape=shape).layers()), frames(shape)
    write_nir(tmp_path / "model.nir", graph)
    stored = nir.read(tmp_path / "model.nir", type_check=False).nodes
    found = {type(node).__name__ for node in stored.values()}
    assert kinds <= found
    assert not {"Conv2d", "Linear"} & found
    assert stored["cell1_n0_lif"].tau.shape == (4, *shape[2:][: len(kinds) - 1])
    again, wanted = interpreter.run(read_nir(tmp_path / "model.nir"), x, 5), interpreter.run(graph, x, 5)
    assert sum(int(spikes.sum()) for spikes in wanted.spikes.values()) > 100
    for name, spikes in wanted.spikes.items():
        assert np.array_equal(again.spikes[name].reshape(spikes.shape), spikes), name


def test_a_gain_is_folded_into_the_stem() -> None:
    genotype = Genotype("lightsnn", (Cell.of({(0, 3): "conv3x3"}),))
    config = {"input_shape": POINT, "classes": 2, "channels": 2, "hidden": 4, "cells": 1}
    net = Network(genotype, NetworkConfig(**config, gain=(0.5, 0.25, 4.0)))
    stem = next(layer for layer in net.layers() if layer["name"] == "stem_conv")
    assert np.array_equal(
        stem["weight"][:, :, 0, 0], net.stem_conv.weight.detach().numpy()[:, :, 0, 0] * (0.5, 0.25, 4)
    )
    assert "stem_gain" not in net.state_dict()
    with pytest.raises(UsageError, match="gain = "):
        NetworkConfig(**config, gain=(1.0,))
    old = NetworkConfig(**config).to_json().replace(',\n  "gain": []', "")
    assert "gain" not in old
    assert NetworkConfig.from_json(old).gain == ()
    with pytest.raises(InvalidFileError, match="gain"):
        NetworkConfig.from_json(NetworkConfig(**config).to_json().replace('"gain": []', '"gain": [-1, 1, 1]'))


def test_dilated_kernels_have_zeros_between_their_taps() -> None:
    kernel = np.arange(1, 4, dtype=np.float32).reshape(1, 1, 1, 3)
    assert dilated(kernel, (2, 2)).ravel().tolist() == [1, 0, 2, 0, 3]
    x = torch.arange(8.0).reshape(1, 1, 1, 8)
    plain = torch.nn.functional.conv2d(x, torch.from_numpy(dilated(kernel, (2, 2))), padding=(0, 2))
    assert torch.equal(plain, torch.nn.functional.conv2d(x, torch.from_numpy(kernel), padding=(0, 2), dilation=2))


def test_a_line_has_to_be_as_long_as_the_reductions_need() -> None:
    with pytest.raises(UsageError, match="H and W >= 16, or 1"):
        NetworkConfig(input_shape=(1, 1, 15), classes=2, cells=4)
    assert NetworkConfig(input_shape=(1, 1, 16), classes=2, cells=4, channels=2).features == 16


@pytest.mark.parametrize("shape", [LINE, POINT])
@pytest.mark.parametrize("backward", [False, True])
def test_rounds_are_scored_as_single_candidates_are(shape: tuple[int, int, int], backward: bool) -> None:
    chosen = space.get("snasnet_1d")
    config = NetworkConfig(input_shape=shape, classes=3, channels=4, hidden=16, timesteps=5, reduction="average")
    net, x = Supernet(chosen, config, backward=backward, seed=1), torch.from_numpy(frames(shape, 10))
    rng = np.random.default_rng(0)
    drawn = [chosen.random_genotype(rng, backward=backward).cells[0].live() for _ in range(12)]
    masks = [{edge: (op,) for edge, op in cell.items()} for cell in drawn]
    alone, together = [net.score(x, mask).value for mask in masks], BatchedScorer(net, x)(masks)
    np.testing.assert_allclose([max(s.value, -1e9) for s in together], np.maximum(alone, -1e9), atol=1e-6)


def cell(**edges: str) -> Cell:
    return Cell.of({(int(name[1]), int(name[2])): op for name, op in edges.items()})


def beside(one: str, other: str) -> Cell:
    """Two convolutions of the input's spikes, added at the output."""
    return cell(e01="skip", e03=one, e13=other)


@pytest.mark.parametrize("other", ["conv1x1", "conv3x3", "conv3x3d2", "conv5x5"])
def test_what_a_wide_kernel_holds_already_adds_nothing(other: str) -> None:
    assert form(beside("conv5x5", other)) == form(cell(e03="conv5x5"))


@pytest.mark.parametrize("other", ["conv1x1", "conv3x3", "conv5x5"])
def test_kernels_that_differ_are_told_apart(other: str) -> None:
    dilated_one = cell(e03="conv3x3d2")
    assert form(dilated_one) != form(cell(e03=other))
    assert (form(beside("conv3x3d2", other)) == form(dilated_one)) == (other == "conv1x1")
    assert form(beside("conv3x3d2", "conv3x3")) != form(cell(e03="conv5x5"))
