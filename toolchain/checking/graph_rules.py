"""SN1xx and SN2xx of a .nir: what the reader lets pass but other tools trip over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.graph.graph import NEURONS, SPIKING, Conv, Delay, Flatten, Graph, Input, Lif, Linear, Output, Pool
from snnas.toolchain.checking.findings import Book, amount_of

_NAME = re.compile(r"[A-Za-z0-9_]{1,200}", re.ASCII)
_PORTABLE = (Input, Output, Conv, Linear, Lif, Pool, Flatten)
_KIND = conventions.FORMAT.partition("/")[0]


def check_version(book: Book, graph: Graph, place: Path) -> None:
    """SN102, of the graph's own metadata; a graph without them is anybody's and has no version of ours."""
    found = graph.meta.get("format")
    if found is None:
        return
    good = found == conventions.FORMAT
    ours = str(found).startswith(f"{_KIND}/")
    problem = None if good else f"format {str(found)[:40]!r}; this version reads {conventions.FORMAT!r}"
    if ours and problem:
        problem += ": upgrade snnas, or write the file again"
    book.add("SN102", "graph version", "passed" if good else "invalid", problem or str(found), place)


def check_portability(book: Book, graph: Graph, place: Path) -> None:
    """SN114, SN201 and SN206 of a graph that others may read: warnings."""
    for code, name, problem, good in (
        ("SN114", "node names", _names(graph), "letters, digits and underscores"),
        ("SN201", "edge order", _order(graph), "topological"),
        ("SN206", "portable", "; ".join(_odd(graph)) or None, "within what every known reader runs alike"),
    ):
        book.add(code, name, "passed" if problem is None else "warned", problem or good, place)


def _names(graph: Graph) -> str | None:
    odd = [name for name in graph.nodes if not _NAME.fullmatch(name)]
    flat = [re.sub(r"[^A-Za-z0-9_]", "_", name) for name in graph.nodes]
    twins = sorted({name for name in flat if flat.count(name) > 1}) if odd else []
    if not odd:
        return None
    clash = f"; as torch names, {len(twins)} of them coincide ({twins[0]})" if twins else ""
    hold = "hold" if len(odd) > 1 else "holds"
    return f"{amount_of(len(odd), 'name')} {hold} other characters: {', '.join(map(repr, odd[:3]))}{clash}"


def _order(graph: Graph) -> str | None:
    """The first node that an edge leaves before all of its own have arrived; what waits a timestep orders nothing."""
    waits = {*graph.delayed, *((s, d) for s, d in graph.edges if isinstance(graph.nodes[d], Delay))}
    last = {d: k for k, (s, d) in enumerate(graph.edges) if (s, d) not in waits}
    for k, (s, d) in enumerate(graph.edges):
        if (s, d) not in waits and last.get(s, -1) > k:
            late = graph.edges[last[s]]
            return f"edge {s} -> {d} stands before {late[0]} -> {late[1]}, which feeds it"
    return None


def _odd(graph: Graph) -> Iterator[str]:
    foreign = sorted({type(node).__name__ for node in graph.nodes.values() if not isinstance(node, _PORTABLE)})
    if foreign:
        yield f"nodes of type {', '.join(foreign)} are not read by all"
    found: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        for why in _odd_lif(node) if isinstance(node, Lif) else ():
            found.setdefault(why, []).append(name)
    yield from (f"{why}: {', '.join(names[:3])}" for why, names in found.items())
    if graph.convention != conventions.OURS:
        yield f"its convention is not assumed by others: {graph.convention}"
    if graph.delayed:
        wait = "wait" if len(graph.delayed) > 1 else "waits"
        yield f"{amount_of(len(graph.delayed), 'edge')} {wait} a timestep, which NIR cannot say"


def _odd_lif(node: Lif) -> Iterator[str]:
    if (node.r != 1).any():
        yield "r is not 1"
    if node.v_leak.any():
        yield "v_leak is not 0"
    if node.v_reset.any():
        yield "v_reset is not 0"
    if np.ptp(node.tau) or np.ptp(node.v_threshold):
        yield "tau or threshold is not one for all"


def neurons_of(graph: Graph) -> list[str]:
    """The spiking nodes, in topological order."""
    return [name for name in graph.order() if isinstance(graph.nodes[name], SPIKING)]


def describe(graph: Graph) -> str:
    counted = (len(graph.nodes), "node"), (len(graph.edges), "edge"), (len(graph.of_type(NEURONS)), "neuron layer")
    return ", ".join(amount_of(number, noun) for number, noun in counted)
