"""What is called exact differs in no spike, whatever comes; what is not is told why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.exactness import exact_for, obstacles
from snnas.export.compiler.quantisation_error import quantisation_errors
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from tests.export.compiler.test_exact_graphs import chain, differing, drawn, neurons, quarters, trains


def told(graph: Graph, program: Program) -> dict[str, str]:
    return obstacles(schedule(trace(graph, program.input_kind)).circuit, program)


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 1 << 30))
def test_no_spike_of_an_exact_population_differs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = drawn(rng)
    program = compile_graph(graph, timesteps=8, input_kind="spikes")
    x = rng.random((8, 8, *graph.nodes["input"].shape)) < rng.choice([0.2, 0.8])  # type: ignore[union-attr]
    ours = simulate(program, spikes_in=x).spikes
    theirs = interpreter.run(graph, x.astype(np.float32), 8).spikes
    found = told(graph, program)
    assert not found["first"] or found["first"].startswith("its leak takes")
    for name, node in program.meta["node_of"].items():
        if not found[name]:
            assert np.array_equal(ours[name].reshape(theirs[node].shape), theirs[node]), name


@pytest.mark.parametrize("kind", ["if", "threshold", "lif 1", "lif 2"])
def test_a_graph_of_quarters_is_exact(kind: str) -> None:
    graph = chain(neurons(kind, 1.25, 3), quarters(np.random.default_rng(0), 3, 5))
    program = compile_graph(graph, timesteps=6, input_kind="spikes")
    assert told(graph, program) == {"n": ""}
    assert quantisation_errors(graph, program)["n"].inexact == ""


CASES: dict[str, tuple[Callable[[], Graph], str, str]] = {
    "a current": (lambda: chain(neurons("if", 1.25, 2), np.eye(2)), "analogue", "its input is a current"),
    "weights": (lambda: chain(neurons("if", 1.25, 2), np.array([[1.0, 1 / 3], [0.1, 0.77]])), "spikes", "its weights"),
    "leak": (lambda: chain(neurons("lif 3", 1.25, 2), np.eye(2)), "spikes", "its leak is rounded"),
    "bits": (
        lambda: chain(neurons("lif 4", 1.25, 2), np.eye(2)),
        "spikes",
        "its leak takes 2 bits a timestep",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_exact_is_told_why(case: str) -> None:
    made, kind, said = CASES[case]
    graph = made()
    program = compile_graph(graph, timesteps=40, input_kind=kind)  # type: ignore[arg-type]
    assert told(graph, program)["n"].startswith(said)


def test_bits_of_a_leak_last_for_as_many_timesteps_as_is_said() -> None:
    """Two a timestep: a longer program is exact for its beginning, and a rounded leak for the first timestep."""
    graph = chain(neurons("lif 4", 1.25, 2), np.array([[1.0, 0.25], [-0.5, 0.75]]))
    program = compile_graph(graph, timesteps=40, input_kind="spikes")
    circuit = schedule(trace(graph, "spikes")).circuit
    (bits,) = re.findall(
        r"its leak takes 2 bits a timestep, of which its membrane has those of (\d+)", *told(graph, program).values()
    )
    assert exact_for(circuit, program) == {"n": int(bits) + 1}
    (p,) = program.populations
    assert exact_for(circuit, replace(program, populations=(replace(p, dv=p.dv + 1),))) == {"n": 1}
    assert exact_for(circuit, replace(program, populations=(replace(p, vth=1),))) == {"n": 0}
    assert exact_for(circuit, replace(program, timesteps=3)) == {"n": 3}
    x = (np.random.default_rng(0).random((64, 40, 2)) < 0.5).astype(np.float32)
    ours = simulate(program, spikes_in=x.reshape(64, 40, 2, 1, 1) > 0).spikes["n"].reshape(64, 40, 2)
    first = int(bits) + 1
    assert np.array_equal(ours[:, :first], interpreter.run(graph, x, 40).spikes["n"][:, :first])


@pytest.mark.parametrize(
    ("fault", "said"), [("vth", "its threshold"), ("bias", "its bias"), ("dv", "its leak"), ("weight", "its weights")]
)
def test_a_number_of_the_program_that_is_not_the_graphs_is_seen(fault: str, said: str) -> None:
    graph = chain(neurons("if", 1.25, 2), np.array([[1.0, 0.25], [-0.5, 0.75]]), np.array([0.25, 0.0], np.float32))
    program = compile_graph(graph, timesteps=6, input_kind="spikes")
    (p,), (s,) = program.populations, program.synapses
    assert told(graph, program) == {"n": ""}
    if fault == "vth":
        p = replace(p, vth=p.vth * 5 // 4)
    elif fault == "bias":
        p = replace(p, bias=p.bias + np.int16(1))
    elif fault == "dv":
        p = replace(p, dv=1)
    else:
        s = replace(s, map=replace(s.map, weight=s.map.weight + np.int8(1)))
    assert told(graph, replace(program, populations=(p,), synapses=(s,)))["n"].startswith(said)


def test_what_is_fed_by_what_is_not_exact_is_not_either() -> None:
    rng = np.random.default_rng(0)
    graph = next(g for g in (drawn(rng) for _ in range(50)) if ("third", "loop") in g.delayed)
    program = compile_graph(graph, timesteps=4, input_kind="spikes")
    first = program.population("first")
    program = replace(program, populations=(replace(first, bias=first.bias + np.int16(1)), *program.populations[1:]))
    found = told(graph, program)
    assert found["first"] == "its bias is rounded"
    assert found["second"] in (f"population {n}, which feeds it, is not exact" for n in ("first", "or"))
    assert found["third"].endswith("which feeds it, is not exact")


def test_inhibition_has_room_where_a_smaller_scale_is_as_exact() -> None:
    """300 timesteps of it, then a long climb: at the largest scale the membrane ends at -2^23, and rises too early."""
    graph = chain(neurons("if", 1.0, 1), np.array([[0.25, -1.0]]))
    x = trains("0" * 300 + "1" * 1300, "1" * 300 + "0" * 1300)
    assert told(graph, compile_graph(graph, timesteps=1600, input_kind="spikes")) == {"n": ""}
    wrong, _, fired = differing(graph, x, 1600)
    assert wrong == 0
    assert fired > 0


def test_inhibition_without_room_is_told() -> None:
    graph = chain(neurons("if", 1.0, 1), np.array([[0.25, -25.0]]))
    program = compile_graph(graph, timesteps=40_000, input_kind="spikes")
    assert told(graph, program)["n"] == "inhibition may reach the end of its membrane"
