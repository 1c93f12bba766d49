"""The chain of checks: unfolded network, deployed network, .nir re-read, program. Each joint by itself."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.circuit import Group
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.graph.graph import Conv, Graph, Input, Lif, Node, Output, Pool
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.search.network.genotype import Cell, Genotype
from tests.networks import images, network, random_network

SPACES = ["lightsnn", "snasnet"]


def cyclic(graph: Graph) -> bool:
    """By removing nodes without successors, over and over: a way of its own to see a cycle."""
    edges = set(graph.edges)
    while edges:
        ends = {d for _, d in edges} - {s for s, _ in edges}
        if not ends:
            return True
        edges = {(s, d) for s, d in edges if d not in ends}
    return False


few = settings(max_examples=6, derandomize=True)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SPACES)
@few
@given(seed=st.integers(0, 10_000))
def test_the_deployed_network_is_the_unfolded_one(name: str, backward: bool, seed: int) -> None:
    net, x = random_network(name, seed, backward=backward), images(6, seed)
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        logits = net(torch.from_numpy(x), spikes=seen)
    graph = fold(net.layers())
    spikes, total = run_deployed(graph, x, 5)
    by_ones, same = run_deployed(graph, x, 5, batch=1)  # however many samples run together
    assert all(np.array_equal(by_ones[layer], fired) for layer, fired in spikes.items())
    np.testing.assert_allclose(same, total, rtol=1e-12)
    merged = graph.meta.get("merged", {})
    for layer, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        theirs = spikes[merged.get(layer, layer)].reshape(ours.shape)
        # float32 with a batch norm against folded float64: a membrane within rounding of the threshold may differ.
        assert (ours != theirs).mean() < 0.002, layer
    # One spike more or less moves a logit by a weight; most samples agree to rounding.
    close = np.isclose(total / 5, logits.numpy(), atol=1e-4).all(axis=1)
    assert close.mean() >= 0.5


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SPACES)
@few
@given(seed=st.integers(0, 10_000))
def test_nir_read_again_has_the_deployed_networks_spikes(
    name: str, backward: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    net, x = random_network(name, seed, backward=backward), images(4, seed)
    graph = fold(net.layers())
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    write_nir(path, graph)
    again = read_nir(path, use_metadata=bool(graph.delayed))
    spikes, total = run_deployed(graph, x, 5)
    run = interpreter.run(again, x, 5)
    assert set(run.spikes) == set(spikes)
    for layer, value in spikes.items():
        assert (value == run.spikes[layer]).all(), layer
    assert np.allclose(run.output.sum(axis=1).reshape(len(x), -1), total, atol=1e-9)


@few
@given(seed=st.integers(0, 10_000))
def test_a_cycle_without_metadata_is_refused_and_settled_by_naming_the_edge(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = fold(random_network("lightsnn", seed, backward=True).layers())
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    write_nir(path, graph)
    undelayed = replace(graph, delayed=frozenset())
    with pytest.raises(InvalidFileError, match=r"cycle through .* --delayed") if cyclic(undelayed) else nullcontext():
        read_nir(path, use_metadata=False)
    assert read_nir(path, use_metadata=False, delayed=graph.delayed).order() == graph.order()


@pytest.mark.parametrize("name", SPACES)
@few
@given(seed=st.integers(0, 10_000))
def test_the_program_is_close_to_the_graph_and_in_range(name: str, seed: int) -> None:
    net, x = random_network(name, seed), images(16, seed)
    graph = fold(net.layers())
    run = interpreter.run(graph, x, 5)
    rates = {n: float(s.mean()) for n, s in run.spikes.items()}
    program = compile_graph(graph, timesteps=5, rates=rates)
    trace, _ = next(simulate_input(program, x))
    differing = total = 0
    for population, node in program.meta["node_of"].items():
        ours = trace.spikes[population]
        differing += int((ours != run.spikes[node].reshape(ours.shape)).sum())
        total += ours.size
    assert differing < 0.05 * total


def test_or_populations_are_exact_and_called_so() -> None:
    net, x = random_network("lightsnn", 3), images(8)
    graph = fold(net.layers())
    program = compile_graph(graph, timesteps=5)
    gates = {p.id: p for p in program.populations if p.role == "or"}
    assert set(gates) == {"red1_pool", "red2_pool"}
    trace, _ = next(simulate_input(program, x))
    for name, source in (("red1_pool", "red1_lif"), ("red2_pool", "red2_lif")):
        b, t, c, h, w = trace.spikes[source].shape
        cut = trace.spikes[source][..., : h // 2 * 2, : w // 2 * 2]
        pooled = cut.reshape(b, t, c, h // 2, 2, w // 2, 2).any(axis=(4, 6))
        assert (trace.spikes[name] == pooled).all()


def test_thresholds_are_one_float_below_so_that_greater_means_at_least() -> None:
    graph = fold(random_network("lightsnn", 1).layers())
    lif = graph.nodes["head_lif"]
    assert isinstance(lif, Lif)
    assert np.nextafter(lif.v_threshold.reshape(-1)[0], np.float32(2)) == np.float32(1)


def _layers(**changes: object) -> list[dict]:
    layers = random_network("lightsnn", 2).layers()
    for layer in layers:
        if layer["name"] == "red1_lif":
            layer.update(changes)
    return layers


def test_a_soft_reset_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"layer red1_lif: a soft reset .* fine-tune .* hard reset"):
        fold(_layers(reset="subtract"))


def test_a_max_pool_over_currents_is_refused_by_name() -> None:
    layers = random_network("lightsnn", 2).layers()
    for layer in layers:
        if layer["name"] == "red1_pool":
            layer["inputs"] = ["red1_bn"]
    with pytest.raises(UnsupportedError, match=r"layer red1_pool: a max-pool over analogue currents .* behind the LIF"):
        fold(layers)


def test_an_unknown_layer_is_refused_by_name() -> None:
    layers = random_network("lightsnn", 2).layers()
    layers[3]["op"] = "softmax"
    with pytest.raises(UnsupportedError, match="softmax"):
        fold(layers)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nir

    graph = fold(random_network("lightsnn", 2).layers())
    path = tmp_path / "model.nir"
    write_nir(path, graph)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_nir(path, graph)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.nir"]


@pytest.mark.parametrize("name", SPACES)
def test_images_that_are_not_square_go_all_the_way(name: str, tmp_path: Path) -> None:
    net = random_network(name, 4, input_shape=(1, 12, 10))
    x = np.random.default_rng(0).random((6, 1, 12, 10), dtype=np.float32)
    graph = fold(net.layers())
    write_nir(tmp_path / "model.nir", graph)
    run = interpreter.run(read_nir(tmp_path / "model.nir", use_metadata=False), x, 5)
    spikes, total = run_deployed(graph, x, 5)
    assert all((spikes[n] == run.spikes[n]).all() for n in spikes)
    program = compile_graph(graph, timesteps=5)
    trace, _ = next(simulate_input(program, x))
    assert trace.logits.shape == total.shape == (6, 10)
    assert trace.spikes["head_lif"].shape[2:] == (24, 1, 1)


def _behind_a_pool(*before: Node) -> Graph:
    """Input -> LIF -> before ... -> SumPool2d -> a LIF that one spike makes fire -> output."""
    ones = np.ones((2, 4, 4), np.float32)
    pooled = np.ones((2, 2, 2), np.float32)

    def lif(like: np.ndarray, threshold: float) -> Lif:
        zero = np.zeros_like(like)
        return Lif(tau=like * np.float32(2e-4), r=like, v_leak=zero, v_threshold=like * threshold, v_reset=zero)

    nodes: dict[str, Node] = {"input": Input(shape=(2, 4, 4)), "a": lif(ones, 0.3)}
    chain = ["input", "a"]
    for k, node in enumerate(before):
        nodes[f"n{k}"] = node
        chain.append(f"n{k}")
    nodes |= {"pool": Pool(kernel=(2, 2), stride=(2, 2)), "gate": lif(pooled, 0.25), "output": Output(shape=(2, 2, 2))}
    chain += ["pool", "gate", "output"]
    return Graph(nodes=nodes, edges=tuple(pairwise(chain)))


def test_only_plain_sums_of_spikes_make_an_or() -> None:
    assert compile_graph(_behind_a_pool(), timesteps=3).population("gate").role == "or"
    weight = np.random.default_rng(1).normal(size=(2, 2, 1, 1)).astype(np.float32)
    graph = _behind_a_pool(Conv(weight=weight, bias=None))
    program = compile_graph(graph, timesteps=3)
    assert program.population("gate").role == "neuron"
    x = np.random.default_rng(2).random((32, 2, 4, 4), dtype=np.float32)
    trace, _ = next(simulate_input(program, x))
    assert (trace.spikes["gate"] != interpreter.run(graph, x, 3).spikes["gate"]).mean() < 0.02


def test_a_relay_weighs_as_much_as_what_it_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import snnas.export.compiler.quantise as module

    seen: dict[str, float] = {}

    def spy(setting: module.Setting, group: Group) -> object:
        seen.update({k.src: setting.rates.get(k.src, 1.0) for k in setting.links(group)})
        return real(setting, group)

    real = module._neuron
    monkeypatch.setattr(module, "_neuron", spy)
    net = network(Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "conv3x3"}),) * 2), 0)
    graph = fold(net.layers())
    compile_graph(graph, timesteps=5, rates=dict.fromkeys(graph.of_type(Lif), 0.125))
    assert seen["cell1_n0_lif_relay1"] == 0.125
