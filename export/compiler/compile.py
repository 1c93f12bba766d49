"""The one road: graph -> circuit -> schedule -> program, each step verified before the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.schedule import schedule
from snnas.export.graph.graph import Graph
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.program import InputKind, Program


def compile_graph(
    graph: Graph,
    *,
    timesteps: int,
    input_kind: InputKind = "analogue",
    input_range: tuple[float, float] = (0.0, 1.0),
    rates: Mapping[str, float] | None = None,
    spikes: Mapping[str, np.ndarray] | None = None,
    bits: int = WEIGHT_BITS,
    soft_reset: bool = False,
    meta: dict[str, Any] | None = None,
) -> Program:
    """The integer program of a graph.

    Calibration data, by LIF name: rates, spikes per neuron and timestep; or spikes, bool (B, T, *shape), which give the
    rates and better rounding. bits: of a weight, 8, 6 or 4; UsageError for another.
    soft_reset: take a reset by subtraction too. No chip of Loihi's family runs such a program.
    """
    graph.verify()
    circuit = trace(graph, input_kind, soft_reset=soft_reset)
    known = {group: rates[node] for group, node in circuit.node_of.items() if node in rates} if rates else {}
    seen = {g: _boxed(spikes[node]) for g, node in circuit.node_of.items() if node in spikes} if spikes else {}
    nodes = {"node_of": circuit.node_of, **(meta or {})}
    return quantise(
        schedule(circuit),
        timesteps=timesteps,
        rates=known,
        spikes=seen,
        input_range=input_range,
        bits=bits,
        meta=nodes,
    )


def _boxed(spikes: np.ndarray) -> np.ndarray:
    """(B, T, N) or (B, T, C, H, W) -> (B, T, C, H, W)."""
    return spikes[..., None, None] if spikes.ndim == 3 else spikes
