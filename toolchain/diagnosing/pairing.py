"""A graph and a program side by side: each population, way and number of the one with its counterpart in the other.

The graph's side is its circuit before scheduling, real-valued; the program's is read through its relays, which only
pass spikes on. A ``Way`` is one linear map into a population from one that computes, whichever relays lie between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group, Link, trace
from snnas.export.graph.graph import Graph
from snnas.hw_sim import limits
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import CLOCK, HostMap, Population, Program, Synapse

Source = tuple[str, int]  # a population (or ``input``), and by how many timesteps its spikes come late


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One synapse of the circuit and of the program; None on the side that lacks it.

    real, integer: where it starts and how late it is on either side.
    """

    id: str
    link: Link | None
    synapse: Synapse | None
    real: Source | None
    integer: Source | None

    @property
    def alike(self) -> bool:
        """Whether both sides hold maps of one form, whose weights can be told apart one by one."""
        if self.link is None or self.synapse is None:
            return False
        a, b = self.link.map, self.synapse.map
        form = (a.kind, a.weight.shape, a.stride, a.pad, a.groups, a.pre, a.post)
        if form != (b.kind, b.weight.shape, b.stride, b.pad, b.groups, b.pre, b.post):
            return False
        return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("indices", "indptr")) or a.kind != "sparse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A population with everything that drives it. group: None of a broken relay, which the graph does not have.

    clock: int64 (C, H, W), what the clock's synapses add at every timestep, weight units; None without.
    """

    population: Population
    group: Group | None
    ways: tuple[Way, ...]
    links: tuple[Link, ...]  # of the host, real
    maps: tuple[HostMap, ...]  # of the host, in the program
    clock: np.ndarray | None
    node: str

    @property
    def id(self) -> str:
        return self.population.id

    @property
    def state_unit(self) -> float:
        """Units of the membrane register, 1/64 of a weight unit, per unit of real current."""
        return self.population.scale * (1 << limits.STATE_SHIFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Both sides of a network. units: by depth in the program. subtract: the graph's reset is a subtraction."""

    graph: Graph
    circuit: Circuit
    program: Program
    units: tuple[Unit, ...]
    subtract: bool

    def unit(self, name: str) -> Unit:
        return next(u for u in self.units if u.id == name)


def hard(graph: Graph) -> Graph:
    """The graph with resets to zero: what compiles of a graph that resets by subtraction."""
    return replace(graph, convention=replace(graph.convention, reset="zero"))


def pair(graph: Graph, program: Program) -> Joint:
    """InvalidFileError where the program's populations are not the graph's; UnsupportedError as compiling does."""
    circuit = trace(hard(graph), program.input_kind)
    relays = {p.id for p in program.populations if p.role == "relay" and _passes_on(program, p)}
    groups = {g.id: g for g in circuit.groups if g.role != "relay"}
    computing = [p for p in program.in_order if p.id not in relays]
    shapes = {p.id: p.shape for p in computing if p.role != "relay"}
    for name, group in groups.items():
        if shapes.get(name) != group.shape:
            found = f"has shape {shapes[name]}" if name in shapes else "is missing"
            raise InvalidFileError(
                f"the program is not one of this graph: population {name} {found}, expected {group.shape}; name the "
                "graph that it was exported from, or export again"
            )
    extra = sorted(set(shapes) - set(groups))
    if extra:
        raise InvalidFileError(
            f"the program is not one of this graph: the graph has no population {extra[0]}; name the graph that it was "
            "exported from, or export again"
        )
    units = tuple(_unit(circuit, program, p, groups.get(p.id), relays) for p in computing)
    subtract = graph.convention.reset == "subtract"
    return Joint(graph=graph, circuit=circuit, program=program, units=units, subtract=subtract)


def _unit(circuit: Circuit, program: Program, p: Population, group: Group | None, relays: set[str]) -> Unit:
    links = {k.id: k for k in circuit.links if k.dst == p.id}
    synapses = {s.id: s for s in program.into(p.id) if s.src != CLOCK}
    ways = []
    for name in dict.fromkeys((*links, *synapses)):
        link, synapse = links.get(name), synapses.get(name)
        ways.append(
            Way(
                id=name,
                link=link,
                synapse=synapse,
                real=None if link is None else _through(link, circuit.links, circuit.relays),
                integer=None if synapse is None else _through(synapse, program.synapses, relays),
            )
        )
    return Unit(
        population=p,
        group=group,
        ways=tuple(ways),
        links=tuple(k for k in circuit.host if k.dst == p.id),
        maps=tuple(h for h in program.host if h.dst == p.id),
        clock=_clock(program, p),
        node=circuit.node_of.get(p.id, p.id),
    )


def _through(one: Link | Synapse, every: Iterable[Link | Synapse], relays: Iterable[str]) -> Source:
    """Where its spikes come from, through the relays that hold them back by timesteps."""
    name, steps = one.src, int(one.distance)
    into = {k.dst: k for k in every if k.dst in relays}
    while name in into:
        name, steps = into[name].src, steps + into[name].distance
    return name, steps


def _passes_on(program: Program, p: Population) -> bool:
    """Whether a relay gives its source's spikes one hardware step later, whatever they are."""
    into = list(program.into(p.id))
    if len(into) != 1 or p.bias.any() or p.dv != limits.DECAY_MAX or p.current_decays:
        return False
    if any(h.dst == p.id for h in program.host):
        return False
    m = into[0].map
    one_to_one = m.kind == "conv" and m.groups == p.shape[0] and m.weight.shape == (p.shape[0], 1, 1, 1)
    straight = one_to_one and m.stride == (1, 1) and m.pad == (0, 0)
    return straight and int(m.weight.min()) << into[0].exponent > p.vth


def _clock(program: Program, p: Population) -> np.ndarray | None:
    total = None
    for s in program.into(p.id):
        if s.src == CLOCK:
            part = s.map.weight.astype(np.int64).reshape(p.shape) << s.exponent
            total = part if total is None else total + part
    return total
