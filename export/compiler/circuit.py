"""The circuit: a graph as populations joined by real-valued synapses, before any number becomes an integer.

Every spiking node is a population; every path of linear nodes from a source to it is one synapse, never shared with
another target. What reaches a population when nothing spikes is its bias. Scaled so that a population integrates
``U <- U (1 - decay) + J``, ``V <- V (1 - alpha) + U + bias`` and fires iff ``V > threshold``: a Loihi neuron has no
input gain, so the membrane is in units of v / alpha (v / dt without a leak). Loihi's neurons of one population share
one threshold: where a node's differ, each neuron's membrane is measured in units of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np

from snnas.export.compiler.cells import Cell, cell_of
from snnas.export.compiler.grids import step
from snnas.export.compiler.parts import Part, cut, parts_of
from snnas.export.compiler.paths import Path, compose, paths, shape3
from snnas.export.compiler.readout import RealReadout, trace_readout
from snnas.export.executors import interpreter
from snnas.export.graph.graph import SPIKING, CubaLif, Delay, Graph, Pool, Spiking
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UnsupportedError
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

    node_of: node of the graph that each group is of. parts: the neurons of it that a group is, where it is not all.
    relays: groups that hold a source's spikes back by whole timesteps, and that source.
    """

    groups: tuple[Group, ...]
    links: tuple[Link, ...]
    host: tuple[Link, ...]
    input_shape: Shape
    input_kind: InputKind
    readout: RealReadout
    node_of: dict[str, str]
    parts: dict[str, np.ndarray] = field(default_factory=dict)
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


def ors_of(graph: Graph, input_kind: str) -> set[str]:
    """The nodes that are ORs (a max-pool's), which an activity rate leaves out; none of a graph that no chip takes."""
    try:
        circuit = trace(graph, "analogue" if input_kind == "analogue" else "spikes", soft_reset=True)
    except SnnasError:
        return set()
    return {circuit.node_of[group.id] for group in circuit.groups if group.role == "or"}


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
        self.ways = {n: paths(graph, n) for n in graph.of_type(SPIKING)}
        self.parts = {n: self._parts(n) for n in self.ways}

    def _parts(self, name: str) -> list[Part]:
        node = self.graph.nodes[name]
        assert isinstance(node, SPIKING)
        found = parts_of(name, self.names[name], node, self.graph.convention, exact=self._whole(name))
        used = {*self.names.values(), *RESERVED}
        return [replace(p, id=f"{p.id}_") if len(found) > 1 and p.id in used else p for p in found]

    def _whole(self, name: str) -> bool:
        """Whether the weights into a node are whole multiples of one step each."""
        target = shape3(self.shapes[name])
        maps = [m for way in self.ways[name] for m in compose(way, self.shapes[way.source], target, np.ones(()))]
        return all(step(m.weight) is not None for m in maps)

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
            readout=trace_readout(self.graph, self.parts, self.bias),
            node_of={part.id: name for name, parts in self.parts.items() for part in parts},
            parts={p.id: p.index for parts in self.parts.values() for p in parts if p.index is not None},
            relays={relay: source for (source, _), relay in self.relays.items()},
        )
        circuit.verify()
        return circuit

    def _population(self, name: str, node: Spiking) -> None:
        parts, late = self.parts[name], isinstance(node, CubaLif) and self.graph.convention.current == "late"
        cells = [cell_of(name, part.node, self.graph.convention, soft_reset=self.soft_reset) for part in parts]
        analogue = self.graph.input if self.input_kind == "analogue" else ""
        for part, cell in zip(parts, cells, strict=True):
            own = cell.gain.reshape(part.shape) if cell.gain.ndim else cell.gain
            drive = own * part.of(self.bias[name])
            leak = cell.leak.reshape(part.shape)
            remembers = cell.decay < 1 or late
            group = Group(
                id=part.id,
                shape=part.shape,
                alpha=cell.alpha,
                threshold=cell.threshold,
                bias=leak if remembers else drive + leak,
                role=_role(cell, self.bias[name], self.ways[name], analogue) if len(parts) == 1 else "neuron",
                decay=cell.decay,
                drive=drive if remembers and drive.any() else None,
                taken=cell.taken,
                late=late,
            )
            self.groups.append(group)
        gain = _gain(node, parts, cells)
        for k, way in enumerate(self.ways[name]):
            for n, linear in enumerate(compose(way, self.shapes[way.source], shape3(node.shape), gain)):
                for part in parts:
                    self._link(f"{part.id}__{k}{'_border' * n}", part, way, linear, shape3(node.shape), late)

    def _link(self, made: str, part: Part, way: Path, linear: LinearMap, target: Shape, late: bool) -> None:
        """The links of one way into one population: of each population of its source."""
        source, distance = shape3(self.shapes[way.source]), way.distance + late
        if way.source == self.graph.input:
            own = cut(linear, source, target, part, None)
            if own is None:
                return
            if self.input_kind == "analogue":  # the host can wait
                self.host.append(Link(id=f"{INPUT}__{made}", src=INPUT, dst=part.id, map=own, distance=distance))
                return
            held = self._held_back(INPUT, distance - 1, source)
            link = Link(id=f"{INPUT}__{made}", src=held, dst=part.id, map=own, distance=min(distance, 1))
            self.links.append(link)
            return
        for out in self.parts[way.source]:
            own = cut(linear, source, target, part, out)
            if own is not None:
                held = self._held_back(out.id, distance - 1, out.shape)
                link = Link(id=f"{out.id}__{made}", src=held, dst=part.id, map=own, distance=min(distance, 1))
                self.links.append(link)

    def _held_back(self, source: str, steps: int, shape: Shape) -> str:
        """The population that gives the source's spikes ``steps`` timesteps late: a chain of relays."""
        previous = source
        for n in range(1, steps + 1):
            if (source, n) not in self.relays:
                name = f"{source}_late{n}"
                while name in self.names.values() or any(name == p.id for parts in self.parts.values() for p in parts):
                    name += "_"
                self.relays[source, n] = name
                self._relay(name, previous, shape)
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


def _gain(node: Spiking, parts: list[Part], cells: list[Cell]) -> np.ndarray:
    """What comes into each neuron is multiplied with: one number, or one for each of the node's shape."""
    if len(parts) == 1:
        gain = cells[0].gain
        return gain.reshape(parts[0].shape) if gain.ndim else gain
    whole = np.empty(int(np.prod(node.shape)))
    for part, cell in zip(parts, cells, strict=True):
        whole[part.index] = np.broadcast_to(cell.gain.reshape(-1), part.index.size if part.index is not None else 0)
    return whole.reshape(shape3(node.shape)) if (whole != whole[0]).any() else whole[:1].reshape(())


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
