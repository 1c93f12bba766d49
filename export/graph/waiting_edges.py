"""Which edges of a foreign graph's cycles may wait a timestep: NIR does not say, so every choice is read.

All tools that are known here hold a neuron's spikes back, not what is made of them, so that a bias behind the waiting
edge acts from the first timestep: only edges that leave a spiking neuron are choices.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from snnas.export.dialects.conventions import Convention
from snnas.export.formats.hdf5_guard import read_hdf5
from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.nir_subgraphs import opened, text
from snnas.export.graph import structure
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UnsupportedError

MAX_CHOICES = 64
SPIKING = frozenset({"LIF", "IF", "CubaLIF", "Threshold"})
Edge = tuple[str, str]
Waiting = frozenset[Edge]


def read_choices(path: Path) -> dict[Waiting, Graph]:
    """The graph, once for every choice that opens its cycles; one alone where it has none, or its metadata names it.

    Its convention says nothing (the dialects bring their own). InvalidFileError and UnsupportedError as of
    ``read_nir``; UnsupportedError too for over ``MAX_CHOICES``.
    """
    probe = Convention(decay="exact")  # takes every tau
    try:
        graph = read_nir(path, convention=probe)
        return {graph.delayed: graph}
    except InvalidFileError as error:
        if error.code == "SN101":  # it cannot be read at all: not once more, which may take as long again
            raise
        choices = _choices(path)
        if not choices:  # no cycle was the fault
            raise
    return {c: read_nir(path, convention=probe, delayed=c) for c in choices}


def _choices(path: Path) -> list[Waiting]:
    try:
        raw, edges = opened(read_hdf5(path)["node"], path)
        fires = {n for n, node in raw.items() if text(node["type"]) in SPIKING}
        _, left = structure.order(raw, edges)
    except (SnnasError, KeyError, TypeError, ValueError, IndexError, AttributeError):
        return []
    per_loop = []
    while left:
        loop = _component(left, edges)
        inner = [(s, d) for s, d in edges if s in loop and d in loop]
        ways = [e for e in inner if e[0] in fires and not structure.order(loop, [o for o in inner if o != e])[1]]
        if not ways:
            raise UnsupportedError(
                f"{path}: no single edge out of a neuron opens the cycles through {', '.join(sorted(loop)[:6])}; name "
                "the edges that wait with --delayed SRC:DST"
            )
        per_loop.append(ways)
        edges = [e for e in edges if e not in inner]
        _, left = structure.order(raw, edges)
    if int(np.prod([len(w) for w in per_loop], dtype=object)) > MAX_CHOICES:
        raise UnsupportedError(
            f"{path}: over {MAX_CHOICES} choices of edges that wait; name them with --delayed SRC:DST"
        )
    return [frozenset(chosen) for chosen in product(*per_loop)] if per_loop else []


def _component(left: list[str], edges: list[Edge]) -> set[str]:
    """The nodes that lie on cycles together with the first one that is on a cycle."""
    start = structure.cycle(left, edges)[0]
    return structure.reached([start], edges) & structure.reached([start], edges, backward=True)
