"""The functional form of a cell: what it can compute, whatever its edges are called.

A forward skip adds a current, and currents are linear. So a feed-forward cell is its neurons (nodes that a convolution
reads; nodes of equal value share one), the cell's input, and which linear maps of the neurons' spikes reach which
neuron or the output. Four rewrites are exact, weights and batch norms set accordingly:

1. What is not on a walk from input to output vanishes.
2. Convolutions of one neuron span a space: of several that reach the same targets one is left, one whose targets are a
   combination of others' is absorbed by them, and a 1x1 beside a 3x3 is a 3x3.
3. The batch norm before the cell takes the scale of its input, the one behind it (of the reduction) the scale of its
   output. So a cell without a convolution has one form, however often its input is added up.
4. Neurons have no order beyond that of who reads whom.

Average pools act on currents and stay apart by how many lie on a way. A cell with live backward edges is known by its
live edges.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache

from snnas.search.network.genotype import CONV_KERNELS, FORWARD_EDGES, NODES, Cell, Edge

# A term of a current: the cell's input (None) or the convolution on an edge, and the average pools that it passed.
Term = tuple[Edge | None, int]
# What adds up at a node: how often each term does.
Value = Mapping[Term, int]
# A linear map's targets: of every neuron, then of the output, one for each number of pools.
Row = tuple[Fraction, ...]


@cache
def form(cell: Cell) -> Hashable:
    """Return the functional form of ``cell``: equal forms compute the same functions. None: no path to the output."""
    live = cell.live()
    if not live:
        return None
    if any(i > j for i, j in live):
        return tuple(live.items())
    values = _values(live)
    readers: dict[frozenset[tuple[Term, int]], list[Edge]] = {}
    for edge, op in live.items():
        if op in CONV_KERNELS:
            readers.setdefault(frozenset(values[edge[0]].items()), []).append(edge)
    pools = 1 + max(passed for value in values.values() for _, passed in value)
    every = itertools.permutations(readers)
    return min(_described(order, readers, values[3], live, pools) for order in every)


@cache
def representatives(ops: tuple[str, ...]) -> Mapping[Hashable, Cell]:
    """Return the plainest feed-forward cell of every form that the operations ``ops`` can make.

    The plainest: of the fewest convolutions, then average pools, then edges, then the first. It has live edges alone.
    """
    cells = {Cell.of(Cell(forward).live()) for forward in itertools.product(ops, repeat=len(FORWARD_EDGES))}
    return plainest(cell for cell in cells if cell.live())


def plainest(cells: Iterable[Cell]) -> Mapping[Hashable, Cell]:
    """Return the plainest of ``cells`` of every form, in the order of the plainest."""
    found: dict[Hashable, Cell] = {}
    for cell in sorted(cells, key=_plainness):
        found.setdefault(form(cell), cell)
    return found


def _plainness(cell: Cell) -> tuple[int, int, int, tuple[str, ...]]:
    ops = list(cell.live().values())
    convolutions = sum(op in CONV_KERNELS for op in ops)
    return convolutions, sum(op == "avgpool3x3" for op in ops), len(ops), cell.forward


def _values(live: Mapping[Edge, str]) -> dict[int, Value]:
    values: dict[int, Counter[Term]] = {node: Counter() for node in NODES}
    values[0][None, 0] = 1
    for (i, j), op in sorted(live.items()):  # by source: a node is whole before it is read
        if op in CONV_KERNELS:
            values[j][(i, j), 0] += 1
        else:
            for (source, pools), times in values[i].items():
                values[j][source, pools + (op != "skip")] += times
    return dict(values)


def _described(
    order: Sequence[frozenset[tuple[Term, int]]],
    readers: Mapping[frozenset[tuple[Term, int]], Sequence[Edge]],
    output: Value,
    live: Mapping[Edge, str],
    pools: int,
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the cell with its neurons in this order: what reads the input, and what reads each neuron."""
    consumers: list[Mapping[Term, int]] = [*(dict(neuron) for neuron in order), output]

    def row(source: Edge | None) -> Row:
        return tuple(Fraction(c.get((source, passed), 0)) for c in consumers for passed in range(pools))

    # The input's row, reduced like the others, loses its scale, which the batch norm before the cell takes.
    spans = [_reduced([row(None)])]
    for neuron in order:
        for kernels in (("conv3x3",), tuple(CONV_KERNELS)):
            spans.append(_reduced([row(edge) for edge in readers[neuron] if live[edge] in kernels]))
    inner = len(order) * pools
    # What reaches the output beside a neuron is known up to one factor, which the batch norm behind the cell takes.
    beside = [r for rows in spans for r in rows if any(r[:inner])]
    scale = next((x for r in beside for x in r[inner:] if x), Fraction(1))
    plain = [[(*r[:inner], *(x / scale for x in r[inner:])) if r in beside else r for r in rows] for rows in spans]
    numbers = tuple(tuple((x.numerator, x.denominator) for r in rows for x in r) for rows in plain)
    return (((len(order), pools),), *numbers)


def _reduced(rows: Sequence[Row]) -> list[Row]:
    """Return the reduced row echelon form: the one basis of what ``rows`` span."""
    left, found = [list(r) for r in rows], list[list[Fraction]]()
    for column in range(len(rows[0]) if rows else 0):
        at = next((k for k, r in enumerate(left) if r[column]), None)
        if at is None:
            continue
        first = left.pop(at)
        pivot = [x / first[column] for x in first]
        for others in (left, found):
            others[:] = [[x - r[column] * p for x, p in zip(r, pivot, strict=True)] if r[column] else r for r in others]
        found.append(pivot)
    return [tuple(r) for r in found]
