"""The circuit: a graph as populations joined by real-valued synapses, before any number becomes an integer.

Every spiking node is a population; every path of linear nodes from a source to it is one synapse, never shared with
another target. What reaches a population when nothing spikes is its bias. Scaled so that a population integrates
``U <- U (1 - decay) + J``, ``V <- V (1 - alpha) + U + bias`` and fires iff ``V > threshold``: a Loihi neuron has no
input gain, so the membrane is in units of v / alpha (v / dt without a leak). Loihi's neurons of one population share
one threshold: where a node's differ, each neuron's membrane is measured in units of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from snnas.export.compiler.cells import Cell, cell_of
from snnas.export.compiler.paths import Path, compose, paths, shape3
from snnas.export.executors import interpreter
from snnas.export.graph.graph import INTEGRATING, SPIKING, Delay, Graph, Li, Pool, Spiking
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.linear import apply as apply_map
from snnas.hw_sim.program import CLOCK, INPUT, RESERVED, InputKind, LinearMap, Role, Shape

MAX_READOUT = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A population, real-valued. threshold: of V. alpha: share of V that leaks per timestep.

    bias: float64 (C, H, W), added to V. decay: share of U that is gone a timestep later, 1 where it has no memory.
    drive: float64 (C, H, W), added to U at every timestep; None where there is none. taken: what a spike takes from V;
    0: it is reset to zero.
    """

    id: str
    shape: Shape
    alpha: float
    threshold: float
    bias: np.ndarray
    role: Role = "neuron"
    decay: float = 1.0
    drive: np.ndarray | None = None
    taken: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A synapse, real-valued: float64 weights in ``map``."""

    id: str
    src: str
    dst: str
    map: LinearMap
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """groups and links; ``host``: the links from an analogue input; readout: float64 (classes, N) and (classes,).

    relays: groups that hold a source's spikes back by whole timesteps, and that source.
    """

    groups: tuple[Group, ...]
    links: tuple[Link, ...]
    host: tuple[Link, ...]
    input_shape: Shape
    input_kind: InputKind
    readout_src: str
    readout_weight: np.ndarray
    readout_bias: np.ndarray
    node_of: dict[str, str]
    relays: dict[str, str] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        return next(g for g in self.groups if g.id == name)

    def source_shape(self, name: str) -> Shape:
        if name == INPUT:
            return self.input_shape
        return (1, 1, 1) if name == CLOCK else self.group(name).shape

    def verify(self) -> None:
        """Every link maps its source's shape onto its target's."""
        for link in self.links + self.host:
            shape, target = link.map.out_shape(self.source_shape(link.src)), self.group(link.dst).shape
            if shape != target and shape != (int(np.prod(target)), 1, 1):
                raise InvalidFileError(f"circuit: {link.src} -> {link.dst} maps to {shape}, expected {target}")


def trace(graph: Graph, input_kind: InputKind, *, soft_reset: bool = False) -> Circuit:
    """The circuit of a graph; UnsupportedError names the node that Loihi's LIF cannot express, and the mend.

    soft_reset: take a reset by subtraction too, which Loihi's LIF has not.
    """
    return _Tracer(graph, input_kind, soft_reset).circuit()


class _Tracer:
    def __init__(self, graph: Graph, input_kind: InputKind, soft_reset: bool) -> None:
        self.graph, self.soft_reset = graph, soft_reset
        self.input_kind: InputKind = input_kind
        self.shapes = graph.shapes()
        self.names = _population_names(graph)
        self.bias = interpreter.constant_currents(graph)
        self._refuse_late_constants()
        self.groups: list[Group] = []
        self.links: list[Link] = []
        self.host: list[Link] = []
        self.relays: dict[tuple[str, int], str] = {}

    def _refuse_late_constants(self) -> None:
        late = {f"edge {s} -> {d}": f"{s}:{d}" for s, d in self.graph.delayed}
        for what, key in (late | {f"node {n}": n for n in self.graph.of_type(Delay)}).items():
            if self.bias[key].any():
                raise UnsupportedError(
                    f"{what}: a bias would have to wait with the spikes, and come at no first timestep; let the spikes "
                    "wait before the layer that holds the bias"
                )

    def circuit(self) -> Circuit:
        for name in self.graph.order():
            node = self.graph.nodes[name]
            if isinstance(node, SPIKING):
                self._population(name, node)
        src, weight, readout_bias = self._readout()
        circuit = Circuit(
            groups=tuple(self.groups),
            links=tuple(self.links),
            host=tuple(self.host),
            input_shape=shape3(self.shapes[self.graph.input]),
            input_kind=self.input_kind,
            readout_src=self.names[src],
            readout_weight=weight,
            readout_bias=readout_bias,
            node_of={v: k for k, v in self.names.items()},
            relays={relay: source for (source, _), relay in self.relays.items()},
        )
        circuit.verify()
        return circuit

    def _population(self, name: str, node: Spiking) -> None:
        cell = cell_of(name, node, self.graph.convention, soft_reset=self.soft_reset)
        shape = shape3(node.shape)
        drive = (cell.gain * self.bias[name]).reshape(shape)
        leak = cell.leak.reshape(shape)
        remembers = cell.decay < 1
        ways = paths(self.graph, name)
        group = Group(
            id=self.names[name],
            shape=shape,
            alpha=cell.alpha,
            threshold=cell.threshold,
            bias=leak if remembers else drive + leak,
            role=_role(cell, self.bias[name], ways, self.graph.input if self.input_kind == "analogue" else ""),
            decay=cell.decay,
            drive=drive if remembers and drive.any() else None,
            taken=cell.taken,
        )
        self.groups.append(group)
        gain = cell.gain.reshape(shape) if cell.gain.ndim else cell.gain
        for k, way in enumerate(ways):
            source = INPUT if way.source == self.graph.input else self.names[way.source]
            linear = compose(way, self.shapes[way.source], shape, gain)
            if linear is None:
                continue
            analogue = source == INPUT and self.input_kind == "analogue"
            if analogue and way.distance:
                raise UnsupportedError(
                    f"node {name}: a delayed edge from the analogue input; only spikes can wait: put a neuron before it"
                )
            made = f"{source}__{group.id}__{k}"
            late = self._held_back(source, way.distance - 1, self.shapes[way.source])
            link = Link(id=made, src=late, dst=group.id, map=linear, distance=min(way.distance, 1))
            (self.host if analogue else self.links).append(link)

    def _held_back(self, source: str, steps: int, shape: tuple[int, ...]) -> str:
        """The population that gives the source's spikes ``steps`` timesteps late: a chain of relays."""
        previous = source
        for n in range(1, steps + 1):
            if (source, n) not in self.relays:
                name = f"{source}_late{n}"
                while name in self.names.values():
                    name += "_"
                self.relays[source, n] = name
                self._relay(name, previous, shape3(shape))
            previous = self.relays[source, n]
        return previous

    def _relay(self, name: str, source: str, shape: Shape) -> None:
        identity = LinearMap(kind="conv", weight=np.ones((shape[0], 1, 1, 1)), groups=shape[0])
        self.groups.append(Group(id=name, shape=shape, alpha=1.0, threshold=0.5, bias=np.zeros(shape), role="relay"))
        self.links.append(Link(id=f"{source}__{name}", src=source, dst=name, map=identity, distance=1))

    def _readout(self) -> tuple[str, np.ndarray, np.ndarray]:
        """What the host sums over time: the one path into the Output (or its integrator), as a dense matrix."""
        graph, reader, gain = self.graph, self.graph.output, np.ones(())
        before = graph.sources(reader)
        node = graph.nodes[before[0]]
        if len(before) == 1 and isinstance(node, INTEGRATING):
            reader = before[0]
            if isinstance(node, Li):
                raise UnsupportedError(
                    f"node {reader}: an LI forgets what it has read, the host's readout sums all timesteps alike; "
                    "put an I (or nothing) in its place and fine-tune"
                )
            gain = graph.convention.dt * node.r.astype(np.float64)
        ways = paths(graph, reader)
        if len(ways) != 1 or ways[0].source == graph.input or ways[0].distance:
            raise UnsupportedError(
                f"node {reader}: {len(ways)} paths lead to the output; exactly one, from a spiking node and not "
                "delayed, is taken: let one spiking layer, without a skip, feed the output"
            )
        way = ways[0]
        source, size = self.shapes[way.source], int(np.prod(self.shapes[way.source]))
        constant = (gain * self.bias[reader]).reshape(-1)
        if size * constant.size > MAX_READOUT:
            raise UnsupportedError(
                f"node {reader}: a readout of {constant.size} x {size} weights; end with a linear layer"
            )
        if not way.nodes:
            return way.source, np.eye(size) * gain.reshape(-1, 1), constant
        target = shape3(self.shapes[reader])
        linear = compose(way, source, target, gain.reshape(target) if gain.ndim else gain)
        if linear is None:
            raise UnsupportedError(
                f"node {reader}: all weights before the output are zero; nothing could be read: train it first"
            )
        if linear.kind == "dense":
            return way.source, linear.weight, constant
        shape = shape3(source)
        units = np.eye(size).reshape(size, *shape)
        return way.source, apply_map(linear, units, target).reshape(size, -1).T.copy(), constant


def _population_names(graph: Graph) -> dict[str, str]:
    """Node name -> population id: letters, digits and underscores, unique, no reserved name."""
    used = set(RESERVED)
    names = {}
    for node in graph.of_type(SPIKING):
        base = name = re.sub(r"[^A-Za-z0-9_]", "_", node) or "lif"
        k = 1
        while name in used:
            k += 1
            name = f"{base}_{k}"
        used.add(name)
        names[node] = name
    return names


def _role(cell: Cell, current: np.ndarray, ways: list[Path], analogue: str) -> Role:
    """``or``: fed by nothing but plain sums of spikes, and one spike is enough, so it holds no state.

    analogue: the name of the input node where the input is a current, else ''.
    """
    for way in ways:
        pools = [n for _, n in way.nodes]
        plain = len(pools) == 1 and isinstance(pools[0], Pool) and not pools[0].average
        if not plain or way.source == analogue:
            return "neuron"
    constant = current.any() or cell.leak.any() or cell.decay < 1 or cell.taken > 0
    return "or" if ways and not constant and float(cell.gain.min()) > cell.threshold else "neuron"
