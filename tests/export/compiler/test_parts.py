"""Parameters per neuron and per channel: one population for each value of what a population shares, exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.parts import MAX_PARTS, differing, own_spikes, to_ranges
from snnas.export.compiler.quantisation_error import quantisation_errors, with_spikes
from snnas.export.dialects.conventions import OURS
from snnas.export.executors import interpreter
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Conv, CubaLif, Flatten, Graph, If, Input, Lif, Linear, Node, Output, Pool
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

DT, STEPS = np.float32(1e-4), 10
EXACT = replace(OURS, dt=float(DT))  # float32 time constants have exact ratios to it


def eighths(*shape: int, seed: int = 0, low: int = -3, high: int = 7) -> np.ndarray:
    return (np.random.default_rng(seed).integers(low, high, shape) / 8).astype(np.float32)


def lif(tau: np.ndarray, threshold: np.ndarray | float = 0.625, r: np.ndarray | float = 1.0) -> Lif:
    """tau in timesteps; everything else of its shape."""
    full = lambda value: np.broadcast_to(np.float32(value), tau.shape).astype(np.float32)  # noqa: E731
    return Lif(tau=full(tau) * DT, r=full(r), v_leak=full(0), v_threshold=full(threshold), v_reset=full(0))


def spread(shape: tuple[int, ...], values: tuple[float, ...], *, per_channel: bool) -> np.ndarray:
    """values in turn: of each channel, or of each neuron."""
    size = shape[0] if per_channel else int(np.prod(shape))
    turns = np.resize(np.array(values, np.float32), size)
    return np.broadcast_to(turns.reshape(-1, *[1] * (len(shape) - 1)), shape) if per_channel else turns.reshape(shape)


def image(node: Any, then: Any, groups: int = 1) -> Graph:
    nodes: dict[str, Node] = {
        "input": Input(shape=(2, 6, 6)), "c": Conv(weight=eighths(4, 2, 3, 3), bias=eighths(4, seed=1) / 4, pad=(1, 1)),
        "n": node, "p": Pool(kernel=(2, 2), stride=(2, 2)),
        "d": Conv(weight=eighths(4, 4 // groups, 3, 3, seed=2), bias=None, pad=(1, 1), groups=groups), "m": then,
        "f": Flatten(), "out": Linear(weight=eighths(3, 36, seed=3), bias=None), "output": Output(shape=(3,)),
    }  # fmt: skip
    names = list(nodes)
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(names)), convention=EXACT)


def agree(graph: Graph, *, parts: int, tolerance: float = 0.0, tmp_path: Any = None) -> Program:
    shape = graph.shapes()[graph.input]
    x = (np.random.default_rng(1).random((4, STEPS, *shape)) < 0.4).astype(np.float32)
    run = interpreter.run(graph, x, STEPS)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", spikes=run.spikes if tolerance else None)
    if tmp_path is not None:
        write_program(tmp_path / "p.npz", program)
        program = read_program(tmp_path / "p.npz")
    boxed = x.reshape(*x.shape[:2], *program.input_shape) > 0
    trace = simulate(program, spikes_in=boxed)
    wrong, total = differing(program, trace.spikes, run.spikes)
    assert total == sum(s.size for s in run.spikes.values())
    assert wrong <= tolerance * total
    assert all(0.02 < s.mean() < 0.98 for s in run.spikes.values())
    fast = TorchSimulator(program).run(spikes_in=boxed)
    assert all(np.array_equal(fast.spikes[n], s) for n, s in trace.spikes.items())
    assert np.array_equal(fast.logits, trace.logits)
    if not tolerance:
        assert np.allclose(trace.logits / (64 * program.readout.scale), run.answers, rtol=0, atol=1e-9)
    assert sum(node == "n" for node in program.meta["node_of"].values()) == parts
    golden = {f"spikes.{n}": np.packbits(s.reshape(*s.shape[:2], -1), axis=-1) for n, s in trace.spikes.items()}
    errors = with_spikes(quantisation_errors(graph, program), program, golden, run.spikes)
    assert sum(e.differing for e in errors.values()) == wrong
    return program


TAUS = (2.0, 4.0, 8.0)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_tau_per_channel_keeps_images(groups: int, tmp_path: Any) -> None:
    n, m = (lif(spread(shape, TAUS, per_channel=True)) for shape in ((4, 6, 6), (4, 3, 3)))
    program = agree(image(n, m, groups=groups), parts=3, tmp_path=tmp_path)
    assert {p.shape for p in program.populations} <= {(2, 6, 6), (1, 6, 6), (2, 3, 3), (1, 3, 3)}
    kinds = {s.map.kind for s in program.synapses}
    assert kinds <= {"conv", "pooled_conv"}


def test_a_tau_per_neuron_is_cut_out_of_a_convolution() -> None:
    n, m = (lif(spread(shape, TAUS, per_channel=False)) for shape in ((4, 6, 6), (4, 3, 3)))
    program = agree(image(n, m), parts=3)
    assert sum(p.size for p in program.populations) == 4 * 36 + 4 * 9


def dense(node: Any) -> Graph:
    nodes: dict[str, Node] = {
        "input": Input(shape=(6,)), "w": Linear(weight=eighths(8, 6), bias=eighths(8, seed=1) / 2), "n": node,
        "v": Linear(weight=eighths(5, 8, seed=2), bias=None), "m": lif(np.full(5, 2.0)),
        "out": Linear(weight=eighths(3, 5, seed=3), bias=None), "output": Output(shape=(3,)),
    }  # fmt: skip
    names = list(nodes)
    edges = [*itertools.pairwise(names), ("n", "back"), ("back", "n")]
    nodes["back"] = Linear(weight=eighths(8, 8, seed=4, low=-3, high=3) / 4, bias=None)
    return Graph(nodes=nodes, edges=tuple(edges), delayed=frozenset({("n", "back")}), convention=EXACT)


NODES: dict[str, tuple[Any, int]] = {
    "tau": (lif(np.resize(TAUS, 8)), 3),
    "tau, all different": (lif(np.arange(1.0, 9.0)), 8),
    "tau and threshold": (lif(np.resize((2.0, 4.0), 8), np.resize((0.625, 0.75, 0.625, 0.875), 8)), 3),
    "r": (lif(np.full(8, 2.0), r=np.resize((1, 3), 8)), 2),
    "r by powers of two": (lif(np.full(8, 2.0), r=np.resize((1, 2, 4), 8)), 1),
    "threshold of an IF": (
        If(r=np.full(8, 1 / DT, np.float32), v_threshold=np.resize(np.float32((0.75, 1.25)), 8),
           v_reset=np.zeros(8, np.float32)), 2,
    ),
    "CubaLIF": (
        CubaLif(**{"r": np.full(8, 2, np.float32), "v_leak": np.zeros(8, np.float32), "w_in": np.full(8, 4, np.float32),
                   "v_threshold": np.full(8, 0.97, np.float32), "v_reset": np.zeros(8, np.float32),
                   "tau_syn": np.resize((4, 4, 2), 8).astype(np.float32) * DT,
                   "tau_mem": np.resize((2, 4), 8).astype(np.float32) * DT}), 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_a_recurrent_node_is_cut_into_populations(name: str) -> None:
    node, parts = NODES[name]
    rounded = name in ("CubaLIF", "tau, all different")  # a leak of 12 bits
    agree(dense(node), parts=parts, tolerance=0.02 if rounded else 0.0)


def test_weights_of_no_step_fold_thresholds_and_gains() -> None:
    """They could not be exact: no population is spent on them."""
    graph = dense(lif(np.full(8, 2.0), np.resize((0.5, 0.6, 0.7), 8), np.resize((1, 3), 8)))
    w = replace(graph.nodes["w"], weight=np.random.default_rng(0).normal(0.3, 0.4, (8, 6)).astype(np.float32))  # type: ignore[type-var]
    agree(replace(graph, nodes={**graph.nodes, "w": w}), parts=1, tolerance=0.03)


def test_the_last_layer_may_be_cut(tmp_path: Any) -> None:
    node, end = lif(np.resize(TAUS, 6)), Output(shape=(6,))
    graph = Graph(
        nodes={"input": Input(shape=(5,)), "w": Linear(weight=eighths(6, 5), bias=None), "n": node, "output": end},
        edges=(("input", "w"), ("w", "n"), ("n", "output")),
        convention=EXACT,
    )
    program = agree(graph, parts=3, tmp_path=tmp_path)
    assert len(program.readout.readings) == 3


def test_too_many_values_are_refused_by_name() -> None:
    size = MAX_PARTS + 1
    graph = Graph(
        nodes={"input": Input(shape=(2,)), "w": Linear(weight=eighths(size, 2), bias=None),
               "n": lif(np.linspace(1, 5, size)), "output": Output(shape=(size,))},
        edges=(("input", "w"), ("w", "n"), ("n", "output")),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"node n: 65 different values of tau; .* at most 64 populations"):
        compile_graph(graph, timesteps=4, input_kind="spikes")


def test_metadata_that_name_no_neurons_are_refused() -> None:
    program = agree(dense(NODES["tau"][0]), parts=3)
    spikes = np.zeros((1, STEPS, 8), bool)
    assert own_spikes(program, "n_1", spikes).shape == (1, STEPS, 3, 1, 1)
    for ranges in ([[0, 99]], [[6, 9]], [[-3, 0]], [[0, 1]]):
        changed = replace(program, meta={**program.meta, "parts": {"n_1": ranges}})
        with pytest.raises(InvalidFileError, match="population n_1"):
            own_spikes(changed, "n_1", spikes)
    assert to_ranges(np.array([0, 1, 2, 5, 7, 8])) == [[0, 3], [5, 6], [7, 9]]
