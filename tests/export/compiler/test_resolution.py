"""How many bits a weight has left after quantisation: what guards the registers may not eat them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.ranges import LIMITS, prove
from snnas.export.dialects.conventions import DT
from snnas.export.executors import interpreter
from snnas.export.graph.graph import CubaLif, Graph, Input, Lif, Linear, Output, Spiking
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate


def cuba(n: int, *, syn: float, mem: float, threshold: float) -> CubaLif:
    """Time constants in timesteps; r and w_in 1, as tools write them."""

    def full(value: float) -> np.ndarray:
        return np.full((n,), value, np.float32)

    return CubaLif(
        tau_syn=full(syn * DT),
        tau_mem=full(mem * DT),
        r=full(1),
        w_in=full(1),
        v_leak=full(0),
        v_threshold=full(threshold),
        v_reset=full(0),
    )


def lif(n: int, *, tau: float, threshold: float) -> Lif:
    def full(value: float) -> np.ndarray:
        return np.full((n,), value, np.float32)

    return Lif(tau=full(tau * DT), r=full(1), v_leak=full(0), v_threshold=full(threshold), v_reset=full(0))


def stack(*layers: tuple[np.ndarray, Spiking]) -> Graph:
    """Layers of spikes, read out as they are."""
    nodes: dict[str, Any] = {"input": Input(shape=(layers[0][0].shape[1],))}
    for k, (weight, neurons) in enumerate(layers):
        nodes |= {f"w{k}": Linear(weight=weight.astype(np.float32), bias=None), f"n{k}": neurons}
    size = len(layers[-1][0])
    nodes |= {"readout": Linear(weight=np.eye(size, dtype=np.float32), bias=None), "output": Output(shape=(size,))}
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))


def weights(program: Program, k: int = 0) -> np.ndarray:
    return program.synapses[k].map.weight.astype(int)


def test_a_slow_neuron_keeps_its_excitatory_input() -> None:
    program = compile_graph(
        stack((np.array([[1, -4.0]]), cuba(1, syn=200, mem=400, threshold=0.5))), timesteps=1000, input_kind="spikes"
    )
    assert weights(program).ravel().tolist() == [3, -12]  # was [0, -1]
    assert prove(program)["n0"].status == "proved"


def test_inhibition_that_clips_the_membrane_costs_no_resolution() -> None:
    """Without memory of the current, and one channel that inhibits strongly."""
    row = np.full(40, 0.01)
    row[0] = -2.0
    program = compile_graph(stack((row[None], lif(1, tau=500, threshold=0.2))), timesteps=1000, input_kind="spikes")
    assert weights(program).ravel()[1] >= 1
    found = prove(program)["n0"]
    assert found.status == "proved"
    assert found.registers["v"].low == -LIMITS["v"]
    x = np.zeros((2, 1000, 40, 1, 1), bool)
    x[0, :, 0] = True  # to the floor of the register and on it
    x[1] = x[0]
    x[1, 500:, 1:], x[1, 500:, 0] = True, False  # and up again
    trace = simulate(program, spikes_in=x)
    assert not trace.spikes["n0"][0].any()
    assert trace.spikes["n0"][1].any()


def test_the_current_may_use_all_of_its_register() -> None:
    program = compile_graph(
        stack((np.full((1, 20), 1.0), cuba(1, syn=50, mem=2, threshold=0.9))), timesteps=500, input_kind="spikes"
    )
    assert 0.9 < prove(program)["n0"].registers["u"].margin <= 1


def realistic(rng: np.random.Generator) -> tuple[Graph, np.ndarray]:
    """700 -> 128 -> 20 as for spoken digits, its 52 samples of 100 timesteps."""
    first = rng.normal(0.02, 3, (128, 700)) / np.sqrt(700)
    second = rng.normal(0.05, 3, (20, 128)) / np.sqrt(128)
    neurons = (cuba(n, syn=20, mem=40, threshold=0.02) for n in (128, 20))
    graph = stack((first, next(neurons)), (second, next(neurons)))
    return graph, (rng.random((52, 100, 700)) < 0.02).astype(np.float32)


def test_a_network_of_slow_neurons_keeps_its_weights_and_its_answers() -> None:
    graph, x = realistic(np.random.default_rng(0))
    run = interpreter.run(graph, x, 100)
    program = compile_graph(graph, timesteps=100, input_kind="spikes", spikes=run.spikes)
    assert all(r.status == "proved" for r in prove(program).values())
    for k in (0, 1):
        assert np.unique(weights(program, k)).size > 100  # five and 21 before
        assert (weights(program, k) == 0).mean() < 0.03  # 68 and 15 %
    trace = simulate(program, spikes_in=x.reshape(52, 100, 700, 1, 1) > 0)
    assert (trace.predictions != run.predictions).sum() <= 8  # 36 of 52
