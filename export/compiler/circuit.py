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
from snnas.export.compiler.readout import RealReadout, trace_readout
from snnas.export.executors import interpreter
from snnas.export.graph.graph import SPIKING, CubaLif, Delay, Graph, Pool, Spiking
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.program import CLOCK, INPUT, RESERVED, InputKind, LinearMap, Role, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A population, real-valued. threshold: of V. alpha: share of V that leaks per timestep.

    bias: float64 (C, H, W), added to V. decay: share of U that is gone a timestep later, 1 where it has no memory.
    drive: float64 (C, H, W), added to U at every timestep; None where there is none. taken: what a spike takes from V;
    0: it is reset to zero. late: V sees the U of the timestep before; its links and its drive wait for that.
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
    late: bool = False


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
    """groups and links; ``host``: the links from an analogue input.

    relays: groups that hold a source's spikes back by whole timesteps, and that source.
    """

    groups: tuple[Group, ...]
    links: tuple[Link, ...]
    host: tuple[Link, ...]
    input_shape: Shape
    input_kind: InputKind
    readout: RealReadout
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
        self.graph, self.input_kind, self.soft_reset = graph, input_kind, soft_reset
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
        circuit = Circuit(
            groups=tuple(self.groups),
            links=tuple(self.links),
            host=tuple(self.host),
            input_shape=shape3(self.shapes[self.graph.input]),
            input_kind=self.input_kind,
            readout=trace_readout(self.graph, self.names, self.bias),
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
        late = isinstance(node, CubaLif) and self.graph.convention.current == "late"
        remembers = cell.decay < 1 or late
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
            late=late,
        )
        self.groups.append(group)
        gain = cell.gain.reshape(shape) if cell.gain.ndim else cell.gain
        for k, way in enumerate(ways):
            source = INPUT if way.source == self.graph.input else self.names[way.source]
            linear = compose(way, self.shapes[way.source], shape, gain)
            if linear is None:
                continue
            made, distance = f"{source}__{group.id}__{k}", way.distance + late
            if source == INPUT and self.input_kind == "analogue":  # the host can wait
                self.host.append(Link(id=made, src=INPUT, dst=group.id, map=linear, distance=distance))
                continue
            held = self._held_back(source, distance - 1, self.shapes[way.source])
            self.links.append(Link(id=made, src=held, dst=group.id, map=linear, distance=min(distance, 1)))

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
