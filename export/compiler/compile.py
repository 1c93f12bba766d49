"""The one road: graph -> circuit -> schedule -> program, each step verified before the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from snnas.export.compiler.circuit import Circuit, trace
from snnas.export.compiler.observed_currents import Ranges
from snnas.export.compiler.parts import to_ranges
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.program import INPUT, InputKind, Program


class CompileKeywords(TypedDict, total=False):
    """What of ``compile_graph`` is a user's choice, passed on by what calls it."""

    bits: int
    ranges: Ranges
    soft_reset: bool


def compile_graph(
    graph: Graph,
    *,
    timesteps: int,
    input_kind: InputKind = "analogue",
    input_range: tuple[float, float] = (0.0, 1.0),
    rates: Mapping[str, float] | None = None,
    spikes: Mapping[str, np.ndarray] | None = None,
    bits: int = WEIGHT_BITS,
    ranges: Ranges = "auto",
    soft_reset: bool = False,
    meta: dict[str, Any] | None = None,
) -> Program:
    """The integer program of a graph.

    Calibration data, by LIF name: rates, spikes per neuron and timestep; or spikes, bool (B, T, *shape), which give the
    rates, better rounding and what registers need (``calibration_spikes``). bits, ranges: as ``quantise`` takes them.
    soft_reset: take a reset by subtraction too. No chip of Loihi's family runs such a program.
    """
    graph.verify()
    circuit = trace(graph, input_kind, soft_reset=soft_reset)
    known = {group: rates[node] for group, node in circuit.node_of.items() if node in rates} if rates else {}
    of_nodes = {g: spikes[node] for g, node in circuit.node_of.items() if node in spikes} if spikes else {}
    seen = {group: _boxed(value, circuit, group) for group, value in of_nodes.items()}
    if spikes and graph.input in spikes and input_kind != "analogue":
        given = spikes[graph.input]
        seen[INPUT] = given.reshape(*given.shape[:2], *circuit.input_shape)
    parts = {name: to_ranges(index) for name, index in circuit.parts.items()}
    nodes = {"node_of": circuit.node_of, **({"parts": parts} if parts else {}), **(meta or {})}
    return quantise(
        schedule(circuit),
        timesteps=timesteps,
        rates=known,
        spikes=seen,
        input_range=input_range,
        bits=bits,
        ranges=ranges,
        meta=nodes,
    )


def calibration_spikes(graph: Graph, x: np.ndarray, timesteps: int, input_kind: InputKind) -> dict[str, np.ndarray]:
    """What ``compile_graph`` takes as ``spikes``: of every LIF on the samples x, and x itself where it is spikes."""
    fired = interpreter.run(graph, x, timesteps).spikes
    if input_kind == "analogue":
        return fired
    static = x.ndim % 2 == 0  # (B, N) or (B, C, H, W)
    return {**fired, graph.input: (np.repeat(x[:, None], timesteps, axis=1) if static else x) > 0}


def _boxed(spikes: np.ndarray, circuit: Circuit, group: str) -> np.ndarray:
    """A node's (B, T, *shape) as (B, T, C, H, W) of one of its populations."""
    flat = spikes.reshape(*spikes.shape[:2], -1)
    own = circuit.parts.get(group)
    return (flat if own is None else flat[:, :, own]).reshape(*spikes.shape[:2], *circuit.group(group).shape)
