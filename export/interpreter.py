"""Runs a graph in NumPy, float64, from the equations alone: the meaning that everything downstream is compared with.

Reads no metadata; a cycle's delayed edge must be known (``Graph.delayed``). Kept apart from the torch executor
(``deployed.py``) on purpose: two programs that agree are evidence, one is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export import conventions
from export.graph import Conv, Delay, Flatten, Graph, Input, Lif, Linear, Node, Output, Pool
from hw_sim import linear
from hw_sim.program import Pool as SumPool


@dataclass(frozen=True, slots=True)
class Run:
    """spikes: {LIF name: bool (B, T, *shape)}; output: float64 (B, T, *shape) of the Output node's input.

    margin: the smallest |v - v_threshold| met, with v the membrane before the reset.
    """

    spikes: dict[str, np.ndarray]
    output: np.ndarray
    margin: float

    @property
    def predictions(self) -> np.ndarray:
        """Argmax of the output summed over time, ties to the lowest index."""
        return self.output.sum(axis=1).reshape(len(self.output), -1).argmax(axis=1)


def run(graph: Graph, x: np.ndarray, timesteps: int, *, batch: int = 128) -> Run:
    """x: (B, *input shape), repeated at every timestep, or (B, T, *input shape)."""
    parts = [_run(graph, x[k : k + batch], timesteps) for k in range(0, len(x), batch)]
    return Run(
        spikes={n: np.concatenate([p.spikes[n] for p in parts]) for n in parts[0].spikes},
        output=np.concatenate([p.output for p in parts]),
        margin=min(p.margin for p in parts),
    )


def _run(graph: Graph, x: np.ndarray, timesteps: int) -> Run:
    order = graph.order()
    shapes = graph.shapes()
    static = x.ndim == len(shapes[graph.input]) + 1
    b = len(x)
    v = {n: np.zeros((b, *shapes[n])) for n in graph.of_type(Lif)}
    spikes = {n: np.zeros((b, timesteps, *shapes[n]), dtype=bool) for n in v}
    held: dict[str, list[np.ndarray]] = {n: [] for n in graph.of_type(Delay)}
    past: dict[str, np.ndarray] = {}
    outputs = []
    margin = float("inf")
    for t in range(timesteps):
        now: dict[str, np.ndarray] = {}
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, Input):
                now[name] = (x if static else x[:, t]).astype(np.float64)
                continue
            if isinstance(node, Delay):
                now[name] = held[name][t - node.steps] if t >= node.steps else np.zeros((b, *shapes[name]))
                continue
            current = _arriving(graph, name, now, past)
            if current is None:
                current = np.zeros((b, *shapes[graph.sources(name)[0]]))
            if isinstance(node, Lif):
                decay = conventions.decay_of(node.tau)
                v[name] += decay * (node.v_leak - v[name] + node.r.astype(np.float64) * current)
                fired = v[name] > node.v_threshold
                margin = min(margin, float(np.abs(v[name] - node.v_threshold).min()))
                v[name] = np.where(fired, node.v_reset.astype(np.float64), v[name])
                spikes[name][:, t] = fired
                now[name] = fired.astype(np.float64)
            else:
                now[name] = apply(node, current)
        for name, memory in held.items():
            arrived = _arriving(graph, name, now, past)
            memory.append(arrived if arrived is not None else np.zeros((b, *shapes[name])))
        outputs.append(now[graph.output])
        past = now
    return Run(spikes=spikes, output=np.stack(outputs, axis=1), margin=margin)


def _arriving(graph: Graph, name: str, now: dict[str, np.ndarray], past: dict[str, np.ndarray]) -> np.ndarray | None:
    """The sum over a node's edges; None where nothing has arrived yet (delayed edges at t = 0)."""
    total = None
    for s in graph.sources(name):
        value = past.get(s) if (s, name) in graph.delayed else now[s]
        if value is not None:
            total = value if total is None else total + value
    return total


def apply(node: Node, x: np.ndarray) -> np.ndarray:
    """A stateless node on a batch, in float64."""
    match node:
        case Conv():
            y = linear.convolve(x, node.weight.astype(np.float64), node.stride, node.pad, node.groups)
            return y if node.bias is None else y + node.bias.astype(np.float64)[:, None, None]
        case Linear():
            y = x @ node.weight.astype(np.float64).T
            return y if node.bias is None else y + node.bias
        case Pool():
            total = linear.sum_pool(x, SumPool(node.kernel, node.stride, node.pad))
            return total / (node.kernel[0] * node.kernel[1]) if node.average else total
        case Flatten():
            return x.reshape(len(x), -1)
        case Output():
            return x
    raise TypeError(type(node).__name__)


def constant_currents(graph: Graph) -> dict[str, np.ndarray]:
    """The current that reaches every LIF and the Output when nothing spikes and the input is 0: its bias, float64."""
    shapes = graph.shapes()
    now: dict[str, np.ndarray] = {}
    arrived: dict[str, np.ndarray] = {}
    for name in graph.order():
        node = graph.nodes[name]
        if isinstance(node, Input | Delay):
            now[name] = np.zeros((1, *shapes[name]))
            continue
        total = np.zeros((1, *shapes[graph.sources(name)[0]]))
        for s in graph.sources(name):
            total = total + now.get(s, 0.0)  # a delayed edge's source may come later; spikes are 0 anyway
        if isinstance(node, Lif | Output):
            arrived[name] = total[0]
            now[name] = np.zeros((1, *shapes[name]))
        else:
            now[name] = apply(node, total)
    return arrived


def spikes_per_timestep(spikes: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """{LIF: spikes at each timestep, summed over samples and neurons}: what a run of the same graph gives again."""
    return {name: [int(n) for n in fired.sum(axis=(0, *range(2, fired.ndim)))] for name, fired in spikes.items()}
