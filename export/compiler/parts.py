"""Populations of one node: its neurons told apart by what Loihi's neurons of a population share.

A population has one leak, one decay of its current and one threshold. A node whose time constants differ becomes one
population for each value, exactly; so does one whose thresholds or gains differ, where its weights are whole multiples
of one step and would not be any more in another unit (else these fold into weights and cost no population). Whole
channels stay an image; other neurons become a flat row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from snnas.export.compiler.adjoint import matrix_of
from snnas.export.compiler.paths import as_map, grouped, ungrouped
from snnas.export.dialects.conventions import Convention, decay_of
from snnas.export.graph.graph import CubaLif, Lif, Spiking, Threshold
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.program import LinearMap, Program, Shape

MAX_PARTS = 64  # populations of one node; each has cores and synapses of its own
MAX_EXACT = 4  # of them for thresholds and gains alone
MAX_EXPANDED = 1 << 24  # entries of a map that is laid out to be cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One population of a node. index: its neurons in the node's flattened order; None: all of them.

    node: those neurons, with the parameters that they have. channels: whole channels that they are, or None.
    """

    id: str
    shape: Shape
    node: Spiking
    index: np.ndarray | None = None
    channels: np.ndarray | None = None

    def of(self, values: np.ndarray) -> np.ndarray:
        """Their values of an array of the node's shape, in the population's."""
        return values.reshape(self.shape) if self.index is None else values.reshape(-1)[self.index].reshape(self.shape)


def parts_of(name: str, id: str, node: Spiking, convention: Convention, *, exact: bool) -> list[Part]:
    """The populations of a node, in the order of their first neurons. exact: tell thresholds and gains apart, too.

    UnsupportedError where there are too many.
    """
    shape: Shape = (node.shape[0], 1, 1) if len(node.shape) == 1 else (node.shape[0], node.shape[1], node.shape[2])
    told = _leaks(node, convention)
    which, count = _distinct(told)
    if exact:
        further, more = _distinct([*told, *_units(node)])
        if more <= MAX_EXACT:
            which, count = further, more
    if count > MAX_PARTS:
        what = " and ".join(n for n in ("tau", "tau_mem", "tau_syn") if hasattr(node, n))
        raise UnsupportedError(
            f"node {name}: {count} different values of {what}; a population leaks alike, and at most {MAX_PARTS} "
            "populations are made of one node: round them to fewer values, or train one for each channel"
        )
    if count == 1:
        return [Part(id=id, shape=shape, node=node)]
    return [_part(f"{id}_{k}", node, shape, np.flatnonzero(which == k)) for k in range(count)]


def _leaks(node: Spiking, convention: Convention) -> list[np.ndarray]:
    match node:
        case Lif():
            return [decay_of(node.tau, convention)]
        case CubaLif():
            return [decay_of(node.tau_mem, convention), decay_of(node.tau_syn, convention)]
    return [np.zeros(node.shape)]


def _units(node: Spiking) -> list[np.ndarray]:
    """What a weight of each neuron is multiplied with, but for powers of two, which lose nothing."""
    if isinstance(node, Threshold):
        gain, threshold = np.ones(node.shape), node.threshold
    else:
        gain = node.r * (node.w_in if isinstance(node, CubaLif) else 1.0)
        threshold = node.v_threshold
    return [np.frexp(gain.astype(np.float64))[0], np.frexp(threshold.astype(np.float64))[0]]


def _distinct(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Which of the distinct rows each neuron has, numbered by first appearance; and how many there are."""
    rows = np.stack([c.reshape(-1) for c in columns], axis=1)
    _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[which.reshape(-1)], len(first)


def _part(id: str, node: Spiking, shape: Shape, index: np.ndarray) -> Part:
    size = shape[1] * shape[2]
    channels = index[::size] // size
    whole = len(index) == len(channels) * size and np.array_equal(
        index, (channels[:, None] * size + np.arange(size)[None, :]).reshape(-1)
    )
    own: Shape = (len(channels), shape[1], shape[2]) if whole else (len(index), 1, 1)
    flat: dict[str, Any] = {f.name: getattr(node, f.name).reshape(-1)[index].reshape(own) for f in fields(node)}
    return Part(id=id, shape=own, node=type(node)(**flat), index=index, channels=channels if whole else None)


# ------------------------------------------------------------------------------------------------------- cutting maps


def cut(linear: LinearMap, source: Shape, target: Shape, into: Part, out: Part | None) -> LinearMap | None:
    """The map from the neurons of ``out`` (all, where it is None) to those of ``into``; None where nothing is left.

    source, target: shapes of the whole nodes.
    """
    columns = None if out is None else out.index
    if into.index is None and columns is None:
        return linear
    if linear.kind in ("conv", "pooled_conv"):
        if all(part is None or part.index is None or part.channels is not None for part in (into, out)):
            return _channels(linear, into.channels, None if out is None else out.channels)
        if int(np.prod(source)) * int(np.prod(target)) > MAX_EXPANDED:
            raise UnsupportedError(
                f"population {into.id}: its neurons are no whole channels, and the convolution into it is too large to "
                f"be written out for them ({int(np.prod(target))} x {int(np.prod(source))}); give a channel's neurons "
                "one time constant"
            )
    if linear.kind == "sparse":
        return _of_sparse(linear, into.index, columns, int(np.prod(source)))
    matrix = matrix_of(linear, source, target)
    if into.index is not None:
        matrix = matrix[into.index]
    return as_map(matrix if columns is None else matrix[:, columns])


def _of_sparse(linear: LinearMap, rows: np.ndarray | None, columns: np.ndarray | None, width: int) -> LinearMap | None:
    """The rows and columns of a sparse map, without writing its zeros out."""
    assert linear.indices is not None
    assert linear.indptr is not None
    counts = np.diff(linear.indptr)
    row, place = np.repeat(np.arange(len(counts)), counts), np.full(width, -1)
    place[columns if columns is not None else slice(None)] = np.arange(width if columns is None else len(columns))
    chosen = np.arange(len(counts)) if rows is None else rows
    where = np.full(len(counts), -1)
    where[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero((where[row] >= 0) & (place[linear.indices] >= 0))
    if not kept.size:
        return None
    kept = kept[np.lexsort((place[linear.indices[kept]], where[row[kept]]))]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(where[row[kept]], minlength=len(chosen)))])
    indices = place[linear.indices[kept]].astype(np.int32)
    return replace(linear, weight=linear.weight[kept], indices=indices, indptr=indptr.astype(np.int32))


def _channels(linear: LinearMap, rows: np.ndarray | None, columns: np.ndarray | None) -> LinearMap | None:
    weight = ungrouped(linear.weight, linear.groups)
    weight = weight if rows is None else weight[rows]
    weight = weight if columns is None else weight[:, columns]
    if not weight.any():
        return None
    groups, weight = grouped(weight)
    return replace(linear, weight=weight, groups=groups)


# --------------------------------------------------------------------------------------------- a program's populations


def to_ranges(index: np.ndarray) -> list[list[int]]:
    """Ascending numbers as [start, stop) pairs, as a program's metadata keep them."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    return [[int(run[0]), int(run[-1]) + 1] for run in np.split(index, breaks)]


def own_spikes(program: Program, population: str, spikes: np.ndarray) -> np.ndarray:
    """A node's (B, T, *shape) spikes of those neurons that are the population's: (B, T, C, H, W).

    InvalidFileError where the program's metadata name neurons that the node does not have.
    """
    shape = program.population(population).shape
    ranges = (program.meta.get("parts") or {}).get(population)
    flat = spikes.reshape(*spikes.shape[:2], -1)
    if ranges is not None:
        index = np.concatenate([np.arange(start, min(stop, start + flat.shape[2])) for start, stop in ranges])
        if index.size and not 0 <= int(index.min()) <= int(index.max()) < flat.shape[2]:
            raise InvalidFileError(
                f"program: population {population} is said to be neurons that its node does not have"
            )
        flat = flat[:, :, index]
    if flat.shape[2] != int(np.prod(shape)):
        raise InvalidFileError(f"program: population {population} has another number of neurons than its node")
    return flat.reshape(*flat.shape[:2], *shape)


def differing(program: Program, ours: Mapping[str, np.ndarray], nodes: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """How many of the program's spikes are not those of the graph's nodes, and how many were compared."""
    wrong = total = 0
    for population, node in program.meta.get("node_of", {}).items():
        if node in nodes:
            theirs = own_spikes(program, population, nodes[node])
            wrong += int((ours[population].reshape(theirs.shape) != theirs).sum())
            total += theirs.size
    return wrong, total
