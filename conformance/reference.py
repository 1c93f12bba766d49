"""The graphs' meaning, written out from NIR's equations with numpy alone: what the expected values are made by.

Nodes are nir's own objects. Nothing is fast here, and nothing is shared with a tool: an interpreter of its own in
float64, whose parameters are the file's float32 numbers and whose steps are float32(dt) / tau and float32(dt) r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from conformance.conventions import DT, Convention

Edge = tuple[str, str]
MEMBRANES = (nir.LIF, nir.CubaLIF, nir.IF, nir.LI, nir.CubaLI, nir.I)
SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
STATEFUL = (*MEMBRANES, nir.Threshold)


@dataclass
class Played:
    """Arrays (B, T, *shape): the output; spikes by node, bool; membranes by node, as a timestep leaves them.

    nearest: the smallest |v - threshold| met, exact meetings left out; ties: how many met exactly,
    a threshold of 0 left out (a membrane that nothing moved is 0 in every arithmetic).
    """

    output: np.ndarray
    spikes: dict[str, np.ndarray]
    membranes: dict[str, np.ndarray]
    nearest: float
    ties: int


def play(graph: Any, x: np.ndarray, convention: Convention, delayed: frozenset[Edge] = frozenset()) -> Played:
    """Run ``graph`` from rest on ``x`` (B, T, *input shape); edges of ``delayed`` carry the timestep before."""
    machine = _Machine(opened(graph), convention, delayed)
    frames = [machine.step(x[:, t].astype(np.float64)) for t in range(x.shape[1])]
    nodes = machine.nodes
    output = next(name for name, node in nodes.items() if isinstance(node, nir.Output))
    return Played(
        np.stack([given[output] for given, _ in frames], 1),
        {n: np.stack([g[n] for g, _ in frames], 1) > 0 for n, node in nodes.items() if isinstance(node, SPIKING)},
        {n: np.stack([v[n] for _, v in frames], 1) for n, node in nodes.items() if isinstance(node, MEMBRANES)},
        machine.nearest,
        machine.ties,
    )


def opened(graph: Any) -> Any:
    """The graph with nested ones laid open: node ``a`` of graph ``g`` is ``g.a``, their own ends are wires."""
    nodes: dict[str, Any] = {}
    edges = list(graph.edges)
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph):
            nodes[name] = node
            continue
        inner = opened(node)
        first = next(n for n, d in inner.nodes.items() if isinstance(d, nir.Input))
        last = next(n for n, d in inner.nodes.items() if isinstance(d, nir.Output))
        begins = [d for s, d in inner.edges if s == first]
        ends = [s for s, d in inner.edges if d == last]
        nodes |= {f"{name}.{n}": d for n, d in inner.nodes.items() if n not in (first, last)}
        edges = (
            [(s, d) for s, d in edges if name not in (s, d)]
            + [(s, f"{name}.{d}") for s, to in edges if to == name for d in begins]
            + [(f"{name}.{s}", d) for at, d in edges if at == name for s in ends]
            + [(f"{name}.{s}", f"{name}.{d}") for s, d in inner.edges if s != first and d != last]
        )
    return nir.NIRGraph(nodes=nodes, edges=edges, type_check=False)


class _Machine:
    def __init__(self, graph: Any, convention: Convention, delayed: frozenset[Edge]) -> None:
        self.nodes, self.edges, self.at, self.delayed = graph.nodes, graph.edges, convention, delayed
        self.v: dict[str, Any] = {}
        self.i: dict[str, Any] = {}
        self.owed: dict[str, Any] = {}  # what a late reset will take
        self.before: dict[str, Any] = {}
        self.seen: dict[str, list[Any]] = {n: [] for n, d in self.nodes.items() if isinstance(d, nir.Delay)}
        self.nearest, self.ties = math.inf, 0

    def step(self, x: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        """One timestep: what every node gives, and the membranes that it leaves."""
        now: dict[str, Any] = {}
        for name in self.nodes:
            self.value(name, now, x)
        for name, memory in self.seen.items():
            memory.append(self.incoming(name, now, x))
        self.before = now
        return now, dict(self.v)

    def value(self, name: str, now: dict[str, Any], x: np.ndarray) -> Any:
        if name not in now:
            node = self.nodes[name]
            if isinstance(node, nir.Input):
                now[name] = x
            elif isinstance(node, nir.Delay):
                now[name] = self.waited(name, node, now, x)
            else:
                now[name] = self.given(name, node, self.incoming(name, now, x))
        return now[name]

    def incoming(self, name: str, now: dict[str, Any], x: np.ndarray) -> Any:
        """The sum over the node's edges."""
        total: Any = 0.0
        for source, target in self.edges:
            if target == name and (source, target) in self.delayed:
                late = self.before.get(source)
                total = total + (self.nothing(source, len(x)) if late is None else late)
            elif target == name:
                total = total + self.value(source, now, x)
        return total

    def nothing(self, name: str, batch: int) -> np.ndarray:
        """What a neuron gives before the first timestep."""
        sizes = [a.shape for a in vars(self.nodes[name]).values() if isinstance(a, np.ndarray)]
        return np.zeros((batch, *np.broadcast_shapes(*sizes)))

    def waited(self, name: str, node: Any, now: dict[str, Any], x: np.ndarray) -> Any:
        steps = np.rint(np.asarray(node.delay, np.float64) / DT).astype(int)
        out, seen = np.zeros((len(x), *steps.shape)), self.seen[name]
        for n in np.unique(steps):
            if n <= len(seen):
                out = np.where(steps == n, seen[-n] if n else self.incoming(name, now, x), out)
        return out

    def given(self, name: str, node: Any, x: Any) -> Any:
        return self.neuron(name, node, x) if isinstance(node, STATEFUL) else stateless(node, x)

    def neuron(self, name: str, node: Any, x: Any) -> Any:
        p = {k: np.asarray(a, np.float64) for k, a in vars(node).items() if isinstance(a, np.ndarray)}
        if isinstance(node, nir.Threshold):
            return self.fires(x, p["threshold"]).astype(np.float64)
        v, current = self.v.get(name), x
        if v is None:
            v = 0.0 * x + p.get({"leak": "v_leak", "reset": "v_reset"}.get(self.at.start, ""), 0.0)
        if isinstance(node, nir.CubaLIF | nir.CubaLI):
            i = self.i.get(name, 0.0 * x)
            self.i[name] = i + self.share(node.tau_syn) * (p["w_in"] * x - i)
            current = i if self.at.current == "late" else self.i[name]
        if isinstance(node, nir.IF | nir.I):
            v = v + (np.float32(DT) * node.r).astype(np.float64) * current
        else:
            tau = node.tau_mem if isinstance(node, nir.CubaLIF | nir.CubaLI) else node.tau
            v = v + self.share(tau) * (p["v_leak"] - v + p["r"] * current)
        self.v[name] = v
        if not isinstance(node, SPIKING):
            return v
        return self.reset(name, v - self.owed.get(name, 0.0), p["v_threshold"], p["v_reset"])

    def reset(self, name: str, v: Any, threshold: Any, v_reset: Any) -> Any:
        """Spikes; the membrane afterwards goes into ``self.v``."""
        spikes = self.fires(v, threshold)
        if self.at.reset == "late":
            self.owed[name] = np.where(spikes, threshold, 0.0)
        elif self.at.reset == "subtract":
            v = np.where(spikes, v - threshold, v)
        else:
            v = np.where(spikes, v_reset, v)
        self.v[name] = v
        return spikes.astype(np.float64)

    def fires(self, v: Any, threshold: Any) -> np.ndarray:
        gap = np.abs(v - threshold)
        self.ties += int(((gap == 0) & (threshold != 0)).sum())
        self.nearest = min(self.nearest, float(gap[gap > 0].min(initial=math.inf)))
        return np.asarray(v > threshold if self.at.compare == ">" else v >= threshold)

    def share(self, tau: np.ndarray) -> np.ndarray:
        """What a timestep replaces of a membrane or a current."""
        ratio = (np.float32(DT) / tau.astype(np.float32)).astype(np.float64)
        return ratio if self.at.decay == "euler" else -np.expm1(-ratio)


def stateless(node: Any, x: Any) -> Any:
    """What a node without neurons makes of a batch."""
    if isinstance(node, nir.Affine | nir.Linear):
        y = np.einsum("oi,bi->bo", node.weight.astype(np.float64), x)
        return y + node.bias if isinstance(node, nir.Affine) else y
    if isinstance(node, nir.Scale):
        return node.scale.astype(np.float64) * x
    if isinstance(node, nir.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, nir.Conv1d):
        return _convolved(x[:, :, None], node, node.weight[:, :, None])[:, :, 0]
    if isinstance(node, nir.Conv2d):
        return _convolved(x, node, node.weight)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pooled(x, node, average=isinstance(node, nir.AvgPool2d))
    if isinstance(node, nir.Output):
        return x
    raise TypeError(type(node).__name__)


def _pair(value: Any) -> tuple[int, int]:
    """(vertical, horizontal) of one number or two."""
    first, *rest = (int(n) for n in np.atleast_1d(value))
    return first, rest[0] if rest else first


def _convolved(x: np.ndarray, node: Any, weight: np.ndarray) -> np.ndarray:
    """The cross-correlation tap by tap, as torch has it. x: (B, I, H, W); weight: (O, I / groups, kH, kW)."""
    line = isinstance(node, nir.Conv1d)
    stride, gap = ((1, int(np.ravel(a)[0])) if line else _pair(a) for a in (node.stride, node.dilation))
    o, each, kh, kw = weight.shape
    reach = gap[0] * (kh - 1), gap[1] * (kw - 1)
    if isinstance(node.padding, str | bytes):
        low = (0, 0) if node.padding in ("valid", b"valid") else (reach[0] // 2, reach[1] // 2)
        high = (0, 0) if node.padding in ("valid", b"valid") else (reach[0] - low[0], reach[1] - low[1])
    else:
        low = high = (0, int(np.ravel(node.padding)[0])) if line else _pair(node.padding)
    x = np.pad(x, ((0, 0), (0, 0), (low[0], high[0]), (low[1], high[1])))
    rows, columns = ((x.shape[2 + k] - reach[k] - 1) // stride[k] + 1 for k in (0, 1))
    out = np.zeros((len(x), o, rows, columns))
    for channel in range(o):
        group = channel // (o // int(node.groups))
        for i in range(each):
            for ky in range(kh):
                for kx in range(kw):
                    own = x[:, group * each + i, ky * gap[0] :, kx * gap[1] :]
                    own = own[:, : stride[0] * rows : stride[0], : stride[1] * columns : stride[1]]
                    out[:, channel] += float(weight[channel, i, ky, kx]) * own[:, :rows, :columns]
        out[:, channel] += float(node.bias[channel])
    return out


def _pooled(x: np.ndarray, node: Any, *, average: bool) -> np.ndarray:
    """Sums of windows; averages count the padding, as torch does where nothing else is said."""
    kernel, stride, pad = _pair(node.kernel_size), _pair(node.stride), _pair(node.padding)
    x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    rows, columns = ((x.shape[2 + k] - kernel[k]) // stride[k] + 1 for k in (0, 1))
    out = np.zeros((*x.shape[:2], rows, columns))
    for y in range(rows):
        for z in range(columns):
            top, left = y * stride[0], z * stride[1]
            out[:, :, y, z] = x[:, :, top : top + kernel[0], left : left + kernel[1]].sum(axis=(2, 3))
    return out / (kernel[0] * kernel[1]) if average else out
