"""The five circuit motifs, as data: nodes, the signed synapses into each, and what a motif hands on.

A node is a current, the sum of its synapses, and the neurons that read it. ``IN`` stands for every input of the cell.
A back edge acts within the timestep and makes a new version of its node: ``Bi`` is B with an inhibition on top, a
population of its own (B' in the papers' drawings), and what is listed behind it reads ``Bi``. So a motif has no cycle.

Source: the templates for three inputs of the released code, with its dead inhibition mended. There, FI's C and MI's C
are sums of inhibition alone: they never fire, so nobody is inhibited (measured). Here an interneuron is always excited:
C = E(B) in FI, and C = E(inputs) + I(B) in MI.
"""

from __future__ import annotations

from dataclasses import dataclass

IN = "in"
EXCITATORY, INHIBITORY = 1, -1
KERNELS = (3, 5)
FAN_INS = (2, 3)


@dataclass(frozen=True, slots=True)
class Edge:
    """A synapse of a motif: weights of one sign. source: a node, ``IN``, or an input: in1 is the previous cell."""

    source: str
    target: str
    sign: int

    @property
    def name(self) -> str:
        """The edge as it stands in files: ``'in1->B'``."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node and the synapses into it; ``version_of``: the node whose synapses it has besides."""

    name: str
    edges: tuple[Edge, ...]
    version_of: str | None = None


@dataclass(frozen=True, slots=True)
class Motif:
    """A circuit. nodes: in the order in which they act. outputs: what is concatenated, the newest versions."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def edges(self, fan_in: int) -> tuple[Edge, ...]:
        """Return every synapse, in order, ``IN`` written out as in1 .. in<fan_in>; each has one kernel gene."""
        return tuple(edge for node in self.nodes for edge in expanded(node, fan_in))


def expanded(node: Node, fan_in: int) -> tuple[Edge, ...]:
    """Return the synapses into ``node`` with ``IN`` written out."""
    out: list[Edge] = []
    for edge in node.edges:
        sources = [f"in{k}" for k in range(1, fan_in + 1)] if edge.source == IN else [edge.source]
        out += [Edge(source, edge.target, edge.sign) for source in sources]
    return tuple(out)


def _node(name: str, *, e: tuple[str, ...] = (), i: tuple[str, ...] = (), version_of: str | None = None) -> Node:
    excited = [Edge(source, name, EXCITATORY) for source in e]
    return Node(name, (*excited, *(Edge(source, name, INHIBITORY) for source in i)), version_of)


_B = _node("B", e=(IN,))

MOTIFS: dict[str, Motif] = {
    motif.name: motif
    for motif in (
        Motif("FE", (_B, _node("C", e=("B",))), ("B", "C")),
        Motif("FI", (_B, _node("C", e=("B",)), _node("D", e=("B",), i=("C",))), ("B", "C", "D")),
        Motif(
            "FbI",
            (_B, _node("C", e=("B",)), _node("Bi", i=("C",), version_of="B"), _node("D", e=("Bi",))),
            ("Bi", "C", "D"),
        ),
        Motif(
            "LI",
            (
                _node("B1", e=(IN,)),
                _node("B2", e=(IN,)),
                _node("M", e=("B1", "B2")),
                _node("O1", e=("B1",), i=("M",)),
                _node("O2", e=("B2",), i=("M",)),
            ),
            ("B1", "B2", "M", "O1", "O2"),
        ),
        Motif("MI", (_B, _node("C", e=(IN,), i=("B",)), _node("Bi", i=("C",), version_of="B")), ("Bi", "C")),
    )
}
NAMES = tuple(MOTIFS)
