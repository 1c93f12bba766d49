"""Each node of NIR, alone and in a small net: our executors against plain Python, the program against the graph.

The weights are short binary fractions, so that int8 holds them and no spike may differ by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.dialects.conventions import Convention
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.hw_sim.simulate.simulator import simulate
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from tests.export.nir_nets import DT, conv, cuba, dyadic, full, graph_of, integrate_and_fire, lif, read

STEPS = 12


class Plain:
    """One neuron of a node, stepped in Python floats from NIR's equations. ``exact``: exponential decay."""

    def __init__(self, node: Any, index: int, exact: bool = False, at_least: bool = False, soft: bool = False) -> None:
        self.kind, self.exact, self.at_least, self.soft = type(node).__name__, exact, at_least, soft
        self.p = {k: float(v.reshape(-1)[index]) for k, v in vars(node).items() if isinstance(v, np.ndarray)}
        self.v = self.i = 0.0

    def share(self, tau: float) -> float:
        return 1 - math.exp(-DT / tau) if self.exact else min(DT / tau, 1.0)

    def step(self, x: float) -> float:
        p = self.p
        if self.kind == "Threshold":
            return float(x > p["threshold"])
        if self.kind == "CubaLIF":
            self.i = self.i + self.share(p["tau_syn"]) * (p["w_in"] * x - self.i)
            x = self.i
        if self.kind in ("IF", "I"):
            self.v = self.v + DT * (p["r"] * x)
        else:
            tau = p["tau_mem"] if self.kind == "CubaLIF" else p["tau"]
            self.v = self.v + self.share(tau) * (p["v_leak"] - self.v + p["r"] * x)
        if self.kind in ("LI", "I"):
            return self.v
        fires = self.v >= p["v_threshold"] if self.at_least else self.v > p["v_threshold"]
        if fires:
            self.v = self.v - p["v_threshold"] if self.soft else p["v_reset"]
        return float(fires)


def leaky_readout(*shape: int) -> nir.LI:
    return nir.LI(tau=full(shape, 4 * DT), r=full(shape, 2), v_leak=full(shape, 0.25))


NEURONS: dict[str, Callable[[], Any]] = {
    "LIF": lambda: lif(6, threshold=0.47),
    "LIF, r = 3, a leak to .25": lambda: lif(6, r=3, leak=0.25, tau=4),
    "LIF of one timestep": lambda: lif(6, tau=1),
    "IF": lambda: integrate_and_fire(6),
    "CubaLIF": lambda: cuba(6),
    "CubaLIF, a leak to .125": lambda: cuba(6, leak=0.125, mem=4, syn=2),
    "Threshold": lambda: nir.Threshold(threshold=full((6,), 0.55)),
}


def net(node: Any) -> nir.NIRGraph:
    """input -> affine -> the node -> linear -> output."""
    rng = np.random.default_rng(3)
    nodes = {
        "w": nir.Affine(weight=dyadic(rng, 6, 5), bias=dyadic(rng, 6, step=1 / 16)),
        "n": node,
        "out": nir.Linear(weight=dyadic(rng, 3, 6)),
    }
    return graph_of((5,), nodes, (3,))


def stimulus(*shape: int, samples: int = 4, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((samples, STEPS, *shape)) < 0.4).astype(np.float32)


def by_hand(node: Any, x: np.ndarray, **how: bool) -> np.ndarray:
    """The spikes (B, T, 6) of ``net(node)``, from its numbers alone."""
    graph = net(node)
    weight, bias = graph.nodes["w"].weight.tolist(), graph.nodes["w"].bias.tolist()
    out = np.zeros((*x.shape[:2], 6))
    for sample, frames in enumerate(x.tolist()):
        for j in range(6):
            neuron = Plain(node, j, **how)
            for t, frame in enumerate(frames):
                out[sample, t, j] = neuron.step(sum(w * s for w, s in zip(weight[j], frame, strict=True)) + bias[j])
    return out


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_alone_does_what_its_equations_say(name: str, tmp_path: Path) -> None:
    x, node = stimulus(5), NEURONS[name]()
    graph = read(tmp_path, net(node))
    run = interpreter.run(graph, x, STEPS)
    expected = by_hand(node, x)
    assert 0.05 < expected.mean() < 0.95
    assert np.array_equal(run.spikes["n"], expected > 0)
    spikes, answers = run_deployed(graph, x, STEPS)
    assert np.array_equal(spikes["n"], expected > 0)
    assert answers == pytest.approx(run.answers, abs=1e-12)


@pytest.mark.parametrize("name", NEURONS)
def test_the_program_of_a_neuron_loses_no_spike(name: str, tmp_path: Path) -> None:
    x = stimulus(5)
    graph = read(tmp_path, net(NEURONS[name]()))
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    spikes_in = x.reshape(*x.shape, 1, 1) > 0
    trace, run = simulate(program, spikes_in=spikes_in), interpreter.run(graph, x, STEPS)
    assert np.array_equal(trace.spikes["n"].reshape(run.spikes["n"].shape), run.spikes["n"])
    assert np.array_equal(TorchSimulator(program).run(spikes_in=spikes_in).spikes["n"], trace.spikes["n"])
    margin = np.sort(run.answers, axis=1)
    clear = margin[:, -1] - margin[:, -2] > 0.3
    assert np.array_equal(trace.predictions[clear], run.predictions[clear])


@pytest.mark.parametrize("name", ["LIF", "IF", "CubaLIF"])
@pytest.mark.parametrize(
    ("how", "convention"),
    [
        ({"exact": True}, Convention(decay="exact")),
        ({"at_least": True}, Convention(compare=">=")),
        ({"soft": True}, Convention(reset="subtract")),
    ],
)
def test_a_convention_changes_what_it_says(
    name: str, how: dict[str, bool], convention: Convention, tmp_path: Path
) -> None:
    x, node = stimulus(5, samples=6), NEURONS[name]()
    if "at_least" in how:
        node.v_threshold[:] = 1.0  # binary fractions meet it
    graph = read(tmp_path, net(node), convention=convention)
    run = interpreter.run(graph, x, STEPS)
    assert np.array_equal(run.spikes["n"], by_hand(node, x, **how) > 0)
    assert np.array_equal(run_deployed(graph, x, STEPS)[0]["n"], run.spikes["n"])
    if name == "IF" and how == {"exact": True}:
        return  # nothing leaks: the same
    plain = interpreter.run(read(tmp_path, net(node)), x, STEPS)
    if "at_least" not in how or name == "IF":
        assert (plain.spikes["n"] != run.spikes["n"]).any()


@pytest.mark.parametrize("compare", [">", ">="])
def test_a_membrane_that_meets_the_threshold_is_settled_by_the_convention_on_the_chip_too(
    compare: Any, tmp_path: Path
) -> None:
    nodes = {"w": nir.Linear(weight=full((1, 1), 0.25)), "n": integrate_and_fire(1, threshold=1.0)}
    graph = read(tmp_path, graph_of((1,), nodes, (1,)), convention=Convention(compare=compare))
    program = compile_graph(graph, timesteps=10, input_kind="spikes")
    trace = simulate(program, spikes_in=np.ones((1, 10, 1, 1, 1), dtype=bool))
    run = interpreter.run(graph, np.ones((1, 10, 1)), 10)
    every = 4 if compare == ">=" else 5
    assert np.flatnonzero(run.spikes["n"][0]).tolist() == list(range(every - 1, 10, every))
    assert np.array_equal(trace.spikes["n"].ravel(), run.spikes["n"].ravel())


def test_thresholds_and_gains_may_differ_between_neurons(tmp_path: Path) -> None:
    node = nir.LIF(
        tau=full((6,), 2 * DT),
        r=np.linspace(1, 2, 6, dtype=np.float32),
        v_leak=full((6,), 0),
        v_threshold=np.linspace(0.6, 1.1, 6, dtype=np.float32),
    )
    x = stimulus(5, samples=16)
    graph = read(tmp_path, net(node))
    run = interpreter.run(graph, x, STEPS)
    assert np.array_equal(run.spikes["n"], by_hand(node, x) > 0)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    trace = simulate(program, spikes_in=x.reshape(*x.shape, 1, 1) > 0)
    differing = (trace.spikes["n"].reshape(run.spikes["n"].shape) != run.spikes["n"]).mean()
    assert differing < 0.01  # the weights are rounded, the thresholds are not


@pytest.mark.parametrize("node", [lambda: nir.I(r=full((3,), 1 / DT)), leaky_readout])
def test_an_integrating_readout_is_read_at_the_end(node: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    end = node() if node is not leaky_readout else node(3)
    nodes = {
        "w": nir.Linear(weight=dyadic(rng, 6, 5)),
        "n": lif(6),
        "out": nir.Affine(weight=dyadic(rng, 3, 6), bias=dyadic(rng, 3)),
        "read": end,
    }
    graph = read(tmp_path, graph_of((5,), nodes, (3,)))
    x = stimulus(5, samples=12)
    run = interpreter.run(graph, x, STEPS)
    fired, out = run.spikes["n"].astype(float), graph.nodes["out"]
    for sample in range(len(x)):
        for c in range(3):
            neuron = Plain(end, c)
            for t in range(STEPS):
                last = neuron.step(float(fired[sample, t] @ out.weight[c] + out.bias[c]))  # type: ignore[union-attr]
            assert run.answers[sample, c] == pytest.approx(last, abs=1e-12)
    assert run_deployed(graph, x, STEPS)[1] == pytest.approx(run.answers, abs=1e-12)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    trace = simulate(program, spikes_in=x.reshape(*x.shape, 1, 1) > 0)
    assert trace.logits / (64 * program.readout.scale) == pytest.approx(run.answers, abs=0.05 * STEPS)
    assert np.array_equal(trace.predictions, run.predictions)


def linear_nets() -> dict[str, tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]]:
    """What lies between an input and an IF: name -> (input shape, nodes, the neurons' shape)."""
    rng = np.random.default_rng(11)
    window = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    one = {"stride": 1, "padding": 1, "dilation": 1, "groups": 2, "bias": dyadic(rng, 4), "input_shape": 9}
    return {
        "Conv1d": ((4, 9), {"c": nir.Conv1d(weight=dyadic(rng, 4, 2, 3), **one)}, (4, 9)),
        "Conv2d": ((2, 5, 4), {"c": conv(dyadic(rng, 3, 2, 3, 3), padding=1)}, (3, 5, 4)),
        "Conv2d, same, 2x4": ((2, 5, 4), {"c": conv(dyadic(rng, 3, 2, 2, 4), padding="same")}, (3, 5, 4)),
        "Conv2d, valid": ((2, 5, 4), {"c": conv(dyadic(rng, 3, 2, 3, 1), padding="valid")}, (3, 3, 4)),
        "Conv2d, dilated": ((2, 7, 7), {"c": conv(dyadic(rng, 3, 2, 3, 3), dilation=(2, 3), padding=2)}, (3, 7, 5)),
        "Conv2d in groups": ((4, 5, 5), {"c": conv(dyadic(rng, 6, 2, 3, 3), groups=2, stride=(2, 1))}, (6, 2, 3)),
        "SumPool2d": ((2, 4, 6), {"c": nir.SumPool2d(**window)}, (2, 2, 3)),
        "AvgPool2d": ((2, 4, 6), {"c": nir.AvgPool2d(**window)}, (2, 2, 3)),
        "pool, conv, pool": (
            (2, 8, 8),
            {"p": nir.SumPool2d(**window), "c": conv(dyadic(rng, 2, 2, 3, 3), padding=1), "q": nir.AvgPool2d(**window)},
            (2, 2, 2),
        ),
        "Flatten, Linear": (
            (2, 3, 3),
            {
                "f": nir.Flatten(input_type={"input": np.array([2, 3, 3])}, start_dim=0),
                "c": nir.Linear(weight=dyadic(rng, 5, 18)),
            },
            (5,),
        ),
        "Flatten alone": ((2, 2, 2), {"f": nir.Flatten(input_type={"input": np.array([2, 2, 2])}, start_dim=1)}, (8,)),
        "Conv2d, Flatten": (
            (1, 4, 4),
            {
                "c": conv(dyadic(rng, 2, 1, 3, 3)),
                "f": nir.Flatten(input_type={"input": np.array([2, 2, 2])}, start_dim=0),
            },
            (8,),
        ),
        "Scale per channel": (
            (2, 3, 3),
            {
                "s": nir.Scale(scale=np.repeat(dyadic(rng, 2, low=1), 9).reshape(2, 3, 3)),
                "c": conv(dyadic(rng, 3, 2, 2, 2)),
            },
            (3, 2, 2),
        ),
        "Scale per pixel": (
            (2, 3, 3),
            {"c": conv(dyadic(rng, 3, 2, 2, 2)), "s": nir.Scale(scale=dyadic(rng, 3, 2, 2, step=0.5, low=1, high=4))},
            (3, 2, 2),
        ),
        "two layers in a row": (
            (6,),
            {"a": nir.Linear(weight=dyadic(rng, 4, 6, step=0.5, low=-2, high=3)), "b": nir.Affine(
                weight=dyadic(rng, 5, 4, step=0.5, low=-2, high=3), bias=dyadic(rng, 5))},
            (5,),
        ),
        "nothing": ((5,), {}, (5,)),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", linear_nets())
def test_what_lies_between_two_neurons(name: str, tmp_path: Path) -> None:
    """Graph, deployed and program, of spikes through the linear nodes into an IF, whose current torch gives."""
    import torch

    shape, nodes, neurons = linear_nets()[name]
    graph = read(tmp_path, graph_of(shape, {**nodes, "n": integrate_and_fire(*neurons)}, neurons))
    x = stimulus(*shape, samples=3)
    boxed = x if len(shape) != 2 else x[:, :, :, None]
    run = interpreter.run(graph, boxed, STEPS)
    current = by_torch(nodes, torch.from_numpy(x.reshape(-1, *shape)).double()).reshape(3, STEPS, *neurons).numpy()
    v, expected = np.zeros((3, *neurons)), np.zeros((3, STEPS, *neurons), dtype=bool)
    for t in range(STEPS):
        v = v + current[:, t]
        expected[:, t] = v > np.float32(1.3)
        v[expected[:, t]] = 0
    assert 0 < expected.mean() < 1
    assert np.array_equal(run.spikes["n"].reshape(expected.shape), expected)
    assert np.array_equal(run_deployed(graph, boxed, STEPS)[0]["n"], run.spikes["n"])
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    trace = simulate(program, spikes_in=boxed.reshape(3, STEPS, *program.input_shape) > 0)
    assert np.array_equal(trace.spikes["n"].reshape(expected.shape), expected)
    write_nir(tmp_path / "ours.nir", graph)
    again = interpreter.run(read_nir(tmp_path / "ours.nir", use_metadata=False), boxed, STEPS)
    assert np.array_equal(again.spikes["n"], run.spikes["n"])


def by_torch(nodes: dict[str, Any], x: Any) -> Any:
    """What torch's own layers make of a batch: the meaning that NIR's documents give these nodes."""
    import torch
    import torch.nn.functional as F

    def tensor(value: Any) -> Any:
        return None if value is None else torch.from_numpy(np.asarray(value)).double()

    for node in nodes.values():
        match type(node).__name__:
            case "Conv1d" | "Conv2d" as kind:
                apply = F.conv1d if kind == "Conv1d" else F.conv2d
                pad = node.padding if isinstance(node.padding, str) else tuple(np.atleast_1d(node.padding).tolist())
                stride, dilation = (tuple(np.atleast_1d(v).tolist()) for v in (node.stride, node.dilation))
                x = apply(x, tensor(node.weight), tensor(node.bias), stride, pad, dilation, int(node.groups))
            case "SumPool2d" | "AvgPool2d" as kind:
                k = tuple(node.kernel_size.tolist())
                x = F.avg_pool2d(x, k, tuple(node.stride.tolist())) * (k[0] * k[1] if kind == "SumPool2d" else 1)
            case "Flatten":
                x = x.flatten(1)
            case "Scale":
                x = x * tensor(node.scale)
            case "Linear" | "Affine":
                x = F.linear(x, tensor(node.weight), tensor(getattr(node, "bias", None)))
    return x


def test_a_grouped_convolution_keeps_its_groups_on_the_chip(tmp_path: Path) -> None:
    shape, nodes, neurons = linear_nets()["Conv2d in groups"]
    graph = read(tmp_path, graph_of(shape, {**nodes, "n": integrate_and_fire(*neurons)}, neurons))
    write_nir(tmp_path / "ours.nir", graph)
    for each in (graph, read_nir(tmp_path / "ours.nir")):
        (synapse,) = compile_graph(each, timesteps=2, input_kind="spikes").synapses
        assert synapse.map.groups == 2


def test_delays_of_several_timesteps(tmp_path: Path) -> None:
    nodes = {
        "a": integrate_and_fire(4, threshold=0.5),
        "late": nir.Delay(delay=full((4,), 5 * DT)),
        "none": nir.Delay(delay=full((4,), 0)),
        "b": integrate_and_fire(4, threshold=0.5),
    }
    graph = read(tmp_path, graph_of((4,), nodes, (4,)))
    x = stimulus(4)
    run = interpreter.run(graph, x, STEPS)
    assert np.array_equal(run.spikes["b"][:, 5:], x[:, :-5] > 0)
    assert not run.spikes["b"][:, :5].any()
    assert np.array_equal(run_deployed(graph, x, STEPS)[0]["b"], run.spikes["b"])
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    trace = simulate(program, spikes_in=x.reshape(*x.shape, 1, 1) > 0)
    assert np.array_equal(trace.spikes["b"].reshape(run.spikes["b"].shape), run.spikes["b"])
    assert sum(p.role == "relay" for p in program.populations) == 4


def test_nested_graphs_are_laid_open_and_a_recurrent_edge_inside_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    inner = nir.NIRGraph(
        nodes={
            "in": nir.Input(input_type={"input": np.array([6])}),
            "lif": lif(6),
            "back": nir.Linear(weight=dyadic(rng, 6, 6, low=-3, high=3)),
            "out": nir.Output(output_type={"output": np.array([6])}),
        },
        edges=[("in", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")],
        type_check=False,
    )
    nodes = {"w": nir.Linear(weight=dyadic(rng, 6, 5)), "rnn": inner, "v": nir.Linear(weight=dyadic(rng, 3, 6))}
    nodes["last"] = integrate_and_fire(3)
    edges = [("input", "w"), ("w", "rnn"), ("rnn", "v"), ("w", "rnn2"), ("rnn2", "v"), ("v", "last")]
    edges.append(("last", "output"))
    nested = graph_of((5,), {**nodes, "rnn2": inner}, (3,), edges)
    with pytest.raises(Exception, match=r"--delayed SRC:DST \(one of rnn.back:rnn.lif, rnn.lif:rnn.back\)"):
        read(tmp_path, nested)
    late = frozenset({("rnn.lif", "rnn.back"), ("rnn2.lif", "rnn2.back")})
    graph = read(tmp_path, nested, delayed=late)
    outer = {"input", "w", "v", "last", "output"}
    assert set(graph.nodes) == outer | {f"{name}.{node}" for name in ("rnn", "rnn2") for node in ("lif", "back")}
    x = stimulus(5)
    run = interpreter.run(graph, x, STEPS)
    assert np.array_equal(run.spikes["rnn.lif"], run.spikes["rnn2.lif"])
    weight, back, node = nodes["w"].weight, inner.nodes["back"].weight, inner.nodes["lif"]
    for sample in range(len(x)):
        cells, before = [Plain(node, j) for j in range(6)], np.zeros(6)
        for t in range(STEPS):
            current = x[sample, t].astype(float) @ weight.T + before @ back.T
            before = np.array([c.step(float(i)) for c, i in zip(cells, current, strict=True)])
            assert np.array_equal(run.spikes["rnn.lif"][sample, t], before > 0)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    trace = simulate(program, spikes_in=x.reshape(*x.shape, 1, 1) > 0)
    assert np.array_equal(trace.spikes["rnn_lif"].reshape(run.spikes["rnn.lif"].shape), run.spikes["rnn.lif"])


def test_one_parameter_for_all_neurons_is_spread(tmp_path: Path) -> None:
    once = lif(1, threshold=0.7, r=2.0)
    graph = read(tmp_path, net(once))
    assert graph.nodes["n"].shape == (6,)  # type: ignore[union-attr]
    assert np.array_equal(
        interpreter.run(graph, stimulus(5), STEPS).spikes["n"],
        interpreter.run(read(tmp_path, net(lif(6, threshold=0.7, r=2.0))), stimulus(5), STEPS).spikes["n"],
    )
