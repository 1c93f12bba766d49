"""The deployed network in torch: a graph executed in float64 on its stored float32 numbers.

The reference of the chain of checks; needs torch. Independent of ``interpreter.py``: other kernels, other loops.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from export import conventions
from export.graph import Conv, Delay, Flatten, Graph, Input, Lif, Linear, Node, Pool


def run_deployed(
    graph: Graph, x: np.ndarray, timesteps: int, *, batch: int = 128
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Spikes {LIF name: bool (B, T, *shape)} and the output summed over time, float64 (B, classes)."""
    spikes: dict[str, list[np.ndarray]] = {}
    sums = []
    for k in range(0, len(x), batch):
        part, total = _run(graph, torch.from_numpy(np.ascontiguousarray(x[k : k + batch])).double(), timesteps)
        sums.append(total)
        for name, value in part.items():
            spikes.setdefault(name, []).append(value)
    return {n: np.concatenate(v) for n, v in spikes.items()}, np.concatenate(sums)


@torch.no_grad()
def _run(graph: Graph, x: torch.Tensor, timesteps: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    order = graph.order()
    static = x.ndim == len(graph.shapes()[graph.input]) + 1
    layers = {n: _layer(node) for n, node in graph.nodes.items()}
    incoming = {n: graph.sources(n) for n in order}
    state: dict[str, torch.Tensor] = {}
    history: dict[str, list[torch.Tensor]] = {n: [] for n in order}
    for t in range(timesteps):
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, Input):
                history[name].append(x if static else x[:, t])
                continue
            current: torch.Tensor | float = 0.0
            for s in incoming[name]:
                wait = node.steps if isinstance(node, Delay) else int((s, name) in graph.delayed)
                if t >= wait and len(history[s]) > t - wait:
                    current = current + history[s][t - wait]
            if isinstance(current, float):
                current = x.new_zeros(len(x), *graph.shapes()[incoming[name][0]])
            if isinstance(node, Lif):
                v = state.get(name, torch.zeros_like(current))
                v = v + torch.from_numpy(conventions.decay_of(node.tau)) * (current - v)
                fired = v > torch.from_numpy(node.v_threshold).double()
                state[name] = v.masked_fill(fired, 0.0)
                history[name].append(fired.double())
            else:
                history[name].append(layers[name](current))
    spikes = {n: torch.stack(history[n], dim=1).bool().numpy() for n in graph.of_type(Lif)}
    total = torch.stack(history[graph.output]).sum(dim=0).flatten(1)
    return spikes, total.numpy()


def _layer(node: Node) -> Callable[[torch.Tensor], torch.Tensor]:
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
    return lambda x: x


def _double(value: np.ndarray | None) -> torch.Tensor | None:
    return None if value is None else torch.from_numpy(value).double()
