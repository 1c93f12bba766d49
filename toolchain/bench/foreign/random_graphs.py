"""Random graphs such as other tools write, made of nir's own objects.

Layers of convolutions (strided, dilated, grouped, depthwise, in one dimension, two in a row with a padded border
between), pools, Scale, Linear and Affine before neurons of every kind, uniform or with parameters per channel; second
inputs, Delays, self-loops and loops back; read by spikes, by a linear layer or by what integrates. Thresholds are moved
until every layer fires 2 to 50 % of the time. *Exact* ones have weights, biases and thresholds of whole quarters and
time constants of 1, 2 or 4 timesteps, so that float arithmetic rounds nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import nir
import numpy as np

from snnas.toolchain.bench.foreign.literal import SPIKING, Played, play

LEAST, MOST = 0.02, 0.5  # of its neurons and timesteps, that a layer may fire
ROUNDS = 16  # of moving thresholds, after which another graph is drawn
TIMESTEPS, SAMPLES = 8, 4
KINDS = ("LIF", "LIF", "CubaLIF", "IF", "Threshold")
EXACT_KINDS = ("LIF", "IF", "Threshold")
Edge = tuple[str, str]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A graph that lives. x: (B, T, *input shape); dt: what its time constants are read with; played: its run.

    has: which of the things that are drawn it holds. redrawn: drawings before it whose layers would not fire.
    """

    graph: Any
    delayed: frozenset[Edge]
    x: np.ndarray
    input_kind: Literal["spikes", "analogue"]
    dt: float
    played: Played
    has: Counter[str]
    redrawn: int


def draw(seed: int, index: int, *, exact: bool = False) -> Foreign:
    """Graph number ``index``; it does not depend on how many are drawn."""
    rng = np.random.default_rng([seed, index, int(exact)])
    for redrawn in range(100):
        drawn = _Drawing(rng, exact)
        drawn.everything()
        kind: Literal["spikes", "analogue"] = "spikes" if exact or rng.random() < 0.6 else "analogue"
        x = rng.random((SAMPLES, TIMESTEPS, *drawn.input_shape)).astype(np.float32)
        x = (x < 0.3).astype(np.float32) if kind == "spikes" else x
        played = _calibrated(drawn, x)
        if played is not None:
            return Foreign(
                graph=drawn.graph, delayed=frozenset(drawn.delayed), x=x, input_kind=kind, dt=drawn.dt,
                played=played, has=drawn.has, redrawn=redrawn,
            )  # fmt: skip
    raise AssertionError(f"graph {index} of seed {seed}: no layer fires")  # pragma: no cover


def _calibrated(drawn: _Drawing, x: np.ndarray) -> Played | None:
    """The run in which every layer fires often enough, and not too often; None where there is none."""
    for _ in range(ROUNDS):
        played = play(drawn.graph, x, frozenset(drawn.delayed), drawn.dt)
        rates = {name: float(s.mean()) for name, s in played.spikes.items()}
        wrong = [name for name, rate in rates.items() if not LEAST <= rate <= MOST]
        if not wrong:
            return played
        for name in wrong:
            node = drawn.nodes[name]
            key = "threshold" if isinstance(node, nir.Threshold) else "v_threshold"
            old = getattr(node, key)
            new = old * np.float32(1.5 if rates[name] > MOST else 0.6)
            if drawn.exact:
                new = np.maximum(np.where(new > old, np.ceil(new * 4), np.floor(new * 4)), 1) / 4
                if (new == old).all():
                    return None
            setattr(node, key, new.astype(np.float32))
    return None


@dataclass
class _Drawing:
    rng: np.random.Generator
    exact: bool
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    delayed: set[Edge] = field(default_factory=set)
    has: Counter[str] = field(default_factory=Counter)
    neurons: list[tuple[str, Shape]] = field(default_factory=list)
    input_shape: Shape = ()

    @property
    def dt(self) -> float:
        return 2.0**-13 if self.exact else 1e-4

    @property
    def graph(self) -> Any:
        return nir.NIRGraph(nodes=self.nodes, edges=self.edges, type_check=False)

    # ---------------------------------------------------------------------------------------------------- small draws

    def often(self, share: float, what: str = "") -> bool:
        found = bool(self.rng.random() < share)
        if found and what:
            self.has[what] += 1
        return found

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def weights(self, *shape: int) -> np.ndarray:
        if self.exact:
            return (self.rng.integers(-3, 5, shape) / 4).astype(np.float32)
        fan = int(np.prod(shape[1:]))
        return ((self.rng.normal(0.25, 1.0, shape)) / np.sqrt(fan)).astype(np.float32)

    def bias(self, size: int) -> np.ndarray:
        if self.often(0.5):
            return np.zeros(size, np.float32)
        return (self.rng.integers(-1, 2, size) / (4 if self.exact else 7)).astype(np.float32)

    # ---------------------------------------------------------------------------------------------------------- wiring

    def add(self, what: str, node: Any, *sources: str) -> str:
        name = f"{what}_{len(self.nodes)}"
        self.nodes[name] = node
        self.edges += [(s, name) for s in sources]
        return name

    def everything(self) -> None:
        form = self.one_of("flat", "wide", "deep", "deep", "deep")
        self.input_shape = {"flat": (6,), "wide": (2, 12), "deep": (2, 7, 6)}[form]
        self.nodes["input"] = nir.Input(input_type={"input": np.array(self.input_shape)})
        here, shape = "input", self.input_shape
        for _ in range(int(self.rng.integers(1, 4)) if form != "flat" else 0):
            here, shape = self.layer(here, shape)
        if len(shape) > 1:
            flat = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
            here, shape = self.add("flatten", flat, here), (int(np.prod(shape)),)
        for _ in range(int(self.rng.integers(1, 4)) if form == "flat" else int(self.rng.integers(0, 2))):
            here, shape = self.layer(here, shape)
        self.readout(here, shape)

    def layer(self, here: str, shape: Shape) -> tuple[str, Shape]:
        """Linear nodes, perhaps a second input, a neuron, perhaps a loop."""
        if here != "input" and self.often(0.2, "Delay"):
            steps = self.rng.integers(0, 3, shape) if self.often(0.2, "Delay per neuron") else self.one_of(1, 2, 3)
            here = self.add("delay", nir.Delay(delay=np.full(shape, steps * self.dt, np.float32)), here)
        end, shape = self.linear(here, shape)
        neuron = self.add(*self.neuron(shape), end)
        others = [n for n, s in self.neurons if s == shape]
        near = [(n, s) for n, s in self.neurons if len(s) == len(shape) and s[1:] == shape[1:]]
        if others and self.often(0.4, "skip"):
            self.edges.append((self.one_of(*others), neuron))
        elif near and self.often(0.5, "second input"):
            source, from_shape = self.one_of(*near)
            self.edges.append((self.point(source, from_shape, shape[0]), neuron))
        if self.often(0.2, "self-loop"):
            self.back(neuron, shape, neuron, shape)
        elif near and self.often(0.25, "loop"):
            target, to_shape = self.one_of(*near)
            self.back(neuron, shape, target, to_shape)
        self.neurons.append((neuron, shape))
        return neuron, shape

    def back(self, source: str, shape: Shape, target: str, to_shape: Shape) -> None:
        """Weights from a neuron to one before it, a timestep late."""
        made = self.point(source, shape, to_shape[0], bias=False)
        self.delayed.add((source, made))
        self.edges.append((made, target))

    def point(self, source: str, shape: Shape, out: int, *, bias: bool = True) -> str:
        """A layer that keeps the pixels."""
        if len(shape) == 1:
            return self.add("linear", nir.Linear(weight=self.weights(out, shape[0])), source)
        constant = self.bias(out) if bias else np.zeros(out, np.float32)
        if len(shape) == 2:
            return self.conv1d(source, self.weights(out, shape[0], 1), constant, shape[1])[0]
        return self.conv(source, shape, self.weights(out, shape[0], 1, 1), constant)[0]

    # ---------------------------------------------------------------------------------------------------- linear nodes

    def linear(self, here: str, shape: Shape) -> tuple[str, Shape]:
        return {1: self.dense, 2: self.along, 3: self.planes}[len(shape)](here, shape)

    def dense(self, here: str, shape: Shape) -> tuple[str, Shape]:
        if self.often(0.15, "Scale"):
            scale = self.rng.integers(1, 5, shape) / 4 if self.exact else self.rng.uniform(0.3, 1.5, shape)
            here = self.add("scale", nir.Scale(scale=scale.astype(np.float32)), here)
        if self.often(0.15, "two layers"):
            here, shape = self.add("linear", nir.Linear(weight=self.weights(5, shape[0])), here), (5,)
        out = int(self.rng.integers(4, 9))
        weight = self.weights(out, shape[0])
        node = nir.Affine(weight=weight, bias=self.bias(out)) if self.often(0.6) else nir.Linear(weight=weight)
        self.has[type(node).__name__] += 1
        return self.add("linear", node, here), (out,)

    def along(self, here: str, shape: Shape) -> tuple[str, Shape]:
        out, stride = int(self.rng.integers(2, 5)), self.one_of(1, 1, 2)
        gap = 2 if shape[1] > 6 and self.often(0.25, "dilated") else 1
        self.has["Conv1d"] += 1
        return self.conv1d(here, self.weights(out, shape[0], 3), self.bias(out), shape[1], stride, 1, gap)

    def conv1d(
        self, here: str, weight: np.ndarray, bias: np.ndarray, size: int, stride: int = 1, pad: int = 0, gap: int = 1
    ) -> tuple[str, Shape]:
        node = nir.Conv1d(
            input_shape=size, weight=weight, stride=stride, padding=pad, dilation=gap, groups=1, bias=bias
        )
        reach = gap * (weight.shape[2] - 1) + 1
        return self.add("conv1d", node, here), (len(weight), (size + 2 * pad - reach) // stride + 1)

    def planes(self, here: str, shape: Shape) -> tuple[str, Shape]:
        """A convolution of some kind, pools around it, or two in a row."""
        if min(shape[1:]) >= 4 and self.often(0.15, "pool alone"):
            return self.pool(here, shape)
        if min(shape[1:]) >= 4 and self.often(0.15, "pool first"):
            here, shape = self.pool(here, shape)
        small = min(shape[1:]) < 3
        kind = self.one_of("plain", "plain", "strided", "dilated", "grouped", "depthwise", "padded twice")
        kind = "plain" if small and kind in ("dilated", "strided") else kind
        out, pad = self.one_of(2, 4), 1 if small else self.one_of(0, 1, 1)
        self.has[f"{kind} convolution"] += 1
        match kind:
            case "strided":
                return self.conv(here, shape, self.weights(out, shape[0], 3, 3), self.bias(out), stride=(2, 1), pad=pad)
            case "dilated":
                return self.conv(here, shape, self.weights(out, shape[0], 2, 2), self.bias(out), pad=pad, gap=2)
            case "grouped":
                each = self.weights(out, shape[0] // 2, 3, 3)
                return self.conv(here, shape, each, self.bias(out), pad=pad, groups=2)
            case "depthwise":
                each = self.weights(shape[0], 1, 3, 3)
                here, shape = self.conv(here, shape, each, self.bias(shape[0]), pad=1, groups=shape[0])
                return self.conv(here, shape, self.weights(out, shape[0], 1, 1), self.bias(out))
            case "padded twice":
                here, shape = self.conv(here, shape, self.weights(2, shape[0], 3, 3), self.bias(2), pad=1)
                return self.conv(here, shape, self.weights(out, 2, 3, 3), self.bias(out), pad=1)
        here, shape = self.conv(here, shape, self.weights(out, shape[0], 3, 3), self.bias(out), pad=max(pad, small))
        if min(shape[1:]) >= 4 and self.often(0.2, "pool behind"):
            return self.pool(here, shape)
        return here, shape

    def conv(
        self,
        here: str,
        shape: Shape,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        stride: tuple[int, int] = (1, 1),
        pad: int = 0,
        gap: int = 1,
        groups: int = 1,
    ) -> tuple[str, Shape]:
        _, high, wide = shape
        node = nir.Conv2d(
            input_shape=(high, wide), weight=weight, stride=stride, padding=(pad, pad), dilation=(gap, gap),
            groups=groups, bias=bias,
        )  # fmt: skip
        reach = [gap * (k - 1) + 1 for k in weight.shape[2:]]
        size = ((n + 2 * pad - k) // s + 1 for n, k, s in zip((high, wide), reach, stride, strict=True))
        return self.add("conv", node, here), (len(weight), *size)

    def pool(self, here: str, shape: Shape) -> tuple[str, Shape]:
        kind, pad, step = self.one_of(nir.SumPool2d, nir.AvgPool2d), self.one_of(0, 0, 1), self.one_of(2, 2, 1)
        self.has[kind.__name__] += 1
        node = kind(kernel_size=np.array([2, 2]), stride=np.array([step, step]), padding=np.array([pad, pad]))
        size = ((n + 2 * pad - 2) // step + 1 for n in shape[1:])
        return self.add("pool", node, here), (shape[0], *size)

    # ---------------------------------------------------------------------------------------------- neurons and readout

    def neuron(self, shape: Shape) -> tuple[str, Any]:
        kind = self.one_of(*(EXACT_KINDS if self.exact else KINDS))
        self.has[kind] += 1
        own = self.often(0.35, "parameters per channel")

        def each(*choices: float) -> np.ndarray:
            """One value for all, or one for each channel."""
            if not own:
                return np.full(shape, self.one_of(*choices), np.float32)
            values = np.array(choices)[self.rng.integers(len(choices), size=shape[0])]
            return np.broadcast_to(values.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.float32)

        threshold, zero = each(0.5, 0.75, 1.0, 1.25), np.zeros(shape, np.float32)
        dt = np.float32(self.dt)
        if kind == "Threshold":
            return "threshold", nir.Threshold(threshold=threshold)
        if kind == "IF":
            r = np.full(shape, 1, np.float32) / dt if self.exact else each(0.7, 1.0, 1.3) / dt
            return "if", nir.IF(r=r.astype(np.float32), v_threshold=threshold, v_reset=zero)
        if self.exact:
            tau = each(1, 2, 4)
            return "lif", nir.LIF(tau=tau * dt, r=tau.copy(), v_leak=zero, v_threshold=threshold, v_reset=zero)
        tau, r = each(1.5, 2.0, 3.0, 5.0, 8.0) * dt, each(1.0, 1.0, 2.5)
        leak = each(0.05, 0.1, -0.1) if self.often(0.2, "v_leak") else zero
        reset = each(0.05, -0.2) if self.often(0.01, "v_reset") else zero
        if kind == "LIF":
            return "lif", nir.LIF(tau=tau, r=r, v_leak=leak, v_threshold=threshold, v_reset=reset)
        cuba = nir.CubaLIF(
            tau_syn=each(2.0, 4.0) * dt, tau_mem=tau, r=r, v_leak=leak, v_threshold=threshold, v_reset=zero,
            w_in=each(1.0, 2.0),
        )  # fmt: skip
        return "cuba", cuba

    def readout(self, here: str, shape: Shape) -> None:
        kind = self.one_of("spikes", "linear", "linear", "LI", "CubaLI", "I")
        if kind == "spikes" and isinstance(self.nodes[here], SPIKING):
            self.has["read by spikes"] += 1
        else:
            here, shape = self.add("linear", nir.Linear(weight=self.weights(3, shape[0])), here), (3,)
            one, tau = np.ones(3, np.float32), np.full(3, 4 * self.dt, np.float32)
            if kind == "LI":
                here = self.add("li", nir.LI(tau=tau, r=one, v_leak=one * 0), here)
            elif kind == "CubaLI":
                cuba = nir.CubaLI(tau_syn=tau / 2, tau_mem=tau, r=one, v_leak=one * 0, w_in=one)
                here = self.add("cubali", cuba, here)
            elif kind == "I":
                here = self.add("i", nir.I(r=one / np.float32(self.dt)), here)
            self.has[f"read by {'a linear layer' if kind == 'spikes' else kind}"] += 1
        self.nodes["output"] = nir.Output(output_type={"output": np.array(shape)})
        self.edges.append((here, "output"))
