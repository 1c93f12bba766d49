"""The one road: graph -> circuit -> schedule -> program, each step verified before the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.circuit import trace
from export.graph import Graph
from export.quantise import quantise
from export.schedule import schedule
from hw_sim.program import InputKind, Program


def compile_graph(
    graph: Graph,
    *,
    timesteps: int,
    input_kind: InputKind = "analogue",
    input_range: tuple[float, float] = (0.0, 1.0),
    rates: Mapping[str, float] | None = None,
    meta: dict[str, Any] | None = None,
) -> Program:
    """The integer program of a graph. rates: {LIF name: spikes per neuron and timestep on calibration data}."""
    graph.verify()
    circuit = trace(graph, input_kind)
    known = {group: rates[node] for group, node in circuit.node_of.items() if node in rates} if rates else {}
    nodes = {"node_of": circuit.node_of, **(meta or {})}
    return quantise(schedule(circuit), timesteps=timesteps, rates=known, input_range=input_range, meta=nodes)
