"""A second reading of NIR, written from the equations of its documentation and nothing of ours.

Nodes are nir's own objects. Every ODE takes forward Euler steps of ``dt``; a neuron spikes where v > v_threshold, and v
is v_reset then; edges of ``delayed`` carry what their source gave a timestep before. Loops are written as loops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

SPIKING = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
Edge = tuple[str, str]


@dataclass
class Played:
    """spikes: {neuron: bool (B, T, *shape)}; output: (B, T, *shape); nearest: the smallest |v - threshold| met."""

    spikes: dict[str, np.ndarray]
    output: np.ndarray
    nearest: float


def play(graph: Any, x: np.ndarray, delayed: frozenset[Edge] = frozenset(), dt: float = 1e-4) -> Played:
    """x: (B, T, *input shape)."""
    machine = _Machine(graph, delayed, dt)
    steps = [machine.step(x[:, t].astype(np.float64)) for t in range(x.shape[1])]
    output = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    spiking = [name for name, node in graph.nodes.items() if isinstance(node, SPIKING)]
    return Played(
        {n: np.stack([values[n] for values in steps], axis=1) > 0 for n in spiking},
        np.stack([values[output] for values in steps], axis=1),
        machine.nearest,
    )


@dataclass
class _Machine:
    graph: Any
    delayed: frozenset[Edge]
    dt: float
    v: dict[str, Any] = field(default_factory=dict)
    i: dict[str, Any] = field(default_factory=dict)
    arrived: dict[str, list[Any]] = field(default_factory=dict)  # at each Delay, at each timestep so far
    before: dict[str, Any] = field(default_factory=dict)
    nearest: float = math.inf

    def step(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """One timestep: what every node gives."""
        now: dict[str, Any] = {}
        for name in self.graph.nodes:
            self.value(name, now, x)
        for name, node in self.graph.nodes.items():
            if isinstance(node, nir.Delay):
                self.arrived.setdefault(name, []).append(self.incoming(name, now, x))
        self.before = now
        return now

    def incoming(self, name: str, now: dict[str, Any], x: np.ndarray) -> Any:
        total: Any = 0.0
        for source, target in self.graph.edges:
            if target == name:
                late = (source, target) in self.delayed
                given = self.before.get(source) if late else self.value(source, now, x)
                total = total + (self.nothing(source, len(x)) if given is None else given)
        return total

    def nothing(self, name: str, batch: int) -> np.ndarray:
        """What a neuron or a Delay gives before the first timestep."""
        sizes = [a.shape for a in vars(self.graph.nodes[name]).values() if isinstance(a, np.ndarray)]
        return np.zeros((batch, *np.broadcast_shapes(*sizes)))

    def value(self, name: str, now: dict[str, Any], x: np.ndarray) -> Any:
        if name not in now:
            node = self.graph.nodes[name]
            if isinstance(node, nir.Input):
                now[name] = x
            elif isinstance(node, nir.Delay):
                now[name] = self.delay(name, node, now, x)
            else:
                now[name] = self.apply(name, node, self.incoming(name, now, x))
        return now[name]

    def delay(self, name: str, node: Any, now: dict[str, Any], x: np.ndarray) -> Any:
        """Every element of what arrived ``delay`` seconds ago."""
        out, steps = self.nothing(name, len(x)), np.rint(np.asarray(node.delay) / self.dt).astype(int)
        seen = self.arrived.get(name, [])
        for n in np.unique(steps):
            if n <= len(seen):
                then = seen[-n] if n else self.incoming(name, now, x)
                out = np.where(steps == n, then, out)
        return out

    def apply(self, name: str, node: Any, x: Any) -> Any:
        if isinstance(node, nir.Conv1d):
            (stride,), (pad,), (gap,) = (np.atleast_1d(a) for a in (node.stride, node.padding, node.dilation))
            weight = node.weight[:, :, None]
            return convolved(x[:, :, None], weight, (1, stride), (0, pad), (1, gap), node.groups, node.bias)[:, :, 0]
        if isinstance(node, nir.Conv2d):
            stride, pad, gap = (_pair(a) for a in (node.stride, node.padding, node.dilation))
            return convolved(x, node.weight, stride, pad, gap, node.groups, node.bias)
        if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            kernel = _pair(node.kernel_size)
            one = np.ones((x.shape[1], 1, *kernel)) / (kernel[0] * kernel[1] if isinstance(node, nir.AvgPool2d) else 1)
            return convolved(x, one, _pair(node.stride), _pair(node.padding), (1, 1), x.shape[1], np.zeros(x.shape[1]))
        if isinstance(node, nir.Affine):
            return np.einsum("oi,bi->bo", node.weight.astype(np.float64), x) + node.bias
        if isinstance(node, nir.Linear):
            return np.einsum("oi,bi->bo", node.weight.astype(np.float64), x)
        if isinstance(node, nir.Scale):
            return node.scale.astype(np.float64) * x
        if isinstance(node, nir.Flatten):
            return x.reshape(len(x), -1)
        if isinstance(node, nir.Output):
            return x
        return self.neuron(name, node, x)

    def neuron(self, name: str, node: Any, x: Any) -> Any:
        p = {k: np.asarray(a, np.float64) for k, a in vars(node).items() if isinstance(a, np.ndarray)}
        if isinstance(node, nir.Threshold):
            return self.fired(x, p["threshold"]).astype(np.float64)
        v, current = self.v.get(name, 0.0), x
        if isinstance(node, nir.CubaLIF | nir.CubaLI):
            i = self.i.get(name, 0.0)
            self.i[name] = current = i + self.dt / p["tau_syn"] * (-i + p["w_in"] * x)
        if isinstance(node, nir.IF | nir.I):
            v = v + self.dt * p["r"] * current
        else:
            tau = p["tau_mem"] if isinstance(node, nir.CubaLIF | nir.CubaLI) else p["tau"]
            v = v + self.dt / tau * (p["v_leak"] - v + p["r"] * current)
        if isinstance(node, nir.LI | nir.CubaLI | nir.I):
            self.v[name] = v
            return v
        spikes = self.fired(v, p["v_threshold"])
        self.v[name] = np.where(spikes, p["v_reset"], v)
        return spikes.astype(np.float64)

    def fired(self, v: Any, threshold: np.ndarray) -> np.ndarray:
        self.nearest = min(self.nearest, float(np.abs(v - threshold).min()))
        return np.asarray(v > threshold)


def _pair(value: Any) -> tuple[int, int]:
    first, *rest = (int(n) for n in np.atleast_1d(value))
    return first, rest[0] if rest else first


def convolved(
    x: np.ndarray,
    weight: np.ndarray,
    stride: tuple[int, int],
    pad: tuple[int, int],
    gap: tuple[int, int],
    groups: int,
    bias: np.ndarray,
) -> np.ndarray:
    """The cross-correlation, tap by tap. x: (B, I, H, W); weight: (O, I/groups, kH, kW)."""
    b, _, high, wide = x.shape
    o, each, kh, kw = weight.shape
    rows = (high + 2 * pad[0] - gap[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (wide + 2 * pad[1] - gap[1] * (kw - 1) - 1) // stride[1] + 1
    around = np.zeros((b, x.shape[1], high + 2 * pad[0], wide + 2 * pad[1]))
    around[:, :, pad[0] : pad[0] + high, pad[1] : pad[1] + wide] = x
    out = np.zeros((b, o, rows, columns)) + np.asarray(bias, np.float64)[:, None, None]
    per = o // groups
    for g in range(groups):
        own = around[:, g * each : (g + 1) * each]
        for ky in range(kh):
            for kx in range(kw):
                y, z = ky * gap[0], kx * gap[1]
                seen = own[:, :, y : y + stride[0] * (rows - 1) + 1 : stride[0]]
                seen = seen[:, :, :, z : z + stride[1] * (columns - 1) + 1 : stride[1]]
                tap = weight[g * per : (g + 1) * per, :, ky, kx].astype(np.float64)
                out[:, g * per : (g + 1) * per] += np.einsum("oi,bihw->bohw", tap, seen)
    return out
