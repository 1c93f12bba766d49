"""What the candidates of a round share: a plan that names every node value that differs, once.

The candidates of one supernet hold the same weights and see the same batch, so a node's value is settled by what feeds
it: the operations summed there, their sources, and in a recurrent cell the state of its own neuron. Two candidates with
equal feeds share the value, its spikes, its kernel and the convolutions that leave it. In a feed-forward cell a *pass*
is all T timesteps at once; in a recurrent one it is a single timestep, and the first of them, where every delayed spike
is 0, is shared like a feed-forward cell.

The plan is symbolic: no tensor is touched. ``snnas.search.scoring.batched`` carries it out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from snnas.search.network.genotype import CONV_KERNELS, NODES, CellOps, Edge
from snnas.search.network.layers import lif_nodes, op_layer

# A feed-forward cell runs once, over all timesteps; the passes of a recurrent one are numbered by timestep.
WHOLE = -1
# The stem's current, the input of the first cell.
STEM = -1

# (edge, operation, source). Source None: the source is silent, and what arrives is the BN's shift.
Term = tuple[Edge, str, "int | None"]


@dataclass(slots=True, eq=False)
class Value:
    """A node's value in one pass of one cell, for all candidates that have it in common.

    source: the id of the cell's input (STEM, or a Reduction), node 0 only. terms: in the order in which they are
    added. state: the id of the Value whose neuron went before, None where it is at rest. convs: the convolutions that
    leave this node in some candidate. raw: whether the spikes themselves are read one step later. last: the last
    candidate, by place, that has this value.
    """

    id: int
    cell: int
    number: int
    node: int
    source: int | None
    terms: tuple[Term, ...]
    state: int | None
    fires: bool = False
    raw: bool = False
    convs: dict[tuple[Edge, str], None] = field(default_factory=dict)
    last: int = 0


@dataclass(slots=True, eq=False)
class Reduction:
    """What follows a cell, for all candidates whose cell output is the same; behind the last cell also the head.

    sources: the ids of node 3, one per pass.
    """

    id: int
    cell: int
    sources: tuple[int, ...]
    last: int = 0


@dataclass(slots=True)
class Candidate:
    """One candidate's way through the plan.

    passes: ids by (cell, pass, node). reductions: the id behind every cell. populations: (LIF name, how many
    operations read it, cell, node, ids of its passes).
    """

    passes: dict[tuple[int, int, int], int] = field(default_factory=dict)
    reductions: list[int] = field(default_factory=list)
    populations: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)


class Plan:
    """All values of ``candidates``: for each of them the live operations of every cell.

    timesteps: T. shifted: the BN layers whose shift is not 0, which arrives even from a silent source. head: whether
    it has neurons.
    """

    def __init__(
        self,
        candidates: Sequence[Sequence[CellOps]],
        *,
        timesteps: int,
        shifted: Collection[str] = (),
        head: bool = True,
    ) -> None:
        self.values: dict[int, Value] = {}
        self.reductions: dict[int, Reduction] = {}
        self.timesteps, self.shifted, self.head = timesteps, shifted, head
        self._known: dict[tuple[object, ...], int] = {}
        self.candidates = [self._trace(place, cells) for place, cells in enumerate(candidates)]

    def _trace(self, place: int, cells: Sequence[CellOps]) -> Candidate:
        candidate = Candidate()
        source = STEM
        for cell, ops in enumerate(cells, start=1):
            numbers = range(self.timesteps) if any(i > j for i, j in ops) else (WHOLE,)
            firing = sorted(lif_nodes(ops))
            every = [(edge, op) for edge, names in ops.items() for op in names]
            arriving = {node: [(edge, op) for edge, op in every if edge[1] == node] for node in NODES}
            readers = {node: sum(edge[0] == node and _through_neuron(edge, op) for edge, op in every) for node in NODES}
            before: dict[int, int] = {}
            for number in numbers:
                now: dict[int, int] = {}
                for node in NODES:
                    if node and not arriving[node]:
                        continue
                    terms = self._terms(cell, number, arriving[node], now, before)
                    state = before.get(node) if node in firing else None
                    now[node] = self._value(place, cell, number, node, source if node == 0 else None, terms, state)
                self._mark(ops, number, now)
                candidate.passes.update({(cell, number, node): id for node, id in now.items()})
                before = now
            for node in firing:
                ids = tuple(candidate.passes[cell, number, node] for number in numbers)
                candidate.populations.append((f"cell{cell}_n{node}_lif", readers[node], ids))
            source = self._reduction(place, cell, tuple(candidate.passes[cell, number, 3] for number in numbers))
            candidate.reductions.append(source)
            candidate.populations.append((f"red{cell}_lif", 1, (source,)))
        if self.head:
            candidate.populations.append(("head_lif", 1, (~source,)))
        return candidate

    def _terms(
        self, cell: int, number: int, arriving: Sequence[tuple[Edge, str]], now: dict[int, int], before: dict[int, int]
    ) -> tuple[Term, ...]:
        terms: list[Term] = []
        for edge, op in arriving:
            if edge[0] < edge[1]:
                terms.append((edge, op, now[edge[0]]))
            elif number:
                terms.append((edge, op, before[edge[0]]))
            elif op in CONV_KERNELS and op_layer(cell, edge, op, "bn") in self.shifted:
                terms.append((edge, op, None))
        return tuple(terms)

    def _value(
        self,
        place: int,
        cell: int,
        number: int,
        node: int,
        source: int | None,
        terms: tuple[Term, ...],
        state: int | None,
    ) -> int:
        id = self._known.setdefault((cell, number, node, source, terms, state), len(self._known))
        if id not in self.values:
            self.values[id] = Value(id, cell, number, node, source, terms, state)
        self.values[id].last = place
        return id

    def _mark(self, ops: CellOps, number: int, now: dict[int, int]) -> None:
        """Note what leaves the nodes of a pass; from the last one nothing comes back."""
        for edge, names in ops.items():
            value = self.values[now[edge[0]]]
            backward = edge[0] > edge[1]
            for op in names:
                value.fires |= _through_neuron(edge, op)
                if backward and number == self.timesteps - 1:
                    continue
                if op in CONV_KERNELS:
                    value.convs[edge, op] = None
                elif backward:
                    value.raw = True

    def _reduction(self, place: int, cell: int, sources: tuple[int, ...]) -> int:
        id = self._known.setdefault(("reduction", cell, sources), len(self._known))
        if id not in self.reductions:
            self.reductions[id] = Reduction(id, cell, sources)
        self.reductions[id].last = place
        return id


def _through_neuron(edge: Edge, op: str) -> bool:
    return edge[0] > edge[1] or op in CONV_KERNELS
