"""The deployed network in torch: a graph executed in float64 on its stored float32 numbers.

The reference of the chain of checks; needs torch. Independent of ``interpreter.py``: other kernels, other loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields

import numpy as np
import torch
import torch.nn.functional as F

from snnas.export.dialects import conventions
from snnas.export.executors.interpreter import fitted
from snnas.export.graph.graph import (
    NEURONS,
    SPIKING,
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    Graph,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Node,
    Pool,
    Scale,
    Threshold,
)

Layer = Callable[[torch.Tensor], torch.Tensor]

# Of the largest map of the samples that are run together: over 4 maps of 16 x 32 x 32 in float64 torch's convolution
# takes a fifth of the time, for each, that it takes over 64. A matrix wants as many samples as read it once.
MAP_BYTES = 1 << 19
TOGETHER = 128


def run_deployed(
    graph: Graph, x: np.ndarray, timesteps: int, *, batch: int | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spikes {neuron's name: bool (B, T, *shape)} and the answers, float64 (B, classes): the output summed over time.

    (Or its last or its largest value, as the graph is read.) batch: samples that are run together; None: as it is fast.
    """
    x = fitted(x, graph.shapes()[graph.input])
    batch = batch or _together(graph)
    layers = {n: _layer(node) for n, node in graph.nodes.items()}
    spikes: dict[str, list[np.ndarray]] = {}
    sums = []
    for k in range(0, len(x), batch):
        given = torch.from_numpy(np.ascontiguousarray(x[k : k + batch])).double()
        part, total = _run(graph, layers, given, timesteps)
        sums.append(total)
        for name, value in part.items():
            spikes.setdefault(name, []).append(value)
    return {n: np.concatenate(v) for n, v in spikes.items()}, np.concatenate(sums)


def _together(graph: Graph) -> int:
    """How many samples are run together: few large maps, and as many as a large matrix is worth."""
    largest = max(8 * math.prod(shape) for shape in graph.shapes().values())
    matrix = max((8 * node.weight.size for node in graph.nodes.values() if isinstance(node, Linear)), default=0)
    return min(TOGETHER, max(1, MAP_BYTES // largest, matrix // largest))


@torch.no_grad()
def _run(
    graph: Graph, layers: Mapping[str, Layer], x: torch.Tensor, timesteps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    order = graph.order()
    static = x.ndim == len(graph.shapes()[graph.input]) + 1
    incoming = {n: graph.sources(n) for n in order}
    neurons = {n: _Neurons(graph.nodes[n], graph.convention) for n in graph.of_type(NEURONS)}
    history: dict[str, list[torch.Tensor]] = {n: [] for n in order}
    for t in range(timesteps):
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, Input):
                history[name].append(x if static else x[:, t])
                continue
            current: torch.Tensor | None = None
            for s in incoming[name]:
                wait = node.steps if isinstance(node, Delay) else int((s, name) in graph.delayed)
                if t >= wait and len(history[s]) > t - wait:
                    sent = history[s][t - wait]
                    current = sent if current is None else current + sent
            if current is None:
                current = x.new_zeros(len(x), *graph.shapes()[incoming[name][0]])
            history[name].append(neurons[name](current) if name in neurons else layers[name](current))
    spikes = {n: torch.stack(history[n], dim=1).bool().numpy() for n in graph.of_type(SPIKING)}
    outputs = torch.stack(history[graph.output])
    answer = {"last": outputs[-1], "sum": outputs.sum(dim=0), "max": outputs.amax(dim=0)}[graph.read]
    return spikes, answer.flatten(1).numpy()


class _Neurons:
    """A node's neurons, one call per timestep: the current in, spikes (or an integrator's membrane) out, float64."""

    def __init__(self, node: Node, convention: conventions.Convention) -> None:
        self.node, self.reset, self.at_least = node, convention.reset, convention.compare == ">="
        self.p = {f.name: torch.from_numpy(getattr(node, f.name)).double() for f in fields(node)}
        tau = {n: getattr(node, n) for n in ("tau", "tau_syn", "tau_mem") if n in self.p}
        self.share = {n: torch.from_numpy(conventions.decay_of(value, convention)) for n, value in tau.items()}
        self.dt, self.late = convention.dt, convention.current == "late"
        self.v: torch.Tensor | None = None
        self.owed: torch.Tensor | float = 0.0  # what a late reset will take
        self.i: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self.node, Threshold):
            return self._above(x, self.p["threshold"]).double()
        v = torch.zeros_like(x) if self.v is None else self.v
        if isinstance(self.node, CubaLif | CubaLi):
            i = torch.zeros_like(x) if self.i is None else self.i
            self.i = i + self.share["tau_syn"] * (self.p["w_in"] * x - i)
            x = i if self.late else self.i
        drive = self.p["r"] * x
        if isinstance(self.node, Lif | CubaLif | Li | CubaLi):
            share = self.share["tau_mem" if isinstance(self.node, CubaLif | CubaLi) else "tau"]
            v = v + share * (self.p["v_leak"] - v + drive)
        else:
            v = v + self.dt * drive
        self.v = v = v - self.owed
        if not isinstance(self.node, Lif | CubaLif | If):
            return v
        fired = self._above(v, self.p["v_threshold"])
        if self.reset == "late":
            self.owed = fired * self.p["v_threshold"]
        else:
            self.v = torch.where(fired, v - self.p["v_threshold"] if self.reset == "subtract" else self.p["v_reset"], v)
        return fired.double()

    def _above(self, v: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        return v >= threshold if self.at_least else v > threshold


def _layer(node: Node) -> Layer:
    match node:
        case Conv():
            w, b = _double(node.weight), _double(node.bias)
            return lambda x: F.conv2d(x, w, b, node.stride, node.pad, 1, node.groups)  # type: ignore[arg-type]
        case Linear():
            w, b = _double(node.weight), _double(node.bias)
            return lambda x: F.linear(x, w, b)  # type: ignore[arg-type]
        case Pool(average=True):
            return lambda x: F.avg_pool2d(x, node.kernel, node.stride, node.pad)
        case Pool():
            area = node.kernel[0] * node.kernel[1]
            return lambda x: F.avg_pool2d(x, node.kernel, node.stride, node.pad) * area
        case Flatten():
            return lambda x: x.flatten(1)
        case Scale():
            scale = torch.from_numpy(node.scale).double()
            return lambda x: x * scale
    return lambda x: x


def _double(value: np.ndarray | None) -> torch.Tensor | None:
    return None if value is None else torch.from_numpy(value).double()
