"""A graph that is read by the membrane of its last neurons: these never reset, and what they hold goes out."""

from __future__ import annotations

from dataclasses import fields, replace

from snnas.export.graph.graph import CubaLi, CubaLif, Graph, I, If, Li, Lif, Node
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.readout import Read

_HOLDS: dict[type, type] = {Lif: Li, CubaLif: CubaLi, If: I}
MEMBRANE = "membrane-"


def by_membrane(graph: Graph) -> Graph:
    """``graph`` read by the membrane at the end of the last timestep."""
    return read_by_membrane(replace(graph, convention=replace(graph.convention, readout="membrane-last")))


def read_by_membrane(graph: Graph) -> Graph:
    """``graph`` as its convention says: the neurons before the output without threshold and reset, where asked for.

    UnsupportedError where no neuron stands there.
    """
    said = graph.convention.readout or ""
    if not said.startswith(MEMBRANE):
        return graph
    nodes: dict[str, Node] = dict(graph.nodes)
    for name in graph.sources(graph.output):
        node = nodes[name]
        holds = _HOLDS.get(type(node), type(node))
        if holds not in _HOLDS.values():
            raise UnsupportedError(
                f"node {name}: a {type(node).__name__} before the output has no membrane to be read, as --readout "
                f"{said} asks; end the graph in a LIF, or say --readout {said.removeprefix(MEMBRANE)}"
            )
        if holds is not type(node):
            nodes[name] = holds(**{f.name: getattr(node, f.name) for f in fields(holds)})
    reads: dict[str, Read] = {"membrane-sum": "sum", "membrane-last": "last", "membrane-max": "max"}
    read = reads[said]
    return replace(graph, nodes=nodes, convention=replace(graph.convention, readout=read))
