"""The graph: what a .nir file says, as plain frozen data. The only form that the compiler and the executors read.

Nodes are NIR's primitives with their parameters in float32 as stored; several edges into one node are summed. One
time convention (``conventions.py``) turns the ODEs into steps: v += dt/tau * (v_leak - v + r I), spike iff
v > v_threshold, then v := v_reset. Feature shapes are (C, H, W) or (N,); a batch axis is never part of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw_sim.errors import InvalidFileError
from hw_sim.program import window_count

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
class Lif:
    """NIR's LIF. Parameters are float32 arrays of ``shape``; tau in seconds."""

    tau: np.ndarray
    r: np.ndarray
    v_leak: np.ndarray
    v_threshold: np.ndarray
    v_reset: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tau.shape


Node = Input | Output | Conv | Linear | Pool | Flatten | Delay | Lif
LINEAR = (Conv, Linear, Pool, Flatten)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """nodes by name, edges in the order of the file, ``delayed``: the edges that wait one timestep.

    meta: what the ``snnas`` metadata key held (provenance; executors do not read it).
    """

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]
    delayed: frozenset[tuple[str, str]] = frozenset()
    meta: dict[str, Any] = field(default_factory=dict)

    def sources(self, name: str) -> list[str]:
        return [s for s, d in self.edges if d == name]

    def of_type(self, kind: type[Node]) -> list[str]:
        return [n for n, node in self.nodes.items() if isinstance(node, kind)]

    @property
    def input(self) -> str:
        return self.of_type(Input)[0]

    @property
    def output(self) -> str:
        return self.of_type(Output)[0]

    def order(self) -> list[str]:
        """Node names in topological order of the edges that act within the timestep; by name where free.

        A delayed edge, and a Delay node's outgoing edges, carry the past and do not order. A cycle without them is an
        error that names it.
        """
        waits = {n for n, node in self.nodes.items() if isinstance(node, Delay)}
        successors: dict[str, list[str]] = {n: [] for n in self.nodes}
        pending = dict.fromkeys(self.nodes, 0)
        for s, d in self.edges:
            if (s, d) not in self.delayed and s not in waits:
                successors[s].append(d)
                pending[d] += 1
        ready = sorted((n for n, k in pending.items() if k == 0), reverse=True)
        order: list[str] = []
        while ready:
            name = ready.pop()
            order.append(name)
            freed = []
            for d in successors[name]:
                pending[d] -= 1
                if pending[d] == 0:
                    freed.append(d)
            ready = sorted(set(ready) | set(freed), reverse=True)
        if len(order) < len(self.nodes):
            loop = ", ".join(sorted(set(self.nodes) - set(order)))
            raise InvalidFileError(
                f"graph: a cycle through {loop} does not say which edge waits a timestep; name it with "
                "--delayed SRC:DST, or keep the 'snnas' metadata of the file"
            )
        return order

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every node's output, inferred from Input and LIF nodes by our own arithmetic."""
        known: dict[str, tuple[int, ...]] = {
            n: node.shape for n, node in self.nodes.items() if isinstance(node, Input | Lif)
        }
        for name in self.order():
            if name not in known:
                source = next((s for s in self.sources(name) if s in known), None)
                if source is None:
                    raise InvalidFileError(f"graph: node {name} has no input; connect it or remove it")
                known[name] = output_shape(name, self.nodes[name], known[source])
        return known

    def verify(self) -> None:
        """One input, one output, no dangling node, every shape agrees; the first fault is the error."""
        for kind in (Input, Output):
            if len(self.of_type(kind)) != 1:
                raise InvalidFileError(f"graph: {len(self.of_type(kind))} {kind.__name__} nodes; expected exactly one")
        if len(set(self.edges)) != len(self.edges):
            raise InvalidFileError("graph: an edge is listed twice; scale the weights instead")
        for s, d in self.edges:
            for end in (s, d):
                if end not in self.nodes:
                    raise InvalidFileError(f"graph: edge {s} -> {d}: there is no node {end}")
        shapes = self.shapes()
        read = {s for s, _ in self.edges}
        for name, node in self.nodes.items():
            if name not in read and not isinstance(node, Output):
                raise InvalidFileError(f"graph: nothing reads node {name}; connect it or remove it")
            if not self.sources(name) and not isinstance(node, Input):
                raise InvalidFileError(f"graph: node {name} has no input; connect it or remove it")
            wanted = node.shape if isinstance(node, Lif | Output) else None
            for s in self.sources(name):
                got = shapes[s] if wanted is not None else output_shape(name, node, shapes[s])
                if got != (wanted if wanted is not None else shapes[name]):
                    raise InvalidFileError(
                        f"graph: edge {s} -> {name} carries {got}, expected {wanted or shapes[name]}"
                    )


def output_shape(name: str, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that ``node`` makes of an input of ``shape``; InvalidFileError where it does not fit."""
    if isinstance(node, Conv | Pool):
        if len(shape) != 3:
            raise InvalidFileError(f"graph: node {name} needs a (C, H, W) input, got {shape}")
        channels = shape[0]
        kernel = node.kernel if isinstance(node, Pool) else (node.weight.shape[2], node.weight.shape[3])
        if isinstance(node, Conv):
            if node.weight.shape[1] * node.groups != channels:
                raise InvalidFileError(
                    f"graph: node {name}: weight {node.weight.shape} in {node.groups} groups does not fit "
                    f"{channels} channels"
                )
            channels = node.weight.shape[0]
        size = tuple(
            window_count(n, k, s, p) for n, k, s, p in zip(shape[1:], kernel, node.stride, node.pad, strict=True)
        )
        if min(size) < 1:
            raise InvalidFileError(f"graph: node {name}: a {kernel} window does not fit an input of {shape}")
        return (channels, *size)
    if isinstance(node, Linear):
        if len(shape) != 1 or node.weight.shape[1] != shape[0]:
            raise InvalidFileError(f"graph: node {name}: weight {node.weight.shape} does not fit an input of {shape}")
        return (node.weight.shape[0],)
    if isinstance(node, Flatten):
        return (int(np.prod(shape)),)
    return shape
