"""Graphs whose numbers are short binary fractions: the program's spikes are the graph's, thresholds met exactly too.

Seen through two programs that share nothing: the NIR interpreter's float64 equations, and the integer simulator.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.grids import exact_scale
from snnas.export.dialects.conventions import Convention
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Conv, Flatten, Graph, If, Input, Lif, Linear, Output, Pool, Spiking, Threshold
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import INPUT, LinearMap, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.simulator import simulate

BINARY_DT = Convention(dt=2.0**-13)  # float32 holds it, and tau, exactly; of the default 1e-4 it holds neither
KINDS = ("if", "threshold", "lif 1", "lif 2", "lif 4")


def neurons(kind: str, threshold: float, *shape: int) -> Spiking:
    full = np.full(shape, threshold, np.float32)
    zero, one = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    if kind == "threshold":
        return Threshold(threshold=full)
    if kind == "if":
        return If(r=one / np.float32(BINARY_DT.dt), v_threshold=full, v_reset=zero)
    steps = float(kind.removeprefix("lif "))  # tau in timesteps, a power of two; r = tau / dt keeps the input whole
    tau = np.float32(steps * BINARY_DT.dt)
    return Lif(tau=one * tau, r=one * np.float32(steps), v_leak=zero, v_threshold=full, v_reset=zero)


def quarters(rng: np.random.Generator, *shape: int, most: int = 4) -> np.ndarray:
    return (rng.integers(-most, most + 1, shape) / 4).astype(np.float32)


def drawn(rng: np.random.Generator) -> Graph:
    """Spikes -> conv -> neurons [-> OR] -> dense layers with a skip of spikes and perhaps a self-loop."""
    size, channels = int(rng.integers(3, 6)), int(rng.integers(1, 4))

    def kind() -> Spiking:
        return neurons(str(rng.choice(KINDS)), int(rng.integers(1, 7)) / 4, *shape)

    nodes: dict[str, Any] = {"input": Input(shape=(2, size, size))}
    nodes["conv"] = Conv(weight=quarters(rng, channels, 2, 3, 3), bias=quarters(rng, channels, most=1), pad=(1, 1))
    shape: tuple[int, ...] = (channels, size, size)
    nodes["first"] = kind()
    edges = [("input", "conv"), ("conv", "first")]
    before, here = "first", shape
    if rng.random() < 0.5:
        here = (channels, size // 2, size // 2)
        nodes["pool"] = Pool(kernel=(2, 2), stride=(2, 2))
        tau = np.full(here, 2 * BINARY_DT.dt, np.float32)
        one, zero = np.ones(here, np.float32), np.zeros(here, np.float32)
        nodes["or"] = Lif(tau=tau, r=one, v_leak=zero, v_threshold=one / 4, v_reset=zero)
        edges += [("first", "pool"), ("pool", "or")]
        before = "or"
    nodes["flat"] = Flatten()
    edges.append((before, "flat"))
    wide, hidden = int(np.prod(here)), int(rng.integers(2, 8))
    nodes["a"] = Linear(weight=quarters(rng, hidden, wide), bias=quarters(rng, hidden, most=1))
    shape = (hidden,)
    nodes["second"] = kind()
    nodes["b"] = Linear(weight=quarters(rng, hidden, hidden), bias=quarters(rng, hidden, most=2))
    nodes["skip"] = Linear(weight=quarters(rng, hidden, wide), bias=None)
    nodes["third"] = kind()
    nodes["readout"] = Linear(weight=quarters(rng, 3, hidden), bias=None)
    nodes["output"] = Output(shape=(3,))
    edges += [("flat", "a"), ("a", "second"), ("second", "b"), ("b", "third"), ("flat", "skip"), ("skip", "third")]
    edges += [("third", "readout"), ("readout", "output")]
    delayed: set[tuple[str, str]] = set()
    if rng.random() < 0.5:
        nodes["loop"] = Linear(weight=quarters(rng, hidden, hidden, most=2), bias=None)
        edges += [("third", "loop"), ("loop", "third")]
        delayed.add(("third", "loop"))
    return Graph(nodes=nodes, edges=tuple(edges), delayed=frozenset(delayed), convention=BINARY_DT)


def differing(graph: Graph, x: np.ndarray, timesteps: int) -> tuple[int, int, float]:
    """Spikes that differ between graph and program, how many were compared, and the share of them that fired."""
    program = compile_graph(graph, timesteps=timesteps, input_kind="spikes")
    ours = simulate(program, spikes_in=x > 0).spikes
    theirs = interpreter.run(graph, x, timesteps).spikes
    wrong = total = fired = 0
    for name, node in program.meta["node_of"].items():
        wrong += int((ours[name].reshape(theirs[node].shape) != theirs[node]).sum())
        total, fired = total + theirs[node].size, fired + int(theirs[node].sum())
    return wrong, total, fired / total


@settings(max_examples=60, derandomize=True)
@given(seed=st.integers(0, 1 << 30))
def test_no_spike_of_an_exact_graph_differs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = drawn(rng)
    size = graph.nodes["input"].shape  # type: ignore[union-attr]
    x = (rng.random((8, 8, *size)) < rng.choice([0.2, 0.4])).astype(np.float32)
    wrong, total, _ = differing(graph, x, 8)
    assert wrong == 0, f"{wrong} of {total}"


def chain(node: Spiking, weight: np.ndarray, bias: np.ndarray | None = None) -> Graph:
    nodes: dict[str, Any] = {
        "input": Input(shape=(weight.shape[1],)),
        "w": Linear(weight=weight.astype(np.float32), bias=bias),
        "n": node,
        "readout": Linear(weight=np.eye(len(weight), dtype=np.float32), bias=None),
        "output": Output(shape=(len(weight),)),
    }
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)), convention=BINARY_DT)


def trains(*rows: str) -> np.ndarray:
    """(1, T, N): one row of bits per source."""
    return np.array([[int(bit) for bit in row] for row in rows], np.float32).T[None]


def test_a_current_that_meets_the_threshold_of_a_memoryless_neuron_never_fires_it() -> None:
    # .75, then 1: 1/4096 of .75 was left, and with it 1 lay above the threshold.
    graph = chain(neurons("threshold", 1.0, 1), np.array([[0.75, 0.25]]))
    x = trains("1111", "0101")
    assert not interpreter.run(graph, x, 4).spikes["n"].any()
    assert differing(graph, x, 4) == (0, 4, 0.0)


def test_nor_is_one_above_it_lost_to_inhibition_before() -> None:
    graph = chain(neurons("threshold", 1.0, 1), np.array([[1.25, -1.25]]))
    x = trains("0101", "1010")
    assert interpreter.run(graph, x, 4).spikes["n"].ravel().tolist() == [False, True, False, True]
    assert differing(graph, x, 4)[0] == 0


@pytest.mark.parametrize("kind", ["if", "threshold", "lif 2"])
def test_a_bias_finer_than_the_weights_is_on_the_grid_too(kind: str) -> None:
    rng = np.random.default_rng(3)
    graph = chain(neurons(kind, 1.75, 4), quarters(rng, 4, 6) * 3, quarters(rng, 4, most=3))
    x = (rng.random((40, 8, 6)) < 0.5).astype(np.float32)
    wrong, _, fired = differing(graph, x, 8)
    assert wrong == 0
    assert 0.02 < fired < 0.6


def test_a_threshold_that_float64_has_rounded_is_still_the_whole_number() -> None:
    """What is in units of a threshold of 1.5 may lose a bit: 959.9999999999999 is 960, and not "at least 960"."""
    quarters = np.arange(-3, 5) / 4
    weights = [quarters[:, None] / 2.0, quarters[:, None] / 1.5]
    assert exact_scale(weights, float(np.nextafter(5.0, 0.0)), 0.25, 240.0) == (192.0, 960)
    below = exact_scale([quarters[:, None]], float(np.nextafter(np.float32(1), np.float32(0))) * 4, 0.25, 240.0)
    assert below is not None
    assert below[1] == 4 * below[0] - 1  # one float32 below means "at least"


@settings(max_examples=300, derandomize=True)
@given(steps=st.integers(0, 2000), above=st.floats(0.001, 0.999), deepest=st.integers(0, 2000), shift=st.integers(1, 6))
def test_what_is_left_of_the_old_membrane_decides_nothing(steps: int, above: float, deepest: int, shift: int) -> None:
    """Nothing that came before can make ``steps`` fire or keep one more from it, at the scale that is chosen."""
    weights = np.array([[1.0, -3.0]])
    found = exact_scale([weights], steps + above, 1.0, float(1 << shift), deepest=float(deepest))
    assert found is not None
    scale, vth = int(found[0]), found[1]
    for old, now, fires in ((steps, steps, False), (-deepest, steps + 1, True)):
        left = np.zeros(1, np.int64)
        for _ in range(3):  # what is left of what was left is felt too
            left, fired = kernels.neuron_step(left, np.array([old * scale]), np.zeros(1, np.int64), 4095, vth)
            assert not fired.any()
        _, fired = kernels.neuron_step(left, np.array([now * scale]), np.zeros(1, np.int64), 4095, vth)
        assert fired.all() == fires


@pytest.mark.parametrize("period", [1, 2, 3])
def test_an_or_cannot_be_told_from_memory(period: int) -> None:
    """All counts that 16 bits carry: whatever came before, the state is 0 after a timestep, and any spike fires."""
    counts = np.arange(limits.CURRENT_MAX // 2 + 1)
    nothing = np.zeros_like(counts)
    for before in (-4095, -1, 0, 1, 64, 4095):  # it never holds more than 64, and begins at 0
        v, fired = kernels.neuron_step(nothing + before, 2 * counts, nothing, limits.DECAY_MAX, 1, period)
        assert np.array_equal(fired, counts > 0)
        assert not v.any()


def test_an_or_in_a_program_forgets() -> None:
    shape = (1, 1, 1)
    none = np.zeros(shape, np.int16)
    p = Population(id="or", shape=shape, dv=limits.DECAY_MAX, vth=1, scale=2.0, role="or", bias=none)
    pool = LinearMap(kind="dense", weight=np.full((1, 4), 2, np.int8))
    program = Program(
        timesteps=12,
        input_shape=(4, 1, 1),
        input_kind="spikes",
        populations=(p,),
        synapses=(Synapse(id="s", src=INPUT, dst="or", map=pool),),
        host=(),
        readout=summed(src="or", weight=np.ones((1, 1), np.int8), bias=np.zeros(1, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={"or": 0}),
    )
    program.verify()
    x = np.random.default_rng(0).random((500, 12, 4, 1, 1)) < 0.15
    assert np.array_equal(simulate(program, spikes_in=x).spikes["or"].reshape(500, 12), x.any(axis=(2, 3, 4)))
