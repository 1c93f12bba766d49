"""How many bits a weight has left after quantisation: what guards the registers may not eat them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.circuit import trace as circuit_of
from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.observed_currents import MARGIN
from snnas.export.compiler.observed_ranges import prove_or_observe
from snnas.export.compiler.ranges import LIMITS, prove, verify_ranges
from snnas.export.compiler.resolution import FEW_BITS, resolution, resolutions
from snnas.export.compiler.scales import CLOCK_MOST
from snnas.export.compiler.schedule import schedule
from snnas.export.dialects.conventions import DT
from snnas.export.executors import interpreter
from snnas.export.graph.graph import CubaLif, Graph, Input, Lif, Linear, Output, Spiking
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.program import CLOCK, Population, Program, Synapse
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


def wide(rng: np.random.Generator) -> tuple[Graph, np.ndarray, np.ndarray]:
    """2,000 inputs of which few fire: graph, calibration samples and others."""
    first = rng.normal(0.02, 3, (32, 2000)) / np.sqrt(2000)
    second = rng.normal(0.05, 3, (8, 32)) / np.sqrt(32)
    graph = stack((first, cuba(32, syn=20, mem=40, threshold=0.02)), (second, cuba(8, syn=20, mem=40, threshold=0.02)))
    x = (rng.random((24, 60, 2000)) < 0.02).astype(np.float32)
    return graph, x[:12], x[12:]


def compiled(graph: Graph, x: np.ndarray, ranges: Any, timesteps: int) -> Program:
    spikes = calibration_spikes(graph, x, timesteps, "spikes")
    return compile_graph(graph, timesteps=timesteps, input_kind="spikes", spikes=spikes, ranges=ranges)


def off(program: Program, graph: Graph, x: np.ndarray, timesteps: int) -> int:
    run = interpreter.run(graph, x, timesteps)
    trace = simulate(program, spikes_in=x.reshape(*x.shape, 1, 1) > 0)
    return sum(int((trace.spikes[n].reshape(s.shape) != s).sum()) for n, s in run.spikes.items())


def test_a_proof_that_costs_bits_gives_way_to_what_is_observed() -> None:
    graph, mine, others = wide(np.random.default_rng(0))
    proved, auto = (compiled(graph, mine, r, 60) for r in ("proved", "auto"))
    assert not proved.observed
    assert all(r.status == "proved" for r in prove(proved).values())
    assert auto.observed == {"n0"}
    lost, left = (resolutions(schedule(circuit_of(graph, "spikes")).circuit.links, p)["n0"] for p in (proved, auto))
    assert (lost.bits, left.bits) == (7, 8)
    assert left.zeros < lost.zeros / 2
    assert off(auto, graph, others, 60) < 0.7 * off(proved, graph, others, 60)
    boxed = others.reshape(*others.shape, 1, 1)
    found = prove_or_observe(auto, boxed)
    assert found["n0"].status == "observed"
    assert found["n1"].status == "proved"
    seen = prove_or_observe(auto, mine.reshape(*mine.shape, 1, 1))["n0"].registers
    assert max(seen["a"].margin, seen["u"].margin) <= 1 / MARGIN + 0.02


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_samples_that_overflow_an_observed_register_are_refused(engine: str) -> None:
    graph, mine, _ = wide(np.random.default_rng(0))
    auto = compiled(graph, mine, "auto", 60)
    run: Any = partial(simulate, auto)
    if engine == "torch":
        pytest.importorskip("torch")
        from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

        run = TorchSimulator(auto).run
    first = weights(auto)
    worst = first[np.maximum(first, 0).sum(axis=1).argmax()] > 0  # of one neuron all that excites it
    every = np.broadcast_to(worst[None, None, :, None, None], (1, 60, 2000, 1, 1))
    said = (
        r"^population n0: violated: its (current u|synaptic input a) reaches \d+ on these samples.* samples like these"
    )
    with pytest.raises(UnsupportedError, match=said):
        run(spikes_in=every)
    simulate(compiled(graph, mine, "proved", 60), spikes_in=every)  # which nothing overflows


def test_both_simulators_agree_on_an_observed_program() -> None:
    pytest.importorskip("torch")
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

    graph, mine, others = wide(np.random.default_rng(1))
    program = compiled(graph, mine, "observed", 60)
    spikes_in = others.reshape(*others.shape, 1, 1) > 0
    ours, theirs = simulate(program, spikes_in=spikes_in), TorchSimulator(program).run(spikes_in=spikes_in)
    assert program.observed
    for name, fired in ours.spikes.items():
        assert np.array_equal(fired, theirs.spikes[name])


def test_observing_takes_samples_and_another_word_is_none() -> None:
    graph = stack((np.ones((1, 2)), lif(1, tau=2, threshold=0.9)))
    with pytest.raises(UsageError, match="--ranges observed: there are no calibration samples"):
        compile_graph(graph, timesteps=4, input_kind="spikes", ranges="observed")
    with pytest.raises(UsageError, match="--ranges maybe: expected one of auto, proved, observed"):
        compile_graph(graph, timesteps=4, input_kind="spikes", ranges="maybe")  # type: ignore[arg-type]


def test_a_program_says_which_populations_are_observed() -> None:
    graph, mine, _ = wide(np.random.default_rng(0))
    auto = compiled(graph, mine, "auto", 60)
    auto.verify()
    for wrong in ("n0", ["n9"], [1]):
        with pytest.raises(InvalidFileError, match=r"observed is .*; expected a list of its populations"):
            replace(auto, meta={**auto.meta, "observed": wrong}).verify()
    with pytest.raises(UnsupportedError, match=r"population n0: its .* may reach"):
        verify_ranges(replace(auto, meta={}))  # unsaid, it is a program that may overflow


def test_a_synapse_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"^population n0: every weight from input rounds to 0: .* set them to 0"
    ):
        compile_graph(two_synapses(1.2e-4), timesteps=4, input_kind="spikes")
    program = compile_graph(two_synapses(0.04), timesteps=4, input_kind="spikes")
    assert all(s.map.weight.any() for s in program.synapses)
    # Nothing was there to be lost, or nothing that all 300 of them could make felt.
    for small in (0.0, 1e-9):
        compile_graph(two_synapses(small), timesteps=4, input_kind="spikes")


def two_synapses(small: float) -> Graph:
    """300 inputs into n0 twice: by neurons with weights of 3.3, and directly with much smaller ones."""
    nodes: dict[str, Any] = {
        "input": Input(shape=(300,)),
        "w0": Linear(weight=np.eye(3, 300, dtype=np.float32), bias=None),
        "before": lif(3, tau=1, threshold=0.5),
        "w1": Linear(weight=np.array([[3.3, 2.7, 1.9]], np.float32), bias=None),
        "skip": Linear(weight=np.full((1, 300), small, np.float32), bias=None),
        "n0": lif(1, tau=2, threshold=0.9),
        "readout": Linear(weight=np.ones((1, 1), np.float32), bias=None),
        "output": Output(shape=(1,)),
    }
    edges = [("input", "w0"), ("w0", "before"), ("before", "w1"), ("w1", "n0"), ("input", "skip"), ("skip", "n0")]
    return Graph(nodes=nodes, edges=(*edges, ("n0", "readout"), ("readout", "output")))


def test_bits_are_those_that_the_largest_weight_takes() -> None:
    graph = stack((np.array([[1.0, -0.013, 0.4]]), lif(1, tau=2, threshold=0.7)))
    link = circuit_of(graph, "spikes").links[0]
    for row, bits in (([127, -2, 51], 8), ([-128, 2, 51], 8), ([3, 0, 1], 3), ([0, 0, -1], 1), ([63, 1, 2], 7)):
        p, s = program_with(graph, row)
        found = resolution(p, [link], [s])
        assert found is not None
        assert (found.bits, found.largest, found.values) == (bits, int(np.abs(row).max()), len(set(row)))
        assert found.zeros == pytest.approx(row.count(0) / 3)
        assert found.few == (bits < FEW_BITS)
    exact = stack((np.array([[1.0, -1.0, 2.0]]) / 4, lif(1, tau=2, threshold=0.75)))
    program = compile_graph(exact, timesteps=4, input_kind="spikes")
    assert next(iter(resolutions(circuit_of(exact, "spikes").links, program).values())).exact


def program_with(graph: Graph, row: list[int]) -> tuple[Population, Synapse]:
    program = compile_graph(graph, timesteps=4, input_kind="spikes")
    s = program.synapses[0]
    return program.populations[0], replace(s, map=replace(s.map, weight=np.array([row], np.int8)))


def test_a_constant_current_holds_the_scale_where_the_clock_can_carry_it() -> None:
    graph = stack((np.array([[0.01, -0.02]]), cuba(1, syn=5, mem=5, threshold=5.0)))
    node = replace(graph.nodes["w0"], bias=np.array([40.0], np.float32))  # type: ignore[type-var]
    program = compile_graph(replace(graph, nodes={**graph.nodes, "w0": node}), timesteps=20, input_kind="spikes")
    brought = [s.map.weight.astype(int) << s.exponent for s in program.synapses if s.src == CLOCK]
    assert 4000 < sum(int(w.sum()) for w in brought) <= CLOCK_MOST
