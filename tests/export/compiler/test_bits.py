"""Weights of 8, 6 and 4 bits: which numbers get narrower, which stay exact, and what a chip keeps of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.grids import exact_scale
from snnas.export.compiler.quantisation_error import quantisation_errors, with_spikes
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.rounding import round_weights
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim import limits
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.map.wiring import READOUT, wirings
from snnas.hw_sim.program import CLOCK, LinearMap, Program
from snnas.hw_sim.simulate.simulator import simulate, simulate_input
from tests.export.compiler.test_quantise import dense
from tests.studies.ranges import cuba_chain

BITS = pytest.mark.parametrize("bits", limits.WEIGHT_WIDTHS)
STEPS = 6


@pytest.fixture(scope="module")
def graph() -> Graph:
    return cuba_chain(np.random.default_rng(0))


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return np.random.default_rng(1).random((24, STEPS, 2, 10, 10)) < 0.3


def program_of(graph: Graph, bits: int, inputs: np.ndarray | None = None) -> Program:
    spikes = None if inputs is None else interpreter.run(graph, inputs.astype(np.float32), STEPS).spikes
    return compile_graph(graph, timesteps=STEPS, input_kind="spikes", bits=bits, spikes=spikes)


@BITS
def test_weights_fill_their_bits_and_the_clock_and_readout_keep_eight(graph: Graph, bits: int, tmp_path: Path) -> None:
    program = program_of(graph, bits)
    low, high = limits.weight_range(bits)
    assert (low, high) == {8: (-128, 127), 6: (-32, 31), 4: (-8, 7)}[bits]
    assert program.weight_bits == program.meta["bits"] == bits
    for s in program.synapses:
        if s.src != CLOCK:
            assert low <= s.map.weight.min() <= s.map.weight.max() <= high
            assert max(-s.map.weight.min(), s.map.weight.max()) > high / 2
    assert any(s.src == CLOCK and np.abs(s.map.weight).max() > 7 for s in program.synapses)
    assert np.abs(program.readout.readings[0].weight).max() == 127
    write_program(tmp_path / "program.npz", program)
    assert read_program(tmp_path / "program.npz").weight_bits == bits
    widths = {w.src: w.bits for w in wirings(program).values()}
    assert widths[CLOCK] == wirings(program)[READOUT].bits == 8
    assert widths["input"] == bits


def test_a_width_that_no_program_has_is_refused(graph: Graph) -> None:
    with pytest.raises(UsageError, match="--bits 5: expected one of 8, 6, 4"):
        program_of(graph, 5)
    program = program_of(graph, 8)
    with pytest.raises(UnsupportedError, match=r"its weights leave -8\.\.7, what 4 bits hold"):
        replace(program, meta={**program.meta, "bits": 4}).verify()
    for wrong in (7, "8", [8], True, None):
        with pytest.raises(InvalidFileError, match="expected one of 8, 6, 4"):
            replace(program, meta={"bits": wrong}).verify()


def test_a_program_that_says_no_width_has_eight_bits(graph: Graph) -> None:
    assert replace(program_of(graph, 8), meta={}).weight_bits == 8


def test_fewer_bits_take_less_memory_and_change_more(graph: Graph, inputs: np.ndarray) -> None:
    floats = interpreter.run(graph, inputs.astype(np.float32), STEPS).spikes
    memory, weight, differing = [], [], []
    for bits in limits.WEIGHT_WIDTHS:
        program = program_of(graph, bits, inputs)
        mapping = map_program(program, load_system())
        assert mapping.weight_bits == bits
        memory.append(mapping.utilisation["synapse_bytes"].used)
        spikes = simulate(program, spikes_in=inputs).spikes
        golden = {f"spikes.{n}": np.packbits(s.reshape(len(inputs), STEPS, -1), axis=-1) for n, s in spikes.items()}
        errors = with_spikes(quantisation_errors(graph, program), program, golden, floats)
        weight.append(max(e.weight for e in errors.values()))
        differing.append(sum(e.differing for e in errors.values()))
        assert differing[-1] == sum(
            int((spikes[p] != floats[n].reshape(spikes[p].shape)).sum()) for p, n in program.meta["node_of"].items()
        )
    assert memory == sorted(set(memory), reverse=True)
    assert weight == sorted(set(weight))
    assert differing == sorted(set(differing))
    assert weight[0] < 0.03 < 0.1 < weight[2] < 0.3


@BITS
def test_weights_that_are_whole_already_stay_so_while_they_fit(bits: int) -> None:
    _, most = limits.weight_range(bits)
    weights = np.array([[most, -1.0, 3.0]]) / 16
    scale, _ = exact_scale([weights], 1.0, 0.0, 1e4, bits) or (0.0, 0)
    assert scale
    units = weights * scale
    assert (units == np.rint(units)).all()
    assert exact_scale([np.array([[most + 2.0, 1.0]])], 1.0, 0.0, 1e4, bits) is None


@BITS
def test_rounding_with_feedback_stays_within_the_bits(bits: int) -> None:
    rng = np.random.default_rng(0)
    low, high = limits.weight_range(bits)
    linear = LinearMap(kind="dense", weight=rng.normal(size=(5, 40)))
    step = float(np.abs(linear.weight).max()) / high / 2  # half the range: clipped, and the rest made up elsewhere
    rounded = round_weights(linear, step, rng.random((30, 4, 40, 1, 1)) < 0.4, bits)
    assert (rounded.min(), rounded.max()) == (low, high)
    assert (rounded == np.rint(rounded)).all()


def test_the_largest_weights_are_clipped_where_that_costs_less() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 400)) * 0.02
    weights[0, 0] = 0.1  # alone; all others would lose half their steps to it
    for bits, clipped in ((8, False), (4, True)):
        program = quantise(schedule(dense(weights)), timesteps=4, bits=bits)
        (s,), p = program.synapses, program.populations[0]
        assert (int(s.map.weight[0, 0]) * (1 << s.exponent) / p.scale < 0.09) == clipped


@BITS
def test_thresholds_leaks_and_biases_are_as_exact_at_four_bits(graph: Graph, bits: int) -> None:
    program = program_of(graph, bits)
    for name, e in quantisation_errors(graph, program).items():
        unit = 1 / program.population(name).vth
        assert e.bias <= 0.51 * unit  # half a weight unit
        assert -0.52 * unit < e.threshold < 0
        assert abs(e.leak) < 2**-13
        assert abs(e.current_decay) < 2**-12


@BITS
def test_gates_are_exact(bits: int) -> None:
    pytest.importorskip("torch")
    from snnas.export.compiler.fold import fold
    from snnas.search.network.genotype import Cell, Genotype
    from tests.networks import network

    cell = Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "conv3x3"})
    graph = fold(network(Genotype("lightsnn", (cell,) * 2), 0).layers())
    program = compile_graph(graph, timesteps=3, bits=bits)
    gates = {p.id for p in program.populations if p.role != "neuron"}
    assert {program.population(name).role for name in gates} == {"or", "relay"}
    x = np.random.default_rng(0).random((8, *program.input_shape), dtype=np.float32)
    trace, _ = next(simulate_input(program, x))
    for s in program.synapses:
        if s.dst in gates:
            assert (s.map.weight == 2).all()
            fired = apply(
                s.map, trace.spikes[s.src].reshape(-1, *program.source_shape(s.src)), (program.population(s.dst).shape)
            )
            assert ((fired > 0) == trace.spikes[s.dst].reshape(fired.shape)).all()
    assert all(e.weight == 0 for n, e in quantisation_errors(graph, program).items() if n in gates)
