"""Nested NIR graphs laid open: one flat set of nodes, inner names behind ``outer.``, inner Inputs and Outputs gone.

Works on the plain tree that ``hdf5_guard`` hands back. What came into a subgraph comes to the readers of its Input,
what its Output reads goes to the subgraph's readers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.hdf5_guard import Tree
from snnas.hw_sim.errors import InvalidFileError

MAX_NODES = 100_000
MAX_DEPTH = 32

Edges = list[tuple[str, str]]


def text(value: Any) -> str:
    """A string as HDF5 brings it."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def opened(root: Tree, path: Path) -> tuple[dict[str, Tree], Edges]:
    """All nodes by flat name, and the edges between them. InvalidFileError names the subgraph that is wrong."""
    opener = _Opener(path)
    opener.open(root, "", 0)
    edges = [(opener.exit.get(s, s), opener.entry.get(d, d)) for s, d in opener.edges]
    for name in opener.passes:
        into, onto = [s for s, d in edges if d == name], [d for s, d in edges if s == name]
        edges = [e for e in edges if name not in e] + [(s, d) for s in into for d in onto]
        if len(edges) > MAX_NODES:
            raise InvalidFileError(f"{path}: over {MAX_NODES} edges once nested graphs are opened; split the graph")
        del opener.nodes[name]
    return opener.nodes, edges


class _Opener:
    """Collects what all levels hold. entry, exit: of a subgraph, the flat names of its Input and its Output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: dict[str, Tree] = {}
        self.edges: Edges = []
        self.passes: list[str] = []  # Inputs and Outputs of subgraphs: they hand on
        self.entry: dict[str, str] = {}
        self.exit: dict[str, str] = {}

    def open(self, graph: Tree, prefix: str, depth: int) -> None:
        if not isinstance(graph, dict) or not {"nodes", "edges"} <= graph.keys():
            raise InvalidFileError(
                f"{self.path}: a graph without nodes and edges; write it again with nir.write", code="SN105"
            )
        raw_nodes, raw_edges = graph["nodes"], np.asarray(graph["edges"])
        if raw_edges.size == 0:
            raw_edges = raw_edges.reshape(0, 2)
        if not isinstance(raw_nodes, dict) or raw_edges.ndim != 2 or raw_edges.shape[1] != 2:
            raise InvalidFileError(f"{self.path}: edges of shape {raw_edges.shape}; expected (E, 2) names")
        if depth > MAX_DEPTH or len(self.nodes) + len(raw_nodes) > MAX_NODES:
            raise InvalidFileError(f"{self.path}: over {MAX_NODES} nodes, or graphs nested over {MAX_DEPTH} deep")
        for name, raw in raw_nodes.items():
            self._add(f"{prefix}{name}", raw, depth)
        self.edges += [(f"{prefix}{text(s)}", f"{prefix}{text(d)}") for s, d in raw_edges]

    def _add(self, name: str, raw: object, depth: int) -> None:
        if name in self.nodes or name in self.entry:
            raise InvalidFileError(
                f"{self.path}: two nodes are called {name} once nested graphs are opened; rename one"
            )
        if not isinstance(raw, dict):
            raise InvalidFileError(f"{self.path}: node {name} is not a group")
        kind = text(raw.get("type"))
        if kind == "NIRGraph":
            self.open(raw, f"{name}.", depth + 1)
            self.entry[name], self.exit[name] = (_end(raw, name, what, self.path) for what in ("Input", "Output"))
            return
        self.nodes[name] = raw
        if depth and kind in ("Input", "Output"):
            self.passes.append(name)


def _end(graph: Tree, name: str, what: str, path: Path) -> str:
    """The flat name of a subgraph's only Input or Output."""
    found = [n for n, raw in graph["nodes"].items() if isinstance(raw, dict) and text(raw.get("type")) == what]
    if len(found) != 1:
        raise InvalidFileError(
            f"{path}: the nested graph {name} has {len(found)} {what} nodes; exactly one is taken: join them"
        )
    return f"{name}.{found[0]}"
