"""The rewrites that make a network deployable, each against an executor that knows none of them; three cases in Lava.

Layer lists are made by hand from dyadic numbers (weights in eighths, batch norms whose gains and shifts are dyadic),
so that folding loses nothing in float32: spikes must be equal, not close. Thresholds are none of the values that such
currents can reach: a tie would be settled by the rounding of tau.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.compiler.layer_list import merged_layers
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Conv, Graph, Lif, Pool
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.bench.conformance import take
from snnas.toolchain.bench.in_lava import compare_in_lava
from snnas.toolchain.bench.random_networks import draw
from snnas.toolchain.exporting.on_target import reference

STEPS = 4
Layers = list[dict[str, Any]]
seeds = given(seed=st.integers(0, 1 << 30))
examples = settings(max_examples=40, derandomize=True)


# --------------------------------------------------------------------------------------------- an executor of its own


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float64))


def channels(array: np.ndarray) -> torch.Tensor:
    return tensor(array)[:, None, None]


def batch_norm(v: torch.Tensor, y: dict[str, Any]) -> torch.Tensor:
    return (v - channels(y["mean"])) / (channels(y["var"]) + y["eps"]).sqrt() * channels(y["gamma"]) + channels(
        y["beta"]
    )


def bias(y: dict[str, Any]) -> torch.Tensor:
    return torch.zeros(len(y["weight"])).double() if y["bias"] is None else tensor(y["bias"])


def linear(v: torch.Tensor, y: dict[str, Any]) -> torch.Tensor:
    return (v.flatten(1) @ tensor(y["weight"]).T + bias(y))[:, :, None, None]


OPS: dict[str, Callable[[torch.Tensor, dict[str, Any]], torch.Tensor]] = {
    "conv": lambda v, y: F.conv2d(v, tensor(y["weight"]), bias(y), y["stride"], y["pad"]),
    "bn": batch_norm,
    "maxpool": lambda v, y: F.max_pool2d(v, y["kernel"], y["stride"], y["pad"]),
    "avgpool": lambda v, y: F.avg_pool2d(v, y["kernel"], y["stride"], y["pad"]),
    "linear": linear,
    "vote": lambda v, y: v.unflatten(1, (-1, y["group"])).mean(2),
    "output": lambda v, y: v,
}


def execute(layers: Layers, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spikes {LIF: bool (B, T, C, H, W)} and the output summed over time (B, classes); every layer, step by step."""
    membrane: dict[str, Any] = {}
    past: dict[str, torch.Tensor] = {}
    spikes: dict[str, list[torch.Tensor]] = {y["name"]: [] for y in layers if y["op"] == "lif"}
    total: Any = 0.0
    for _ in range(STEPS):
        now: dict[str, Any] = {"input": tensor(x)}
        for y in layers[1:]:
            name = y["name"]
            if y["op"] == "delay":
                now[name] = past.get(y["inputs"][0], torch.zeros(len(x), *y["shape"], dtype=torch.float64))
                continue
            value = sum(now[n] for n in y["inputs"])
            if y["op"] == "lif":
                v = membrane.get(name, 0.0)
                v = v + (value - v) / y["tau"]
                now[name] = (v >= y["threshold"]).double()
                membrane[name] = v * (1 - now[name])
                spikes[name].append(now[name])
            else:
                now[name] = OPS[y["op"]](value, y)
        past, total = now, total + now["output"]
    return {n: torch.stack(s, dim=1).bool().numpy() for n, s in spikes.items()}, total.flatten(1).numpy()


def agree(layers: Layers, seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Folds, runs both, and asserts that every LIF of the network has the spikes of the one that stands for it."""
    shape = layers[0]["shape"]
    x = np.random.default_rng(seed).integers(0, 9, (3, *shape)).astype(np.float32) / 8
    expected, total = execute(layers, x)
    graph = fold(layers)
    run = interpreter.run(graph, x, STEPS)
    for name, spikes in expected.items():
        stands = graph.meta.get("merged", {}).get(name, name)
        assert (spikes == run.spikes[stands].reshape(spikes.shape)).all(), name
    assert np.allclose(run.output.sum(axis=1).reshape(len(x), -1), total, atol=1e-5)
    return graph, expected


def alive(spikes: dict[str, np.ndarray], *names: str) -> bool:
    """Whether each of these fires, and not always: what compares nothing shows nothing."""
    return all(spikes[n].any() and not spikes[n].all() for n in names)


# ------------------------------------------------------------------------------------------------- hand-made networks


class Net:
    """A layer list that grows; every method returns the new layer's name."""

    def __init__(self, seed: int, size: tuple[int, int] = (5, 6), width: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        self.width, self.size = width, size
        self.layers: Layers = []
        self.add("input", (), name="input", shape=(1, *size), kind="analogue", range=(0.0, 1.0))

    def add(self, op: str, inputs: Any, *, name: str = "", **values: Any) -> str:
        name = name or f"{op}{len(self.layers)}"
        self.layers.append({"name": name, "op": op, "inputs": list(inputs), **values})
        return name

    def conv(self, *inputs: str, kernel: int = 3, into: int | None = None, outof: int | None = None) -> str:
        shape = (into or self.width, outof or self.width, kernel, kernel)
        weight = self.rng.integers(-6, 11, shape).astype(np.float32) / 8
        pad = kernel // 2
        return self.add("conv", inputs, weight=weight, bias=None, stride=(1, 1), pad=(pad, pad))

    def bn(self, *inputs: str) -> str:
        """Gains .25 to 2, shifts in sixteenths: exact in float32."""
        deviation = 2.0 ** self.rng.integers(-1, 2, self.width)
        gamma = deviation * 2.0 ** self.rng.integers(-1, 2, self.width)
        mean, beta = (self.rng.integers(-4, 5, self.width) / 8 for _ in range(2))
        arrays = {"gamma": gamma, "beta": beta, "mean": mean, "var": deviation**2}
        return self.add("bn", inputs, **{k: v.astype(np.float32) for k, v in arrays.items()}, eps=0.0)

    def lif(self, *inputs: str, tau: float = 2.0, threshold: float = 0.99, name: str = "") -> str:
        return self.add("lif", inputs, name=name, tau=tau, threshold=threshold, decay_input=True, reset="zero")

    def pool(self, op: str, *inputs: str, kernel: int = 3, stride: int = 1, pad: int = 1) -> str:
        return self.add(op, inputs, kernel=(kernel, kernel), stride=(stride, stride), pad=(pad, pad))

    def delay(self, source: str, shape: tuple[int, int, int]) -> str:
        return self.add("delay", (source,), shape=shape)

    def stem(self) -> str:
        return self.bn(self.conv("input", outof=1))

    def head(self, source: str, neurons: int, classes: int = 3, group: int = 2) -> Layers:
        weight = self.rng.integers(-4, 5, (classes * group, neurons)).astype(np.float32) / 8
        last = self.add("linear", (source,), weight=weight, bias=None)
        self.add("output", (self.add("vote", (last,), group=group),), name="output")
        return self.layers

    @property
    def neurons(self) -> int:
        return self.width * self.size[0] * self.size[1]


def program_of(graph: Graph, *, seed: int = 0, parts: float = 0.05) -> Program:
    """The compiled program; its spikes part from the graph's in at most this share of neuron-timesteps."""
    x = np.random.default_rng(seed).random((6, *graph.shapes()[graph.input]), dtype=np.float32)
    run = interpreter.run(graph, x, STEPS)
    program = compile_graph(graph, timesteps=STEPS, rates={n: float(s.mean()) for n, s in run.spikes.items()})
    program.verify()
    ran, _ = next(simulate_input(program, x))
    pairs = [(ran.spikes[p], run.spikes[n].reshape(ran.spikes[p].shape)) for p, n in program.meta["node_of"].items()]
    assert sum(int((a != b).sum()) for a, b in pairs) <= parts * sum(a.size for a, _ in pairs)
    return program


# ------------------------------------------------------------------------------- 1. one population per node and affine


@examples
@seeds
def test_lifs_that_read_the_same_value_alike_are_one_population(seed: int) -> None:
    net = Net(seed)
    value = [net.stem(), net.bn(net.conv("input", outof=1))]
    kinds = [(2.0, 0.99), (2.0, 0.74), (4.0, 0.99)]
    drawn = [kinds[int(net.rng.integers(3))] for _ in range(4)]
    readers = [net.lif(*net.rng.permutation(value), tau=tau, threshold=theta) for tau, theta in drawn]
    # A second generation: equal only once the first is merged.
    base = net.stem()
    second = [net.lif(reader, base) for reader in readers]
    layers = net.head(net.lif(*(net.conv(s) for s in second)), net.neurons)
    graph, spikes = agree(layers, seed)
    assume(alive(spikes, *readers, *second))
    distinct = len(set(drawn))
    assert len(graph.of_type(Lif)) == 2 * distinct + 1
    stands = {n: graph.meta.get("merged", {}).get(n, n) for n in readers}
    for a in range(4):
        for b in range(4):
            assert (stands[readers[a]] == stands[readers[b]]) == (drawn[a] == drawn[b])
    program = program_of(graph)
    assert sum(p.role == "neuron" for p in program.populations) == 2 * distinct + 1
    assert sum(p.size for p in program.populations if p.role == "neuron") == (2 * distinct + 1) * net.neurons


def test_another_value_is_another_population_even_where_spikes_are_equal() -> None:
    net = Net(1)
    stem = net.stem()
    a, b = net.lif(stem), net.lif(stem, stem)  # a name that stands twice counts twice
    graph, spikes = agree(net.head(net.lif(net.conv(a), net.conv(b)), net.neurons), 1)
    assert len(graph.of_type(Lif)) == 3
    assert (spikes[a] != spikes[b]).any()


# ------------------------------------------------------------------------------------------ 2. forward skips vanish


@examples
@seeds
def test_forward_skips_vanish(seed: int) -> None:
    """Four nodes; a skip adds a node's whole value. It costs no neuron: every synapse feeds one more population."""
    net = Net(seed)
    values: list[list[str]] = [[net.stem()]]
    lifs: list[str] = []
    for j in range(1, 4):
        lifs.append(net.lif(*values[j - 1]))
        sources = [lifs[-1], *(s for s in lifs if net.rng.integers(2))]
        convolved = [net.bn(net.conv(s)) for s in sources]
        skipped = [n for i in range(j) if net.rng.integers(2) for n in values[i]]
        values.append(convolved + skipped)
    last = net.lif(*values[3])
    graph, spikes = agree(net.head(last, net.neurons), seed)
    assume(alive(spikes, *lifs, last))
    # Distinct terms of each node, which are its synapses; neurons: the four LIFs and no more.
    circuit = trace(graph, "analogue")
    assert {g.id for g in circuit.groups} == {*lifs, last}
    for value, name in zip(values, [*lifs, last], strict=True):
        into = [k for k in (*circuit.links, *circuit.host) if k.dst == name]
        assert len(into) == len(set(value))
    program = program_of(graph)
    relays = [p.id for p in program.populations if p.role == "relay"]
    depth = {p: program.schedule.depth[p] for p in [*lifs, last]}
    for source in lifs:  # a relay fills a wait of a synapse that skips a level, nothing else
        readers = [depth[k.dst] for k in circuit.links if k.src == source]
        wait = max([r - depth[source] - 1 for r in readers], default=0)
        assert sum(r.startswith(f"{source}_relay") for r in relays) == wait
    assert not any(s.src == "input" for s in program.synapses)


def test_a_skip_of_the_stem_needs_neither_neuron_nor_relay() -> None:
    net = Net(5)
    stem = net.stem()
    a = net.lif(stem)
    b = net.lif(net.conv(a), stem)
    graph, _ = agree(net.head(net.lif(net.conv(b), stem), net.neurons), 5)
    program = program_of(graph)
    assert [p.role for p in program.populations] == ["neuron"] * 3
    assert len(program.host) == 3


# --------------------------------------------------------------------- 3. batch norm, voting and average pooling fold


def tail(net: Net, source: str, parts: str) -> str:
    """Layers behind ``source`` by letter: c convolution, p padded average, h halving average, b batch norm."""
    for part in parts:
        match part:
            case "c":
                source = net.conv(source)
            case "b":
                source = net.bn(source)
            case "p":
                source = net.pool("avgpool", source)
            case "h":
                source = net.pool("avgpool", source, kernel=2, stride=2, pad=0)
    return source


TAILS = ["c", "cb", "cbp", "cp", "cpb", "cbpb", "cppb", "cpbp", "pc", "pcb", "pcbpb", "p", "pb", "pbp", "ppb", "b"]


@pytest.mark.parametrize("first", TAILS)
@settings(max_examples=15, derandomize=True)
@given(seed=st.integers(0, 1 << 30), second=st.sampled_from(TAILS), over=st.booleans())
def test_batch_norms_and_average_pools_fold_to_the_border(first: str, seed: int, second: str, over: bool) -> None:
    """Two terms, summed; ``over``: a batch norm, a pool and a batch norm act on the sum with both terms' constants."""
    net = Net(seed, size=(4, 6))
    a = net.lif(net.stem(), name="a")
    terms = [tail(net, a, first), tail(net, a, second)]
    if over:
        terms = [tail(net, net.add("bn", terms, **_plain(net)), "pb"), terms[0]]
    graph, _ = agree(net.head(net.lif(*terms, threshold=0.74, name="b"), net.neurons), seed)
    assert len(graph.of_type(Lif)) == 2
    try:
        program = program_of(graph)
    except UnsupportedError as error:  # a term that the random batch norms have left next to nothing
        assume("rounds to 0" not in str(error))
        raise
    assert [p.role for p in program.populations] == ["neuron", "neuron"]


@examples
@given(
    seed=st.integers(0, 1 << 30), tails=st.tuples(*[st.sampled_from(["h", "ch", "cbh", "cbhp", "chpp", "hcbp"])] * 2)
)
def test_averages_that_halve_fold_too(seed: int, tails: tuple[str, str]) -> None:
    """SNASNet's reduction, LIF - conv - BN - average, and padded averages behind it."""
    net = Net(seed, size=(4, 6))
    a = net.lif(net.stem(), name="a")
    b = net.lif(*(tail(net, a, t) for t in tails), threshold=0.49, name="b")
    graph, _ = agree(net.head(b, net.neurons // 4), seed)
    assert [p.role for p in program_of(graph).populations] == ["neuron", "neuron"]


def test_a_constant_that_nothing_of_its_size_can_carry_is_refused_by_name() -> None:
    net = Net(0, size=(4, 4))
    b = net.lif(tail(net, net.lif(net.stem()), "chpb"), name="b")
    with pytest.raises(UnsupportedError, match=r"layer b: no source of size \(2, 2\) can carry its constant current"):
        fold(net.head(b, net.neurons // 4))


def _plain(net: Net) -> dict[str, Any]:
    """The parameters of a random batch norm, to be added with several inputs."""
    net.bn("input")
    drawn = net.layers.pop()
    return {k: v for k, v in drawn.items() if k not in ("name", "op", "inputs")}


def test_a_constant_current_shrinks_at_the_border_of_a_padded_average() -> None:
    """A batch norm's shift of 1 behind zero weights, averaged over 3x3: 4/9 in corners, 6/9 on edges, 1 inside."""
    net = Net(0, size=(4, 4), width=1)
    zero = np.zeros((1, 1, 1, 1), np.float32)
    a = net.lif(net.add("conv", ["input"], weight=zero + 4, bias=None, stride=(1, 1), pad=(0, 0)), name="a")
    dead = net.add("conv", [a], weight=zero, bias=None, stride=(1, 1), pad=(0, 0))
    ones = {k: np.ones(1, np.float32) for k in ("gamma", "beta", "var")}
    constant = net.add("bn", [dead], **ones, mean=np.zeros(1, np.float32), eps=0.0)
    b = net.lif(net.pool("avgpool", constant), tau=2.0, threshold=0.4, name="b")
    graph, spikes = agree(net.head(b, 16), 0)
    assert spikes[b][0, 0, 0].sum() == 4  # at once where the current is 1: v = .5
    program = program_of(graph)
    bias = program.population("b").bias[0].astype(float)
    assert bias[1, 1] == bias.max()
    assert np.round(bias / bias.max() * 9).astype(int).tolist() == [
        [4, 6, 6, 4],
        [6, 9, 9, 6],
        [6, 9, 9, 6],
        [4, 6, 6, 4],
    ]
    trace_, _ = next(simulate_input(program, np.zeros((1, 1, 4, 4), np.float32)))
    assert (trace_.spikes["b"][0] == spikes[b][0]).all()


@examples
@seeds
def test_voting_folds_into_the_last_linear(seed: int) -> None:
    net = Net(seed)
    group = int(2 ** net.rng.integers(0, 3))
    graph, _ = agree(net.head(net.lif(net.stem(), name="a"), net.neurons, classes=4, group=group), seed)
    program = program_of(graph)
    assert program.readout.readings[0].weight.shape == (4, net.neurons)
    assert [p.id for p in program.populations] == ["a"]
    voted = net.layers[-3]["weight"].reshape(4, group, -1).mean(1)
    assert np.allclose(
        program.readout.readings[0].weight / program.readout.scale, voted, atol=0.51 / program.readout.scale
    )


# ------------------------------------------------------------------------------------------- 4. max-pool on spikes: OR


@examples
@given(
    seed=st.integers(0, 1 << 30),
    window=st.sampled_from([(2, 2, 0), (3, 1, 1), (3, 2, 1), (2, 1, 0), (3, 3, 0), (2, 2, 1)]),
)
def test_a_max_pool_on_spikes_is_an_or(seed: int, window: tuple[int, int, int]) -> None:
    kernel, stride, pad = window
    net = Net(seed, size=(6, 7))
    a = net.lif(net.stem(), threshold=1.49, name="a")
    pooled = net.pool("maxpool", a, kernel=kernel, stride=stride, pad=pad)
    h, w = ((n + 2 * pad - kernel) // stride + 1 for n in net.size)
    b = net.lif(net.bn(net.conv(pooled)), name="b")
    graph, spikes = agree(net.head(b, net.width * h * w), seed)
    assume(alive(spikes, a))
    program = program_of(graph)
    assert [p.role for p in program.in_order] == ["neuron", "or", "neuron"]
    assert [n for n, node in graph.nodes.items() if isinstance(node, Pool)] == [f"{pooled}_sum"]
    x = np.random.default_rng(seed).random((4, 1, *net.size), dtype=np.float32)
    ran, _ = next(simulate_input(program, x))
    source = torch.from_numpy(ran.spikes["a"].reshape(-1, net.width, *net.size)).double()
    wanted = F.max_pool2d(source, kernel, stride, pad).bool().numpy()
    assert (ran.spikes[pooled].reshape(wanted.shape) == wanted).all()


# ------------------------------------------------------------------------------------------ 5. what comes back, delayed


@examples
@seeds
def test_backward_terms_arrive_one_timestep_late(seed: int) -> None:
    """Backward convolutions, skips and averages among three nodes, self-loops too; biases act from the first step."""
    net = Net(seed)
    names = ["n0", "n1", "n2"]
    late = {n: net.delay(n, (net.width, *net.size)) for n in names if net.rng.integers(4)}
    kinds: list[Callable[[str], str]] = [lambda s: net.bn(net.conv(s)), lambda s: s, lambda s: net.pool("avgpool", s)]
    values = [[net.stem()], [], []]
    returning = 0
    for source, waiting in late.items():
        for target in range(names.index(source) + 1):
            if net.rng.integers(2):
                values[target].append(kinds[int(net.rng.integers(3))](waiting))
                returning += 1
    for j, name in enumerate(names):
        net.lif(*values[j], name=name)
        for k in range(j + 1, 3):
            if k == j + 1 or net.rng.integers(2):
                values[k].append(net.bn(net.conv(name)))
    layers = [y for y in net.layers if y["op"] != "delay" or any(y["name"] in z["inputs"] for z in net.layers)]
    net.layers = layers
    graph, spikes = agree(net.head("n2", net.neurons), seed)
    assume(alive(spikes, "n1"))
    circuit = trace(graph, "analogue")
    assert {g.id for g in circuit.groups} == set(names)
    assert sum(k.distance for k in circuit.links) == returning
    program = program_of(graph)
    assert program.schedule.blank == int(returning > 0)
    assert program.recurrent == (returning > 0)


def test_a_source_may_be_read_now_and_late_by_one_reader() -> None:
    net = Net(7)
    late = net.delay("a", (net.width, *net.size))
    a = net.lif(net.stem(), name="a")
    shared = net.conv(a)
    b = net.lif(net.bn(shared), late, a, a, name="b")
    graph, spikes = agree(net.head(b, net.neurons), 7)
    assert graph.delayed == {("a", "b")}
    assert alive(spikes, "a", "b")
    into = [k for k in trace(graph, "analogue").links if k.dst == "b"]
    assert sorted(k.distance for k in into) == [0, 0, 1]


def test_equal_convolutions_of_two_readers_are_one_node() -> None:
    net = Net(3)
    a = net.lif(net.stem())
    shared = net.conv(a)
    b, c = net.lif(shared), net.lif(shared, a)
    graph, _ = agree(net.head(net.lif(net.conv(b), net.conv(c)), net.neurons), 3)
    assert sum(isinstance(n, Conv) and n.weight.shape[1:] == (2, 3, 3) for n in graph.nodes.values()) == 3
    assert graph.sources(b) == [shared]


@pytest.mark.parametrize("size", [(5, 5), (5, 6)])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_bias_behind_a_sum_of_two_sources_is_added_once(kind: str, size: tuple[int, int]) -> None:
    bias = np.array([0.125, 0.25, 0.375, 0.5], np.float32)
    living = 0
    for seed in range(8):
        net = Net(seed, size)
        stem = net.stem()
        a = net.lif(stem)
        b = net.lif(net.conv(a))
        if kind == "conv":
            weight = net.rng.integers(-6, 11, (4, 2, 3, 3)).astype(np.float32) / 8
            summed = net.add("conv", (a, b), weight=weight, bias=bias, stride=(1, 1), pad=(1, 1))
        else:
            weight = net.rng.integers(-4, 7, (4, net.neurons)).astype(np.float32) / 16
            summed = net.add("linear", (a, b), weight=weight, bias=bias)
        reader = net.lif(summed, threshold=0.72)
        neurons = 4 * (size[0] * size[1] if kind == "conv" else 1)
        graph, spikes = agree(net.head(reader, neurons), seed)
        living += alive(spikes, a, b, reader)
        current = interpreter.constant_currents(graph)[reader].reshape(4, -1)
        assert np.array_equal(current, np.broadcast_to(bias[:, None], current.shape))
    assert living >= 2


def test_neurons_that_take_their_input_otherwise_are_not_one() -> None:
    lif = {"op": "lif", "inputs": ["in"], "tau": 2.0, "threshold": 1.0}
    for other in ({"decay_input": False}, {"reset": "subtract"}, {"tau": 3.0}, {"threshold": 2.0}):
        kept, gone = merged_layers([{"name": "a", **lif}, {"name": "b", **lif, **other}, {"name": "c", **lif}])
        assert ([*kept], gone) == (["a", "b"], {"c": "a"})


# -------------------------------------------------------------------------------------------------------------- Lava


@pytest.mark.lava
@pytest.mark.parametrize(("kind", "index"), [("both directions", 0), ("average pools", 3), ("feed-forward", 2)])
def test_random_genotypes_are_exact_in_stock_lava(kind: str, index: int, lava_python: Path, tmp_path: Path) -> None:
    """Three samples back to back in one run: every population, every timestep."""
    case, config = draw(0, index, 3)
    case = take(case, config, 0, tmp_path)
    assert case.program is not None, case.refusal
    assert case.nir_differing == 0
    synapses = {s.map.kind for s in case.program.synapses}
    if kind == "both directions":
        assert any({(i, j), (j, i)} <= set(cell.live()) for cell in case.genotype.cells for i, j in cell.live())
        assert case.program.schedule.period > 1
    else:
        assert not case.recurrent
        assert ("pooled_conv" in synapses) == (kind == "average pools")
    comparison, _ = compare_in_lava(case.program, reference(case.program, case.x), lava_python)
    assert comparison.samples == 3
    assert comparison.differing_spikes == 0, comparison.first
