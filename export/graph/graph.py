"""The graph: what a .nir file says, as plain frozen data. The only form that the compiler and the executors read.

Nodes are NIR's primitives with their parameters in float32 as stored; several edges into one node are summed. A
``Convention`` turns the ODEs of the neurons (``neurons.py``) into steps. Feature shapes are (C, H, W) or (N,); a batch
axis is never part of them, and what NIR gives as (C, L) is (C, 1, L) here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.graph import structure
from snnas.export.graph.neurons import (
    INTEGRATING,
    NEURONS,
    SPIKING,
    CubaLi,
    CubaLif,
    I,
    If,
    Integrating,
    Li,
    Lif,
    Spiking,
    Threshold,
)
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import window_count
from snnas.hw_sim.readout import Read

__all__ = [
    "INTEGRATING", "LINEAR", "NEURONS", "SPIKING", "Conv", "CubaLi", "CubaLif", "Delay", "Flatten", "Graph", "I", "If",
    "Input", "Integrating", "Li", "Lif", "Linear", "Node", "Output", "Pair", "Pool", "Scale", "Spiking", "Threshold",
    "output_shape",
]  # fmt: skip

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Where the data come in."""

    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is read at every timestep."""

    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """weight (O, I/groups, kH, kW), bias (O,) or None: torch's conv2d."""

    weight: np.ndarray
    bias: np.ndarray | None
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    groups: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """weight (O, N), bias (O,) or None, on a flat input."""

    weight: np.ndarray
    bias: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A sum (or, divided by the window's size, padding included, an average) over windows."""

    kernel: Pair
    stride: Pair
    pad: Pair = (0, 0)
    average: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """(C, H, W) -> (C*H*W,), C-order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Holds its input back by whole timesteps."""

    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The elementwise product with ``scale``, an array of the input's shape."""

    scale: np.ndarray


Node = Input | Output | Conv | Linear | Pool | Flatten | Scale | Delay | Spiking | Integrating
LINEAR = (Conv, Linear, Pool, Flatten, Scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """nodes by name, edges in the order of the file, ``delayed``: the edges that wait one timestep.

    convention: what the file leaves open. meta: what the ``snnas`` metadata key held (provenance; executors do not
    read it).
    """

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]
    delayed: frozenset[tuple[str, str]] = frozenset()
    convention: conventions.Convention = conventions.OURS
    meta: dict[str, Any] = field(default_factory=dict)

    def sources(self, name: str) -> list[str]:
        return [s for s, d in self.edges if d == name]

    def of_type(self, kind: type[Node] | tuple[type[Node], ...]) -> list[str]:
        return [n for n, node in self.nodes.items() if isinstance(node, kind)]

    @property
    def input(self) -> str:
        return self.of_type(Input)[0]

    @property
    def output(self) -> str:
        return self.of_type(Output)[0]

    @property
    def read(self) -> Read:
        """What of the output is the answer: its sum over the timesteps, its last or its largest value.

        Where the convention leaves it open: the last of what integrates, the sum of anything else.
        """
        said = self.convention.readout
        if said == "sum" or said == "last" or said == "max":
            return said
        return "last" if any(isinstance(self.nodes[s], INTEGRATING) for s in self.sources(self.output)) else "sum"

    def order(self) -> list[str]:
        """Node names in topological order of the edges that act within the timestep; by name where free.

        A delayed edge carries the past, and a Delay node reads for later timesteps: neither edge orders. A cycle
        without them is an error that names it.
        """
        waits = set(self.of_type(Delay))
        now = [(s, d) for s, d in self.edges if (s, d) not in self.delayed and d not in waits]
        order, left = structure.order(self.nodes, now)
        if left:
            loop = structure.cycle(left, now)
            edges = ", ".join(f"{s}:{d}" for s, d in zip(loop, [*loop[1:], loop[0]], strict=True))
            raise InvalidFileError(
                f"graph: a cycle through {', '.join(loop)} does not say which edge waits a timestep; name it with "
                f"--delayed SRC:DST (one of {edges}), or keep the 'snnas' metadata of the file",
                code="SN202",
            )
        return order

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every node's output, inferred from Input and neuron nodes by our own arithmetic."""
        known: dict[str, tuple[int, ...]] = {
            n: node.shape for n, node in self.nodes.items() if isinstance(node, (Input, *NEURONS))
        }
        pending = [n for n in self.order() if n not in known]
        while pending:
            left = []
            for name in pending:
                source = next((s for s in self.sources(name) if s in known), None)
                if source is None:
                    left.append(name)  # behind a Delay whose source comes later
                else:
                    known[name] = output_shape(name, self.nodes[name], known[source])
            if len(left) == len(pending):
                raise InvalidFileError(f"graph: node {left[0]} has no input; connect it or remove it", code="SN113")
            pending = left
        return known

    def verify(self) -> None:
        """One input, one output, no dangling node, no loop without a neuron, every shape agrees.

        The first fault is the error: InvalidFileError, one line that names the node and the mend.
        """
        self.verify_wiring()
        self._verify_shapes()

    def verify_wiring(self) -> None:
        """``verify`` without the shapes."""
        self._verify_ends()
        self._verify_edges()
        loop = structure.cycle([n for n, node in self.nodes.items() if not isinstance(node, SPIKING)], self.edges)
        if loop:
            raise InvalidFileError(
                f"graph: the cycle through {', '.join(loop)} holds no spiking neuron; put one into it, or cut it open",
                code="SN203",
            )

    def _verify_shapes(self) -> None:
        shapes = self.shapes()
        for name, node in self.nodes.items():
            wanted = node.shape if isinstance(node, (Output, *NEURONS)) else None
            for s in self.sources(name):
                got = shapes[s] if wanted is not None else output_shape(name, node, shapes[s])
                if got != (wanted if wanted is not None else shapes[name]):
                    raise unlike(s, got, name, wanted or shapes[name])

    def _verify_ends(self) -> None:
        for kind in (Input, Output):
            found = self.of_type(kind)
            word = kind.__name__
            added = [n for n in found if n.startswith(f"{word.lower()}_") and n[len(word) + 1 :] in self.nodes]
            if added and len(found) > 1:
                node = added[0][len(word) + 1 :]
                what = "nothing feeds" if kind is Input else "nothing reads"
                raise InvalidFileError(
                    f"graph: {len(found)} {word} nodes; {added[0]} was added because {what} {node}: connect {node}, or "
                    "remove it",
                    code="SN113",
                )
            if len(found) != 1:
                names = f" ({', '.join(sorted(found))})" if found else ""
                mend = "join them into one" if found else f"add an {word} node and an edge to its neighbour"
                raise InvalidFileError(
                    f"graph: {len(found)} {word} nodes{names}; expected exactly one: {mend}", code="SN111"
                )

    def _verify_edges(self) -> None:
        seen = set()
        for s, d in self.edges:
            for end in (s, d):
                if end not in self.nodes:
                    raise InvalidFileError(
                        f"graph: edge {s} -> {d}: there is no node {end}; add the node or remove the edge",
                        code="SN113",
                    )
            if (s, d) in seen:
                raise InvalidFileError(
                    f"graph: edge {s} -> {d}: an edge is listed twice; list it once, and scale the weights instead",
                    code="SN112",
                )
            seen.add((s, d))
            if isinstance(self.nodes[d], Input) or isinstance(self.nodes[s], Output):
                raise InvalidFileError(
                    f"graph: edge {s} -> {d} leads into an Input or out of an Output; remove the edge", code="SN111"
                )
        fed, read = {d for _, d in self.edges}, {s for s, _ in self.edges}
        from_input = structure.reached([self.input], self.edges)
        to_output = structure.reached([self.output], self.edges, backward=True)
        for name, node in self.nodes.items():
            if name not in read and not isinstance(node, Output):
                raise InvalidFileError(f"graph: nothing reads node {name}; connect it or remove it", code="SN113")
            if name not in fed and not isinstance(node, Input):
                raise InvalidFileError(f"graph: node {name} has no input; connect it or remove it", code="SN113")
            if name not in from_input:
                raise InvalidFileError(
                    f"graph: no way leads from the input {self.input} to node {name}; connect it or remove it",
                    code="SN113",
                )
            if name not in to_output:
                raise InvalidFileError(
                    f"graph: no way leads from node {name} to the output {self.output}; connect it or remove it",
                    code="SN113",
                )


def unlike(source: str, got: tuple[int, ...], name: str, wanted: tuple[int, ...]) -> InvalidFileError:
    """An edge whose ends have different shapes."""
    return InvalidFileError(
        f"graph: edge {source} -> {name} carries {got}, expected {wanted}; {_mend(got, wanted)}", code="SN204"
    )


def _mend(got: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(got) == 3 and wanted == got[:1]:
        return f"the second has one parameter per channel: write them out, numpy.broadcast_to(p[:, None, None], {got})"
    if int(np.prod(got)) == int(np.prod(wanted)):
        return "put a Flatten node between them" if len(got) > len(wanted) else "give both nodes the same shape"
    return "correct the shape of one of the two nodes"


def output_shape(name: str, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that ``node`` makes of an input of ``shape``; InvalidFileError where it does not fit."""
    if isinstance(node, Conv | Pool):
        if len(shape) != 3:
            raise InvalidFileError(
                f"graph: node {name} needs a (C, H, W) input, got {shape}; give its source three axes", code="SN204"
            )
        channels = shape[0]
        kernel = node.kernel if isinstance(node, Pool) else (node.weight.shape[2], node.weight.shape[3])
        if isinstance(node, Conv):
            if node.weight.shape[1] * node.groups != channels:
                raise InvalidFileError(
                    f"graph: node {name}: weight {node.weight.shape} in {node.groups} groups does not fit "
                    f"{channels} channels; correct the weight, the groups, or what comes before it",
                    code="SN204",
                )
            channels = node.weight.shape[0]
        size = tuple(
            window_count(n, k, s, p) for n, k, s, p in zip(shape[1:], kernel, node.stride, node.pad, strict=True)
        )
        if min(size) < 1:
            raise InvalidFileError(
                f"graph: node {name}: a {kernel} window does not fit an input of {shape}; make it smaller, or pad more",
                code="SN204",
            )
        return (channels, *size)
    if isinstance(node, Linear):
        if len(shape) != 1 or node.weight.shape[1] != shape[0]:
            last = shape[-1] if shape else 0
            flat = len(shape) > 1 and int(np.prod(shape)) == node.weight.shape[1]
            mend = "put a Flatten node before it" if flat else "correct the weight, or what comes before it"
            if flat and last == node.weight.shape[1]:  # nothing but axes of 1 before it
                mend = f"leave the batch axis out of the shapes of Input and Output ({last},), or {mend}"
            raise InvalidFileError(
                f"graph: node {name}: weight {node.weight.shape} does not fit an input of {shape}; {mend}", code="SN204"
            )
        return (node.weight.shape[0],)
    if isinstance(node, Scale) and node.scale.shape != shape:
        raise InvalidFileError(
            f"graph: node {name}: scale {node.scale.shape} does not fit an input of {shape}; give both the same shape",
            code="SN204",
        )
    if isinstance(node, Flatten):
        return (int(np.prod(shape)),)
    return shape


def parameters_of(graph: Graph) -> int:
    """Numbers that a graph stores: weights and biases of its linear nodes, each counted once."""
    values = [getattr(node, field, None) for node in graph.nodes.values() for field in ("weight", "bias")]
    return sum(int(np.size(value)) for value in values if value is not None)
