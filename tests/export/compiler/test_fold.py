"""What folding makes of a layer list, number by number, and what it refuses; the rewrites' meaning: test_rewrites."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.fold import fold
from snnas.export.dialects import conventions
from snnas.export.graph.graph import Conv, Delay, Flatten, Graph, Lif, Linear, Output, Pool
from snnas.hw_sim.errors import UnsupportedError, UsageError
from tests.export.compiler.test_rewrites import Layers, Net


def told(graph: Graph) -> dict[str, Any]:
    """All of a graph as plain values."""
    nodes = {
        name: (type(node).__name__, {f.name: np.asarray(getattr(node, f.name)).tolist() for f in fields(node)})
        for name, node in graph.nodes.items()
    }
    return {"nodes": nodes, "edges": graph.edges, "delayed": graph.delayed, "meta": dict(graph.meta)}


def own(value: Any) -> Any:
    """Equal, every text in it an object of its own, as those of a file are."""
    match value:
        case str():
            return "".join([*value])
        case list() | tuple():
            return type(value)(own(v) for v in value)
        case dict():
            return {own(k): own(v) for k, v in value.items()}
    return copy.deepcopy(value)


def everything() -> Layers:
    """Every kind of layer: a max-pool, average pools of spikes and currents, a skip, a delay, two LIFs that are one."""
    net = Net(5, size=(4, 4))
    stem = net.stem()
    a, twin = net.lif(stem, name="a"), net.lif(stem, name="twin")
    late = net.delay("b", (net.width, *net.size))
    pooled = net.pool("maxpool", a)
    b = net.lif(net.bn(net.conv(pooled)), net.pool("avgpool", net.conv(twin)), late, stem, name="b")
    return net.head(net.lif(net.pool("avgpool", net.bn(net.conv(b, a))), a, name="c"), net.neurons)


def test_texts_are_compared_as_text() -> None:
    layers = everything()
    assert told(fold(own(layers))) == told(fold(layers))


def test_a_folded_network_by_hand() -> None:
    """conv of weight 3 and bias 1; batch norm: gain 2 / sqrt(3.5 + 0.5) = 1, shift 5 - 7; then a LIF of tau 4."""
    conv = {"name": "k", "op": "conv", "inputs": ["x"], "weight": np.full((1, 1, 1, 2), 3.0), "bias": np.ones(1)}
    norm = {k: np.full(1, v) for k, v in {"gamma": 2.0, "beta": 5.0, "mean": 7.0, "var": 3.5}.items()}
    layers: Layers = [
        {"name": "x", "op": "input", "inputs": [], "shape": (1, 3, 3)},
        conv | {"stride": (2, 1), "pad": (0, 1)},
        {"name": "n", "op": "bn", "inputs": ["k"], **norm, "eps": 0.5},
        {"name": "a", "op": "lif", "inputs": ["n"], "tau": 4.0, "threshold": 0.5},
        {"name": "l", "op": "linear", "inputs": ["a"], "weight": np.arange(32.0).reshape(4, 8), "bias": None},
        {"name": "v", "op": "vote", "inputs": ["l"], "group": 2},
        {"name": "y", "op": "output", "inputs": ["v"]},
    ]
    graph = fold(layers, meta={"mine": 1})
    assert [*graph.nodes] == ["x", "k", "a", "l_flatten", "l", "y"]
    assert graph.edges == (("x", "k"), ("k", "a"), ("a", "l_flatten"), ("l_flatten", "l"), ("l", "y"))
    k, a, flatten, linear, y = (graph.nodes[name] for name in ("k", "a", "l_flatten", "l", "y"))
    assert isinstance(k, Conv)
    assert (k.weight.tolist(), k.stride, k.pad) == ([[[[3.0, 3.0]]]], (2, 1), (0, 1))
    assert k.bias is not None
    assert k.bias.tolist() == [1.0 - 7.0 + 5.0]
    assert isinstance(a, Lif)
    assert a.shape == (1, 2, 4)
    assert np.array_equal(a.tau, np.full(a.shape, conventions.tau_seconds(4.0), np.float32))
    assert np.array_equal(a.v_threshold, np.full(a.shape, conventions.deployed_threshold(0.5)))
    assert not a.v_leak.any()
    assert not a.v_reset.any()
    assert (a.r == 1).all()
    assert isinstance(flatten, Flatten)
    assert isinstance(linear, Linear)
    assert linear.weight.tolist() == [[*np.arange(4.0, 12.0)], [*np.arange(20.0, 28.0)]]
    assert linear.bias is not None
    assert linear.bias.tolist() == [0.0, 0.0]
    assert isinstance(y, Output)
    assert y.shape == (2,)
    assert (graph.meta, graph.delayed) == ({"mine": 1}, frozenset())
    assert all(array.dtype == np.float32 for array in (k.weight, k.bias, linear.weight, linear.bias))


def test_biases_and_gains_of_a_layer_go_where_it_goes() -> None:
    """A linear layer's bias is voted on as its weights are; the gain of a batch norm behind a skip is a convolution."""
    net = Net(0, size=(2, 2), width=1)
    a = net.lif(net.stem(), name="a")
    norm = {k: np.full(1, v) for k, v in {"gamma": 3.0, "beta": 2.0, "mean": 1.0, "var": 4.0}.items()}
    b = net.lif(net.add("bn", (a,), name="n", **norm, eps=0.0), name="b")
    weight = np.arange(16.0).reshape(4, 4)
    last = net.add("linear", (b,), name="l", weight=weight, bias=np.array([1.0, 3.0, 10.0, 30.0]))
    net.add("output", (net.add("vote", (last,), group=2),), name="output")
    graph = fold(net.layers)
    norm_node, linear = graph.nodes["n_of_a"], graph.nodes["l"]
    assert isinstance(norm_node, Conv)
    assert norm_node.weight.tolist() == [[[[1.5]]]]
    assert norm_node.bias is not None
    assert norm_node.bias.tolist() == [2.0 - 1.5]
    assert isinstance(linear, Conv)  # over the whole of a square map
    assert linear.weight.reshape(2, 4).tolist() == [[2.0, 3.0, 4.0, 5.0], [10.0, 11.0, 12.0, 13.0]]
    assert linear.bias is not None
    assert linear.bias.tolist() == [2.0, 20.0]
    assert graph.nodes["output"].shape == (2, 1, 1)  # type: ignore[union-attr]


def test_two_shifts_of_a_sum_are_added() -> None:
    """Neither has a bias to go to: each stands behind a padded average."""
    zeros = np.zeros((1, 1, 1, 1))
    net = Net(0, size=(4, 4), width=1)
    a = net.lif(net.stem(), name="a")

    def shifted(beta: float) -> str:
        flat = net.add("conv", (a,), weight=zeros, bias=None, stride=(1, 1), pad=(0, 0))
        ones = {k: np.ones(1) for k in ("gamma", "var")}
        pooled = net.pool("avgpool", flat)
        return net.add("bn", (pooled,), **ones, beta=np.full(1, beta), mean=np.zeros(1), eps=0.0)

    total = net.add("bn", (shifted(2.0), shifted(5.0), a), name="sum",
                    gamma=np.full(1, 3.0), var=np.ones(1), beta=np.full(1, 0.5), mean=np.ones(1), eps=0.0)  # fmt: skip
    graph = fold(net.head(net.lif(total, name="b"), 16))
    carried = graph.nodes["sum_of_a"]
    assert isinstance(carried, Conv)
    assert carried.weight.tolist() == [[[[3.0]]]]
    assert carried.bias is not None
    assert carried.bias.tolist() == [3 * 7.0 + 0.5 - 3.0]


def test_a_max_pool_is_a_sum_and_a_gate() -> None:
    net = Net(0, size=(4, 4))
    pooled = net.pool("maxpool", net.lif(net.stem(), name="a"), kernel=3, stride=2, pad=1)
    graph = fold(net.head(net.lif(net.conv(pooled), name="b"), 8))
    pool, gate = graph.nodes[f"{pooled}_sum"], graph.nodes[pooled]
    assert isinstance(pool, Pool)
    assert (pool.kernel, pool.stride, pool.pad, pool.average) == ((3, 3), (2, 2), (1, 1), False)
    assert isinstance(gate, Lif)
    assert gate.shape == (2, 2, 2)
    assert np.array_equal(gate.v_threshold, np.full(gate.shape, np.float32(conventions.OR_THRESHOLD)))
    assert np.array_equal(gate.tau, np.full(gate.shape, conventions.tau_seconds(conventions.OR_TAU_STEPS), np.float32))
    assert graph.sources(pooled) == [f"{pooled}_sum"]
    assert graph.sources(f"{pooled}_sum") == ["a"]
    assert not graph.delayed  # an OR is of its own timestep


def test_an_average_stands_behind_each_source() -> None:
    net = Net(0, size=(4, 4))
    a, b = net.lif(net.stem(), name="a"), net.lif(net.stem(), name="b")
    pooled = net.pool("avgpool", a, b, kernel=2, stride=2, pad=0)
    graph = fold(net.head(net.lif(pooled, name="c"), 8))
    for source in "ab":
        pool = graph.nodes[f"{pooled}_of_{source}"]
        assert isinstance(pool, Pool)
        assert (pool.kernel, pool.stride, pool.pad, pool.average) == ((2, 2), (2, 2), (0, 0), True)


@pytest.mark.parametrize("first", ["now", "late"])
def test_what_is_read_now_and_late_goes_through_a_delay_once(first: str) -> None:
    net = Net(7, size=(4, 4))
    late = net.delay("a", (net.width, *net.size))
    a = net.lif(net.stem(), name="a")
    inputs = (a, late) if first == "now" else (late, a)
    graph = fold(net.head(net.lif(*inputs, net.stem(), name="b"), net.neurons))
    delays = [(name, node.steps) for name, node in graph.nodes.items() if isinstance(node, Delay)]
    if delays:
        ((name, steps),) = delays
        assert steps == 1
        assert graph.sources(name) == ["a"]
        assert graph.delayed == frozenset()
        assert sorted(graph.sources("b"))[:2] == ["a", name]
    else:
        assert ("a", "b") in graph.delayed


def test_equal_nodes_of_one_source_are_shared_and_others_are_numbered() -> None:
    """One layer behind two sources is two nodes; the bias stands in the first alone."""
    net = Net(3, size=(4, 4))
    a, b = net.lif(net.stem(), name="a"), net.lif(net.stem(), name="b")
    shared = net.add("conv", (a, b), name="k", weight=np.ones((2, 2, 1, 1)), bias=np.ones(2), stride=(1, 1), pad=(0, 0))
    c, d = net.lif(shared, name="c"), net.lif(shared, a, name="d")
    graph = fold(net.head(net.lif(c, d, name="e"), net.neurons))
    assert [name for name in graph.nodes if name.startswith("k")] == ["k", "k_2"]
    assert (graph.sources("k"), graph.sources("k_2")) == (["a"], ["b"])
    k, k2 = graph.nodes["k"], graph.nodes["k_2"]
    assert isinstance(k, Conv)
    assert isinstance(k2, Conv)
    assert k.bias is not None
    assert k2.bias is not None
    assert (k.bias.tolist(), k2.bias.tolist()) == ([1.0, 1.0], [0.0, 0.0])


def refused(layers: Layers) -> str:
    with pytest.raises((UnsupportedError, UsageError)) as caught:
        fold(layers)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reset": "subtract"}, "layer b: a soft reset (by subtraction) has no counterpart in Loihi's LIF"),
        ({"decay_input": False}, "layer b: decay_input must be true; scale the weights by 1/tau instead"),
        ({"op": "softmax"}, "layer b: op 'softmax' has no counterpart on a chip"),
        ({"inputs": []}, "layer b is not connected to the input"),
        ({"inputs": ["a", "input"]}, "layer b adds shapes (1, 4, 4) and (2, 4, 4)"),
        ({"inputs": ["input", "a"]}, "layer b adds shapes (2, 4, 4) and (1, 4, 4)"),
    ],
)
def test_a_layer_that_no_chip_has_is_refused(change: dict[str, Any], said: str) -> None:
    net = Net(0, size=(4, 4))
    a = net.lif(net.stem(), name="a")
    net.lif(a, name="b")
    layers = net.head(net.lif(net.conv("b"), "a", name="c"), net.neurons)
    (layer,) = [y for y in layers if y["name"] == "b"]
    layer |= change
    assert refused(layers).startswith(said)


def test_currents_that_are_not_spikes_are_refused_where_spikes_are_needed() -> None:
    def net_of(build: Any) -> Layers:
        net = Net(0, size=(4, 4))
        a = net.lif(net.stem(), name="a")
        return net.head(net.lif(build(net, a), name="b"), net.neurons)

    late = net_of(lambda net, a: net.add("delay", (net.conv(a),), name="d", shape=(2, 4, 4)))
    assert refused(late) == "layer d: only spikes can wait a timestep; put the delay behind a LIF"
    twice = net_of(lambda net, a: net.add("delay", (net.delay(a, (2, 4, 4)),), name="d", shape=(2, 4, 4)))
    assert refused(twice) == "layer d: only spikes can wait a timestep; put the delay behind a LIF"
    pools = "a max-pool over analogue currents has no counterpart on a chip"
    for build in (
        lambda net, a: net.pool("maxpool", net.conv(a)),
        lambda net, a: net.pool("maxpool", a, net.lif(net.conv(a))),
    ):
        assert pools in refused(net_of(build))
    net = Net(0, size=(4, 4))
    net.lif(net.conv(net.pool("maxpool", "input"), outof=1), name="b")
    assert pools in refused(net.head("b", net.neurons))
    weights = "reads a current that already has weights; put a LIF between them"
    assert weights in refused(net_of(lambda net, a: net.conv(net.conv(a))))
    assert weights in refused(net_of(lambda net, a: net.conv(net.pool("avgpool", net.conv(a)))))
    assert weights in refused(net_of(lambda net, a: net.conv(net.bn(a))))
    net = Net(0, size=(4, 4))
    net.lif(net.conv(net.pool("avgpool", net.lif(net.stem()))), name="b")
    assert fold(net.head("b", net.neurons)).of_type(Lif)  # a pool has no weights


def test_a_constant_that_no_weights_carry_gets_a_convolution_of_zeros() -> None:
    """Of 3 channels from 2, at the map's size: the shift of a padded average, which shrinks at the border."""
    net = Net(0, size=(4, 4))
    small = net.lif(net.pool("avgpool", net.stem(), kernel=2, stride=2, pad=0), name="small")
    a = net.lif(net.stem(), name="a")
    wide = net.add("conv", (a,), weight=np.ones((3, 2, 1, 1)), bias=None, stride=(1, 1), pad=(0, 0))
    over = net.pool("avgpool", net.pool("avgpool", wide))
    norm = {k: np.full(3, v) for k, v in {"gamma": 1.0, "var": 1.0, "mean": 0.0}.items()}
    shifted = net.add("bn", (over,), name="n", **norm, beta=np.array([1.0, 2.0, 3.0]), eps=0.0)
    fed = net.add("conv", (small,), weight=np.ones((3, 2, 1, 1)), bias=None, stride=(1, 1), pad=(1, 1))
    b = net.lif(net.pool("avgpool", shifted), name="b")
    graph = fold(net.head(net.lif(net.conv(b, into=2, outof=3), name="c"), net.neurons))
    assert fed not in graph.nodes  # nobody reads it
    (name,) = [n for n, node in graph.nodes.items() if isinstance(node, Conv) and not node.weight.any()]
    node = graph.nodes[name]
    assert isinstance(node, Conv)
    assert (node.weight.shape, node.stride, node.pad) == ((3, 2, 1, 1), (1, 1), (0, 0))
    assert node.bias is not None
    assert node.bias.tolist() == [1.0, 2.0, 3.0]
    assert graph.sources(name) == ["a"]
    readers = [dst for src, dst in graph.edges if src == name]
    assert [type(graph.nodes[r]).__name__ for r in readers] == ["Pool"]


def test_the_input_carries_a_constant_where_no_neuron_does() -> None:
    net = Net(0, size=(4, 4), width=2)
    norm = {"gamma": np.ones(2), "var": np.ones(2), "mean": np.zeros(2), "beta": np.array([1.0, 2.0])}
    shifted = net.add("bn", (net.pool("avgpool", net.conv("input", outof=1)),), name="n", **norm, eps=0.0)
    graph = fold(net.head(net.lif(net.pool("avgpool", shifted), name="a"), net.neurons))
    (name,) = [n for n, node in graph.nodes.items() if isinstance(node, Conv) and not node.weight.any()]
    assert graph.sources(name) == ["input"]
    assert graph.nodes[name].weight.shape == (2, 1, 1, 1)  # type: ignore[union-attr]


def test_a_vote_leaves_what_stands_before_its_layer() -> None:
    net = Net(0, size=(4, 4))
    pooled = net.pool("avgpool", net.lif(net.stem(), name="a"), kernel=2, stride=2, pad=0)
    graph = fold(net.head(pooled, net.neurons // 4, classes=3, group=2))
    assert [type(graph.nodes[n]).__name__ for n in graph.order()] == ["Input", "Conv", "Lif", "Pool", "Conv", "Output"]
    assert graph.nodes[graph.order()[-2]].weight.shape == (3, 2, 2, 2)  # type: ignore[union-attr]


def test_a_flat_neuron_is_read_as_it_is() -> None:
    """Behind a map that is not square, one layer flattens it; the next one finds it flat."""
    net = Net(0, size=(2, 3))
    a = net.lif(net.stem(), name="a")
    wide = net.add("linear", (a,), name="l", weight=np.ones((5, net.neurons)), bias=None)
    graph = fold(net.head(net.lif(wide, name="b"), 5, classes=2, group=1))
    b, a_node = graph.nodes["b"], graph.nodes["a"]
    assert isinstance(b, Lif)
    assert isinstance(a_node, Lif)
    assert b.shape == (5,)
    assert a_node.shape == (2, 2, 3)
    assert all(getattr(b, f).shape == (5,) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset"))
    assert [type(graph.nodes[n]).__name__ for n in graph.order()[3:]] == [
        "Flatten",
        "Linear",
        "Lif",
        "Linear",
        "Output",
    ]
    assert graph.nodes["output"].shape == (2,)  # type: ignore[union-attr]


def test_edges_stand_in_the_order_in_which_they_are_needed() -> None:
    graph = fold(everything())
    place = {name: k for k, name in enumerate(graph.nodes)}
    assert list(graph.nodes) == graph.order()
    assert list(graph.edges) == sorted(graph.edges, key=lambda e: (place[e[1]], place[e[0]]))
    targets, sources = [e[1] for e in graph.edges], [e[0] for e in graph.edges]
    assert sorted(sources, key=place.__getitem__) != sources
    assert max(targets.count(t) for t in targets) > 1


def test_a_layer_may_stand_before_what_it_reads() -> None:
    """In whatever order layers are listed, a neuron is a neuron, and reads all that it is said to read."""
    layers = everything()
    whole, turned = fold(layers), fold([layers[0], *reversed(layers[1:])])
    assert sorted(type(n).__name__ for n in turned.nodes.values()) == sorted(
        type(n).__name__ for n in whole.nodes.values()
    )
    assert len(turned.edges) == len(whole.edges)


def _conv(graph: Graph, name: str) -> tuple[list[Any], list[float]]:
    node = graph.nodes[name]
    assert isinstance(node, Conv)
    assert node.bias is not None
    return node.weight.tolist(), node.bias.tolist()


def test_layers_of_equal_weights_and_other_biases_are_two() -> None:
    """A batch norm of gain 1 behind one of two readers of a convolution; one of gain 2 behind another."""
    net = Net(3, size=(4, 4))
    a = net.lif(net.stem(), name="a")
    shared = net.add("conv", (a,), name="k", weight=np.ones((2, 2, 1, 1)), bias=None, stride=(1, 1), pad=(0, 0))
    plain = {"var": np.ones(2), "mean": np.zeros(2), "eps": 0.0}
    shifted = net.add("bn", (shared,), gamma=np.ones(2), beta=np.full(2, 5.0), **plain)
    doubled = net.add("bn", (shared,), gamma=np.full(2, 2.0), beta=np.zeros(2), **plain)
    readers = [net.lif(source, name=name) for source, name in ((shared, "c"), (shifted, "d"), (doubled, "e"))]
    again = net.lif(shared, a, name="f")
    graph = fold(net.head(net.lif(*readers, again, name="g"), net.neurons))
    ones = np.ones((2, 2, 1, 1))
    assert [name for name in graph.nodes if name.startswith("k")] == ["k", "k_2", "k_3"]
    assert [graph.sources(r)[0] for r in "cdef"] == ["k", "k_2", "k_3", "a"]
    assert graph.sources("f") == ["a", "k"]
    assert _conv(graph, "k") == (ones.tolist(), [0.0, 0.0])
    assert _conv(graph, "k_2") == (ones.tolist(), [5.0, 5.0])
    assert _conv(graph, "k_3") == ((2 * ones).tolist(), [0.0, 0.0])


def test_what_is_added_twice_counts_twice() -> None:
    """Of two channels: a diagonal of 2, and weights doubled."""
    net = Net(3, size=(4, 4))
    a = net.lif(net.stem(), name="a")
    k = net.add("conv", (a,), name="k", weight=np.ones((2, 2, 1, 1)), bias=np.ones(2), stride=(1, 1), pad=(0, 0))
    graph = fold(net.head(net.lif(a, k, a, k, name="b"), net.neurons))
    assert _conv(graph, "b_of_a") == ([[[[2.0]], [[0.0]]], [[[0.0]], [[2.0]]]], [0.0, 0.0])
    assert _conv(graph, "k") == (np.full((2, 2, 1, 1), 2.0).tolist(), [2.0, 2.0])


def test_a_constant_is_carried_by_a_source_of_its_size() -> None:
    """Not by one that is smaller, though it comes first."""
    net = Net(0, size=(4, 4))
    small = net.lif(net.pool("avgpool", net.stem(), kernel=2, stride=2, pad=0), name="small")
    a = net.lif(net.stem(), name="a")
    grown = net.add("conv", (small,), weight=np.ones((2, 2, 1, 1)), bias=None, stride=(1, 1), pad=(1, 1))
    norm = {"gamma": np.ones(2), "var": np.ones(2), "mean": np.zeros(2), "beta": np.array([1.0, 2.0])}
    shifted = net.add("bn", (net.pool("avgpool", grown), net.pool("avgpool", a)), name="n", **norm, eps=0.0)
    graph = fold(net.head(net.lif(net.pool("avgpool", shifted), name="b"), net.neurons))
    (name,) = [n for n, node in graph.nodes.items() if isinstance(node, Conv) and not node.weight.any()]
    assert graph.sources(name) == ["a"]


def test_a_flat_neuron_that_neurons_alone_read_stays_flat() -> None:
    net = Net(0, size=(2, 3))
    a = net.lif(net.stem(), name="a")
    wide = net.add("linear", (a,), name="l", weight=np.ones((5, net.neurons)), bias=None)
    b = net.lif(wide, name="b")
    graph = fold(net.head(net.lif(b, wide, name="c"), 5, classes=2, group=1))
    for name in "bc":
        node = graph.nodes[name]
        assert isinstance(node, Lif)
        assert node.shape == (5,)
