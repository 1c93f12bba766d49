"""Graphs without space: where every map is (C, 1, 1), a convolution is a matrix, and NIR says so with Affine."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from snnas.export.graph.graph import NEURONS, Conv, Delay, Graph, Input, Linear, Node, Output, Scale


def without_space(graph: Graph) -> Graph:
    """The same graph with flat shapes (N,) and matrices; as it is where a node has space, or needs three axes."""
    if len(graph.nodes[graph.input].shape) != 3:  # type: ignore[union-attr]
        return graph
    if any(int(np.prod(shape)) != shape[0] for shape in graph.shapes().values()):
        return graph
    nodes = {name: _flat(node) for name, node in graph.nodes.items()}
    if any(node is None for node in nodes.values()):
        return graph
    return replace(graph, nodes={name: node for name, node in nodes.items() if node is not None})


def _flat(node: Node) -> Node | None:
    match node:
        case Input() | Output():
            return replace(node, shape=node.shape[:1])
        case Conv(groups=1) if node.weight.shape[2:] == (1, 1):
            return Linear(weight=node.weight[:, :, 0, 0], bias=node.bias)
        case Linear() | Delay() | Scale():
            return node if not isinstance(node, Scale) else replace(node, scale=node.scale.reshape(-1))
    if isinstance(node, NEURONS):
        return type(node)(**{f.name: getattr(node, f.name).reshape(-1) for f in fields(node)})
    return None
