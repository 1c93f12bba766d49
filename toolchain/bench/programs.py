"""What ``snnas bench simulate`` runs: the program compared with Lava's, and the float network of 300,000 weights.

No training: random weights, with thresholds (or batch norms) settled so that every population fires.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from snnas.export.graph.graph import Graph, Lif
    from snnas.hw_sim.program import Program

TIMESTEPS, RATE = 8, 0.1


def comparison_program(seed: int) -> tuple[Program, dict[str, float]]:
    """The program of the comparison, and the firing rate of each population (the input's included)."""
    from snnas.export.compiler.compile import compile_graph
    from snnas.hw_sim.simulate.simulator import simulate

    graph = comparison_graph(seed)
    program = compile_graph(graph, timesteps=TIMESTEPS, input_kind="spikes")
    spikes = np.random.default_rng(seed + 1).random((4, TIMESTEPS, *program.input_shape)) < RATE
    trace = simulate(program, spikes_in=spikes)
    return program, {"input": float(spikes.mean()), **{n: float(s.mean()) for n, s in trace.spikes.items()}}


def comparison_graph(seed: int) -> Graph:
    """Layer by layer: random weights, then the threshold at which ``RATE`` of the neurons fire on random spikes."""
    from snnas.export.graph.graph import Conv, Flatten, Graph, Input, Linear, Output
    from snnas.hw_sim.linear import apply
    from snnas.hw_sim.program import LinearMap

    rng = np.random.default_rng(seed)
    spikes: np.ndarray = rng.random((4 * TIMESTEPS, 3, 32, 32)) < RATE
    nodes: dict[str, Any] = {"input": Input(shape=(3, 32, 32))}
    for k, channels in enumerate((16, 32), start=1):
        weight = rng.normal(0, 1 / np.sqrt(9 * spikes.shape[1]), (channels, spikes.shape[1], 3, 3)).astype(np.float32)
        current = apply(LinearMap(kind="conv", weight=weight, pad=(1, 1)), spikes, (channels, 32, 32))
        nodes[f"conv{k}"] = Conv(weight=weight, bias=None, pad=(1, 1))
        nodes[f"lif{k}"], spikes = _alive(current)
    nodes["flatten"] = Flatten()
    weight = rng.normal(0, 1 / np.sqrt(spikes[0].size), (10, spikes[0].size)).astype(np.float32)
    nodes["dense"] = Linear(weight=weight, bias=None)
    nodes["lif3"], spikes = _alive(spikes.reshape(len(spikes), -1) @ weight.T.astype(np.float64))
    nodes["readout"] = Linear(weight=np.eye(10, dtype=np.float32), bias=None)
    nodes["output"] = Output(shape=(10,))
    names = list(nodes)
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(names)))


def _alive(current: np.ndarray) -> tuple[Lif, np.ndarray]:
    """A LIF (tau = 4/3 steps) whose threshold lets about ``RATE`` fire, and its spikes. current: (B * T, *shape)."""
    from snnas.export.dialects.conventions import DT
    from snnas.export.graph.graph import Lif

    shape = current.shape[1:]
    low, high = 0.0, float(current.max())
    threshold, out = high, np.zeros((len(current) // TIMESTEPS, TIMESTEPS, *shape), dtype=bool)
    for _ in range(20):
        threshold = (low + high) / 2
        v: np.ndarray = np.zeros((len(out), *shape))
        for t in range(TIMESTEPS):
            v = v + (current.reshape(len(out), TIMESTEPS, *shape)[:, t] - v) * 0.75
            out[:, t] = v > threshold
            v[out[:, t]] = 0
        low, high = (threshold, high) if out.mean() > RATE else (low, threshold)

    def full(value: float) -> np.ndarray:
        return np.full(shape, value, dtype=np.float32)

    lif = Lif(tau=full(DT * 4 / 3), r=full(1), v_leak=full(0), v_threshold=full(threshold), v_reset=full(0))
    return lif, out.reshape(current.shape)


def expanded(program: Program) -> Program:
    """The same program with every convolution as the sparse matrix it stands for."""
    from snnas.hw_sim.lava import run_lava
    from snnas.hw_sim.program import LinearMap

    synapses = []
    for s in program.synapses:
        if s.map.kind == "conv":
            matrix, _ = run_lava.conv_matrix(
                s.map.weight, program.source_shape(s.src), s.map.stride, s.map.pad, s.map.groups
            )
            sparse = LinearMap(
                kind="sparse",
                weight=matrix.data.astype(np.int8),
                indices=matrix.indices.astype(np.int32),
                indptr=matrix.indptr.astype(np.int32),
            )
            synapses.append(replace(s, map=sparse))
        else:
            synapses.append(s)
    return replace(program, synapses=tuple(synapses))


def float_network(seed: int) -> Any:
    """A LightSNN-space network of about 300,000 weights in eval mode, its batch norms settled on random images."""
    import torch

    from snnas.search.network import space
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.network import Network

    genotype = space.get("lightsnn").random_genotype(np.random.default_rng(seed))
    config = NetworkConfig(input_shape=(1, 28, 28), classes=10, head="lif")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = []
        for hidden in range(32, 513, 32):
            net = Network(genotype, replace(config, hidden=hidden))
            found.append((abs(sum(p.numel() for p in net.parameters() if p.ndim > 1) - 300_000), hidden))
        net = Network(genotype, replace(config, hidden=min(found)[1]))
        with torch.no_grad():
            for _ in range(20):
                net(torch.rand(32, 1, 28, 28))
    return net.eval()
