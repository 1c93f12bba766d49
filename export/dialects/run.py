"""Runs a graph in any dialect, and says whether the dialect gives what a tool has recorded.

Tools compute in float32 and in an order of their own, so that a membrane within rounding of its threshold can go either
way in the right dialect. Every graph runs in float64 and in float32 side by side; a decision is *doubtful* where v is
within ``TOLERANCE`` of the boundary, unless both meet it exactly (weights that are sums of powers of two do: that tells
``>`` from ``>=``). A doubtful spike is taken from the recording; of a node that was not recorded it spoils the rest of
that sample. Only what is neither doubtful nor spoilt is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.export.dialects.steps import Step, steps
from snnas.export.dialects.table import Dialect
from snnas.export.executors import interpreter
from snnas.export.graph.graph import NEURONS, SPIKING, Delay, Graph, Input

TOLERANCE = 1e-5  # of the largest of threshold, membrane and input met; float32 sums of some hundred terms lose 1e-6
ALMOST_TWICE = 1.999  # of a threshold
Layout = tuple[dict[str, tuple[int, ...]], list[str]]
VALUES = 1e-3  # analogue outputs agree within this share of the largest one


@dataclass(slots=True)
class Played:
    """spikes: {neuron: float64 (B, T, *shape)}, counts where several come in a timestep; output (B, T, *shape).

    compared, differing: decisions (or analogue values) of recorded nodes that count. doubtful: left out. recorded: the
    spikes in the recording. ties: exact meetings of v and threshold. ended: stopped at the first difference. each: the
    first three by node; what an analogue output holds counts for the neuron before it. close: whether any membrane
    came as near to its threshold as rounding, so that > and >= may part; twice: whether any came to twice of it, so
    that one spike and many may.
    """

    spikes: dict[str, np.ndarray] = field(default_factory=dict)
    output: np.ndarray = field(default_factory=lambda: np.zeros(0))
    compared: int = 0
    differing: int = 0
    doubtful: int = 0
    ties: int = 0
    ended: bool = False
    close: bool = False
    twice: bool = False
    each: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def count(self, name: str, sure: np.ndarray, unlike: np.ndarray) -> None:
        """sure: which decisions of a node count; unlike: which are not as recorded."""
        found = int(sure.sum()), int((sure & unlike).sum()), int((~sure).sum())
        self.compared, self.differing, self.doubtful = (
            a + b for a, b in zip((self.compared, self.differing, self.doubtful), found, strict=True)
        )
        before = self.each.get(name, (0, 0, 0))
        self.each[name] = before[0] + found[0], before[1] + found[1], before[2] + found[2]


class _Neuron:
    """One node's state in float64 and float32. lost: the thresholds that the next timestep subtracts."""

    def __init__(self, step: Step, shape: tuple[int, ...]) -> None:
        self.step = step
        zero = np.zeros(shape)
        start = zero if step.start is None else zero + step.start
        self.v = [start.copy(), start.astype(np.float32)]
        self.i = [zero.copy(), zero.astype(np.float32)]
        self.lost = zero
        self.scale = zero if step.threshold is None else zero + np.abs(step.threshold)
        self.p: list[dict[str, Any]] = [
            {n: None if a is None else a.astype(t) for n, a in (
                ("keep", step.keep), ("gain", step.gain), ("shift", step.shift), ("syn_keep", step.syn_keep),
                ("syn_gain", step.syn_gain), ("threshold", step.threshold), ("level", step.level),
            )}
            for t in (np.float64, np.float32)
        ]  # fmt: skip

    def integrate(self, x: list[np.ndarray]) -> None:
        """Sets v, in both precisions, as it is before the threshold."""
        for k, p in enumerate(self.p):
            drive: Any = x[k]
            if p["keep"] is None:
                self.v[k] = drive
                continue
            if p["syn_keep"] is not None:
                before, now = self.i[k], p["syn_keep"] * self.i[k] + p["syn_gain"] * drive
                self.i[k] = now
                drive = before if self.step.syn_late else now
            drive = p["gain"] * drive
            v = p["keep"] * self.v[k] + p["shift"] + drive
            if self.step.when in ("late", "twice") and p["threshold"] is not None:
                lost = self.lost.astype(v.dtype)
                v = v - lost * p["threshold"] if self.step.subtract else np.where(lost > 0, p["level"], v)
            self.v[k] = v
            if k == 0:
                self.scale = np.maximum(self.scale, np.maximum(np.abs(v), np.abs(drive)))

    def fire(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Spikes (float64), where they are doubtful, and where v and threshold meet exactly."""
        found, exact = [], np.ones(self.v[0].shape, dtype=bool)
        near = np.zeros_like(exact)
        for v, p in zip(self.v, self.p, strict=True):
            n, edge = self._count(v, p["threshold"])
            found.append(n)
            exact &= v == edge
            near |= np.abs(v - edge) <= TOLERANCE * self.scale
        return found[0], (near | (found[0] != found[1])) & ~exact, exact

    def _count(self, v: np.ndarray, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spikes, and the value of v nearest to v at which they change."""
        if not self.step.many:
            return (v > threshold if self.step.strict else v >= threshold).astype(np.float64), threshold
        ratio = v / threshold
        n = np.ceil(ratio) - 1 if self.step.strict else np.floor(ratio)
        return np.maximum(n, 0.0).astype(np.float64), np.maximum(np.rint(ratio), 1) * threshold

    def reset(self, spikes: np.ndarray) -> None:
        owed = self.lost if self.step.when == "twice" else 0.0
        self.lost = spikes
        if self.step.when in ("late", "never") or self.step.keep is None:
            return
        for k, p in enumerate(self.p):
            less = self.v[k] - (spikes - owed).astype(self.v[k].dtype) * p["threshold"]
            self.v[k] = less if self.step.subtract else np.where(spikes > 0, p["level"], self.v[k])
        if self.step.when == "twice":
            self.lost = self._count(self.v[0], self.p[0]["threshold"])[0]


def run(graph: Graph, x: np.ndarray, dialect: Dialect, timesteps: int) -> Played:
    """x: (B, *input shape), repeated at every timestep, or (B, T, *input shape). Nothing is compared."""
    return play(graph, steps(graph, dialect), x, timesteps)


def play(
    graph: Graph,
    found: dict[str, Step],
    x: np.ndarray,
    timesteps: int,
    *,
    recorded: dict[str, np.ndarray] | None = None,
    output: np.ndarray | None = None,
    stop: bool = False,
    forced: bool = False,
    layout: Layout | None = None,
) -> Played:
    """Runs the graph by its neurons' steps.

    recorded: {spiking node: (B, T, *shape)}; output: what came to the Output node, analogue. stop: end at the first
    timestep with a difference. forced: every recorded spike goes on as it was recorded, so that a node is judged by
    its own step alone, whatever those before it do. layout: ``layout_of(graph)``, for whoever runs it often.
    """
    return _Player(graph, found, x, timesteps, recorded or {}, output, forced, layout or layout_of(graph)).play(stop)


def layout_of(graph: Graph) -> Layout:
    """What of a graph does not depend on how its neurons step: its nodes' shapes, and their order."""
    return graph.shapes(), graph.order()


def limit_of(values: np.ndarray) -> float:
    """How far an analogue output may be from the recorded ones."""
    return VALUES * max(float(np.abs(values).max(initial=0.0)), 1e-12)


class _Player:
    def __init__(
        self,
        graph: Graph,
        found: dict[str, Step],
        x: np.ndarray,
        timesteps: int,
        recorded: dict[str, np.ndarray],
        output: np.ndarray | None,
        forced: bool,
        layout: Layout,
    ) -> None:
        self.graph, self.x, self.timesteps, self.recorded, self.wanted = graph, x, timesteps, recorded, output
        self.shapes, self.order = layout
        self.static = x.ndim == len(self.shapes[graph.input]) + 1
        b = len(x)
        self.neurons = {n: _Neuron(found[n], (b, *self.shapes[n])) for n in graph.of_type(NEURONS)}
        self.history: dict[str, list[list[np.ndarray]]] = {n: [] for n in self.order}
        self.spoilt = np.zeros(b, dtype=bool)
        self.played, self.forced = Played(), forced

    def play(self, stop: bool) -> Played:
        for t in range(self.timesteps):
            for name in self.order:
                self.history[name].append(self._value(name, t))
            self._forget(t)
            if stop and self.played.differing:
                self.played.ended = True
                return self.played
        spiking = self.graph.of_type(SPIKING)
        self.played.spikes = {n: np.stack([v[0] for v in self.history[n]], axis=1) for n in spiking}
        self.played.output = np.stack([v[0] for v in self.history[self.graph.output]], axis=1)
        return self.played

    def _value(self, name: str, t: int) -> list[np.ndarray]:
        node = self.graph.nodes[name]
        if isinstance(node, Input):
            x = self.x if self.static else self.x[:, t]
            return [x.astype(np.float64), x.astype(np.float32)]
        current = self._arriving(name, t)
        if name in self.neurons:
            return self._fired(name, current, t)
        if name == self.graph.output and self.wanted is not None:
            self._compare_values(current[0], self.wanted[:, t])
        if isinstance(node, Delay):
            return current
        return [np.asarray(interpreter.apply(node, c.astype(np.float64))).astype(c.dtype) for c in current]

    def _arriving(self, name: str, t: int) -> list[np.ndarray]:
        node = self.graph.nodes[name]
        total: list[np.ndarray] | None = None
        for s in self.graph.sources(name):
            wait = node.steps if isinstance(node, Delay) else int((s, name) in self.graph.delayed)
            if t < wait or len(self.history[s]) <= t - wait:
                continue
            value = self.history[s][t - wait]
            total = value if total is None else [a + b for a, b in zip(total, value, strict=True)]
        if total is None:
            zero = np.zeros((len(self.x), *self.shapes[self.graph.sources(name)[0]]))
            return [zero, zero.astype(np.float32)]
        return total

    def _fired(self, name: str, current: list[np.ndarray], t: int) -> list[np.ndarray]:
        neuron, played = self.neurons[name], self.played
        neuron.integrate(current)
        if neuron.step.threshold is None:
            return [v.copy() for v in neuron.v]
        spikes, doubtful, exact = neuron.fire()
        played.close |= bool((doubtful | exact).any())
        played.twice |= bool((neuron.v[0] >= ALMOST_TWICE * neuron.step.threshold).any())
        wanted = self.recorded.get(name)
        sure = ~doubtful & ~self.spoilt.reshape(-1, *(1,) * (doubtful.ndim - 1))
        if wanted is None:
            self.spoilt |= doubtful.reshape(len(doubtful), -1).any(axis=1)
        else:
            played.count(name, sure, spikes != wanted[:, t])
            played.ties += int((sure & exact).sum())
            spikes = wanted[:, t].astype(spikes.dtype) if self.forced else np.where(sure, spikes, wanted[:, t])
        neuron.reset(spikes)
        return [spikes, spikes.astype(np.float32)]

    def _compare_values(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        sure = np.broadcast_to(~self.spoilt.reshape(-1, *(1,) * (ours.ndim - 1)), ours.shape)
        last = self.graph.sources(self.graph.output)[0]
        self.played.count(last, sure, np.abs(ours - theirs) > limit_of(theirs))

    def _forget(self, t: int) -> None:
        """What no Delay can still read is dropped, but for what is handed back."""
        kept = {self.graph.output, *self.graph.of_type(SPIKING)}
        longest = max((self.graph.nodes[n].steps for n in self.graph.of_type(Delay)), default=1)  # type: ignore[union-attr]
        for name, values in self.history.items():
            if name not in kept and t >= longest:
                values[t - longest] = []
