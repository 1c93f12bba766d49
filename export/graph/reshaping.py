"""What files leave in a graph that has one meaning all the same, made plain: before anything is verified.

* axes of length 1 in the shapes of inputs, outputs and neurons, of a batch that was exported with them;
* further Outputs that read what leads to the last one anyway: they only show it;
* delays that differ between the elements of one node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from snnas.export.graph import structure
from snnas.export.graph.graph import (
    NEURONS,
    Conv,
    Delay,
    Graph,
    Input,
    Linear,
    Node,
    Output,
    Scale,
    output_shape,
    unlike,
)
from snnas.hw_sim.errors import UnsupportedError

MAX_DELAYS = 16  # different ones of one node: each but the first is a path, with synapses, of its own

Edge = tuple[str, str]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """A Delay whose elements wait differently: whole timesteps, int64 of the elements' shape."""

    steps: np.ndarray


def one_output(nodes: Mapping[str, Any], edges: Sequence[Edge]) -> tuple[dict[str, Any], list[Edge]]:
    """Without the Outputs whose sources lead to another one, where that leaves a single Output; else as it was."""
    outputs = [name for name, node in nodes.items() if isinstance(node, Output)]
    before = {name: structure.reached([name], edges, backward=True) for name in outputs}
    last = [
        name
        for name in outputs
        if all(s in before[name] for other in outputs if other != name for s, d in edges if d == other)
        and not any(s in before[other] for other in outputs if other != name for s, d in edges if d == name)
    ]
    if len(outputs) < 2 or len(last) != 1:
        return dict(nodes), list(edges)
    shown = set(outputs) - set(last)
    return {n: node for n, node in nodes.items() if n not in shown}, [(s, d) for s, d in edges if d not in shown]


def by_delay(
    nodes: Mapping[str, Any], edges: Sequence[Edge], waiting: frozenset[Edge], path: object
) -> tuple[dict[str, Node], list[Edge], frozenset[Edge]]:
    """Each ``Delays`` as parallel paths, one for each number of timesteps: a mask, then a Delay."""
    out: dict[str, Any] = dict(nodes)
    kept, late = list(edges), set(waiting)
    for name, node in nodes.items():
        if not isinstance(node, Delays):
            continue
        values = np.unique(node.steps)
        if len(values) > MAX_DELAYS:
            raise UnsupportedError(
                f"{path}: node {name}: {len(values)} different delays; at most {MAX_DELAYS} are taken: round them to "
                "fewer"
            )
        del out[name]
        ends = [_path(out, kept, name, node, int(value)) for value in values]
        before, after = [e for e in kept if e[1] == name], [e for e in kept if e[0] == name]
        kept = [e for e in kept if name not in e]
        for s, d in before:
            kept += [(s, first) for first, _ in ends]
            late |= {(s, first) for first, _ in ends} if (s, d) in waiting else set()
        for s, d in after:
            kept += [(last, d) for _, last in ends]
            late |= {(last, d) for _, last in ends} if (s, d) in waiting else set()
    return out, kept, frozenset(edge for edge in late if edge in kept)


def _path(nodes: dict[str, Any], edges: list[Edge], name: str, node: Delays, steps: int) -> Edge:
    """Adds the nodes of one delay; the names of the first and the last of them."""
    mask = _free(nodes, f"{name}_of{steps}")
    nodes[mask] = Scale(scale=(node.steps == steps).astype(np.float32))
    if not steps:
        return mask, mask
    held = _free(nodes, f"{name}_by{steps}")
    nodes[held] = Delay(steps=steps)
    edges.append((mask, held))
    return mask, held


def _free(nodes: Mapping[str, Any], name: str) -> str:
    while name in nodes:
        name += "_"
    return name


# ------------------------------------------------------------------------------------------------- axes of length 1


def spread(graph: Graph) -> Graph:
    """Parameters that are given once for all neurons, or once per channel, in the shape of what comes in.

    A shape that differs from it by axes of length 1 alone becomes it, too.
    """
    nodes = {**graph.nodes, **{n: _input(graph, n, node) for n, node in graph.nodes.items() if isinstance(node, Input)}}
    known = {n: node.shape for n, node in nodes.items() if isinstance(node, Input)}
    late = set(graph.of_type(Delay))
    for name in [*graph.order(), *graph.order()] if late else graph.order():  # what is behind a Delay comes before it
        node = nodes[name]
        source = next((s for s in graph.sources(name) if s in known), None)
        shape = None if source is None else known[source]
        if isinstance(node, Output):
            if shape is not None and _alike(node.shape, shape):
                nodes[name] = Output(shape=shape)
        elif isinstance(node, (Scale, *NEURONS)):
            if shape is not None and (_spreads(_own(node), shape) or _alike(_own(node), shape)):
                nodes[name] = node = _in_shape(node, shape)
            known[name] = _own(node)
            if source is not None and isinstance(node, NEURONS) and known[name] not in (shape, ()):
                raise unlike(source, known[source], name, known[name])  # here, or what reads it is blamed
        elif name not in known and shape is not None:
            known[name] = output_shape(name, node, shape)
    return replace(graph, nodes=nodes)


def _input(graph: Graph, name: str, node: Input) -> Input:
    """The input without the axis of a batch that its readers do not know: (1, N) before a Linear, (1, C, L)."""
    readers = [graph.nodes[d] for d in _readers(graph, name)]
    one, *rest = node.shape
    if one != 1 or not readers:
        return node
    if len(rest) == 2 and rest[0] == 1 and all(isinstance(r, Linear) and r.weight.shape[1] == rest[1] for r in readers):
        return Input(shape=(rest[1],))
    if len(rest) == 2 and all(_reads_line(r, rest[0]) for r in readers):
        return Input(shape=(rest[0], 1, rest[1]))
    return node


def _readers(graph: Graph, name: str) -> set[str]:
    """What reads a node, through nodes that keep its shape."""
    found, seen, pending = set[str](), {name}, [name]
    while pending:
        at = pending.pop()
        for d in {d for s, d in graph.edges if s == at} - seen:
            seen.add(d)
            if isinstance(graph.nodes[d], (Scale, Delay, *NEURONS)):
                pending.append(d)
            elif not isinstance(graph.nodes[d], Output):
                found.add(d)
    return found


def _reads_line(node: Node, channels: int) -> bool:
    """Whether a convolution along a line takes so many channels, and could not take one."""
    return isinstance(node, Conv) and node.weight.shape[2] == 1 and node.weight.shape[1] * node.groups == channels > 1


def _own(node: Any) -> Shape:
    return node.scale.shape if isinstance(node, Scale) else node.shape


def _in_shape(node: Any, shape: Shape) -> Any:
    values = {f.name: getattr(node, f.name) for f in fields(node)}
    if _alike(_own(node), shape):
        return type(node)(**{n: v.reshape(shape) for n, v in values.items()})
    return type(node)(**{n: np.broadcast_to(v, shape).copy() for n, v in values.items()})


def _alike(own: Shape, shape: Shape) -> bool:
    """Different, but for axes of length 1 the same."""
    return own != shape and [n for n in own if n != 1] == [n for n in shape if n != 1] and len(own) > 0


def _spreads(own: Shape, shape: Shape) -> bool:
    alike = len(own) == len(shape) and all(n in (1, m) for n, m in zip(own, shape, strict=True))
    return own != shape and (own in ((), (1,)) or alike)
