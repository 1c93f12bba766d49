"""Runs a graph in NumPy, float64, from the equations alone: the meaning that everything downstream is compared with.

Reads no metadata; a cycle's delayed edge must be known (``Graph.delayed``). Kept apart from the torch executor
(``deployed.py``) on purpose: two programs that agree are evidence, one is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snnas.export.dialects.conventions import Convention, decay_of
from snnas.export.graph.graph import (
    NEURONS,
    SPIKING,
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    Graph,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Node,
    Output,
    Pool,
    Scale,
    Threshold,
)
from snnas.hw_sim import linear
from snnas.hw_sim.program import Pool as SumPool
from snnas.hw_sim.readout import Read


@dataclass(frozen=True, slots=True)
class Run:
    """spikes: {neuron's name: bool (B, T, *shape)}; output: float64 (B, T, *shape) of the Output node's input.

    margin: the smallest |v - v_threshold| met, with v the membrane before the reset. read: see ``Graph.read``.
    membranes: {neuron's name: float64 (B, T, *shape)} as each timestep leaves them, where they were asked for.
    """

    spikes: dict[str, np.ndarray]
    output: np.ndarray
    margin: float
    read: Read = "sum"
    membranes: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def answers(self) -> np.ndarray:
        """(B, classes): the output's sum over time, its last or its largest value."""
        flat = self.output.reshape(*self.output.shape[:2], -1)
        if self.read == "last":
            return flat[:, -1]
        return np.asarray(flat.sum(axis=1) if self.read == "sum" else flat.max(axis=1))

    @property
    def predictions(self) -> np.ndarray:
        """Argmax of the answers, ties to the lowest index."""
        return self.answers.argmax(axis=1)


def run(graph: Graph, x: np.ndarray, timesteps: int, *, batch: int = 128, membranes: bool = False) -> Run:
    """x: (B, *input shape), repeated at every timestep, or (B, T, *input shape); a flat input takes (N, 1, 1) too.

    membranes: keep them as well, 8 bytes for each neuron, sample and timestep.
    """
    x = fitted(x, graph.shapes()[graph.input])
    parts = [_run(graph, x[k : k + batch], timesteps, membranes) for k in range(0, len(x), batch)]
    return Run(
        spikes={n: np.concatenate([p.spikes[n] for p in parts]) for n in parts[0].spikes},
        output=np.concatenate([p.output for p in parts]),
        margin=min(p.margin for p in parts),
        read=graph.read,
        membranes={n: np.concatenate([p.membranes[n] for p in parts]) for n in parts[0].membranes},
    )


def fitted(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Samples boxed as (C, H, W) in the shape of the input, which may be flat."""
    return x.reshape(*x.shape[:-3], *shape) if len(shape) == 1 and x.shape[-3:] == (*shape, 1, 1) else x


def _run(graph: Graph, x: np.ndarray, timesteps: int, membranes: bool) -> Run:
    order = graph.order()
    shapes = graph.shapes()
    static = x.ndim == len(shapes[graph.input]) + 1
    b = len(x)
    neurons = {n: _Neuron(graph.nodes[n], graph.convention, (b, *shapes[n])) for n in graph.of_type(NEURONS)}
    spikes = {n: np.zeros((b, timesteps, *shapes[n]), dtype=bool) for n in graph.of_type(SPIKING)}
    kept: dict[str, list[np.ndarray]] = {n: [] for n in neurons if membranes}
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
            now[name] = neurons[name].step(current) if name in neurons else apply(node, current)
            if name in spikes:
                spikes[name][:, t] = now[name] > 0
                margin = min(margin, neurons[name].margin)
        for name, memory in held.items():
            arrived = _arriving(graph, name, now, past)
            memory.append(arrived if arrived is not None else np.zeros((b, *shapes[name])))
        for name, values in kept.items():
            values.append(neurons[name].v.copy())
        outputs.append(now[graph.output])
        past = now
    found = {n: np.stack(values, axis=1) for n, values in kept.items()}
    return Run(spikes=spikes, output=np.stack(outputs, axis=1), margin=margin, membranes=found)


class _Neuron:
    """The state of a node's neurons over a batch, and its equations. margin: of the last step."""

    def __init__(self, node: Node, convention: Convention, shape: tuple[int, ...]) -> None:
        self.node, self.convention = node, convention
        self.v, self.i = np.zeros(shape), np.zeros(shape)
        self.owed = np.zeros(shape)  # what a late reset will take
        self.margin = float("inf")

    def step(self, x: np.ndarray) -> np.ndarray:
        """What goes out where ``x`` comes in: 0 or 1, or the membrane of an integrating node; float64."""
        at = self.convention
        match self.node:
            case Lif() as n:
                self._leak(n.tau, n.v_leak, n.r, x)
                return self._fire(n.v_threshold, n.v_reset)
            case CubaLif() as n:
                self._leak_behind_current(n, x)
                return self._fire(n.v_threshold, n.v_reset)
            case If() as n:
                self.v += at.dt * n.r.astype(np.float64) * x
                return self._fire(n.v_threshold, n.v_reset)
            case Threshold() as n:
                self.v = x
                return self._fire(n.threshold, None)
            case Li() as n:
                self._leak(n.tau, n.v_leak, n.r, x)
            case CubaLi() as n:
                self._leak_behind_current(n, x)
            case I() as n:
                self.v += at.dt * n.r.astype(np.float64) * x
        return self.v.copy()

    def _leak(self, tau: np.ndarray, v_leak: np.ndarray, r: np.ndarray, x: np.ndarray) -> None:
        self.v += decay_of(tau, self.convention) * (v_leak - self.v + r.astype(np.float64) * x)

    def _leak_behind_current(self, n: CubaLif | CubaLi, x: np.ndarray) -> None:
        before = self.i
        self.i = before + decay_of(n.tau_syn, self.convention) * (n.w_in.astype(np.float64) * x - before)
        self._leak(n.tau_mem, n.v_leak, n.r, before if self.convention.current == "late" else self.i)

    def _fire(self, threshold: np.ndarray, v_reset: np.ndarray | None) -> np.ndarray:
        """Spikes, after which the membrane is reset (a threshold node has none)."""
        self.v = self.v - self.owed
        self.margin = float(np.abs(self.v - threshold).min())
        fired = self.v > threshold if self.convention.compare == ">" else self.v >= threshold
        if v_reset is not None and self.convention.reset == "late":
            self.owed = np.where(fired, threshold.astype(np.float64), 0.0)
        elif v_reset is not None:
            reset = v_reset.astype(np.float64) if self.convention.reset == "zero" else self.v - threshold
            self.v = np.where(fired, reset, self.v)
        return np.asarray(fired, dtype=np.float64)


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
        case Scale():
            return x * node.scale.astype(np.float64)
        case Output():
            return x
    raise TypeError(type(node).__name__)


def constant_currents(graph: Graph) -> dict[str, np.ndarray]:
    """What arrives at every node when nothing spikes, the input is 0 and nothing waits: biases, float64.

    Of a neuron it is the bias; of a Delay, or where a delayed edge begins, what would come a timestep late.
    """
    shapes = graph.shapes()
    given: dict[str, np.ndarray] = {}
    arrived: dict[str, np.ndarray] = {}
    for name in graph.order():
        node = graph.nodes[name]
        sources = graph.sources(name)
        total = np.zeros((1, *shapes[sources[0]])) if sources else np.zeros((1, *shapes[name]))
        for s in sources:
            if (s, name) not in graph.delayed:
                total = total + given.get(s, 0.0)  # a Delay's source may come later
        arrived[name] = total[0]
        quiet = isinstance(node, (Input, Delay, *NEURONS))
        given[name] = np.zeros((1, *shapes[name])) if quiet else apply(node, total)
    for name in graph.of_type(Delay):
        arrived[name] = np.sum([given[s][0] for s in graph.sources(name)], axis=0)
    return arrived | {f"{s}:{d}": given[s][0] for s, d in graph.delayed}


def spikes_per_timestep(spikes: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """{LIF: spikes at each timestep, summed over samples and neurons}: what a run of the same graph gives again."""
    return {name: [int(n) for n in fired.sum(axis=(0, *range(2, fired.ndim)))] for name, fired in spikes.items()}
