"""Digests of what a graph says, apart from its bytes: one per parameter, so that a change can be named.

Bytes change when a file is read and written again (node order, compression, metadata); these do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from snnas.export.graph.graph import Graph

_SHORT = 16  # hexadecimal digits


def of_graph(graph: Graph) -> dict[str, str]:
    """{node.field: digest} of every parameter, with those of the edges, the delayed edges and the convention."""
    digests = {}
    for name, node in graph.nodes.items():
        digests[f"{name}"] = _text(type(node).__name__)
        for f in fields(node):
            value = getattr(node, f.name)
            digests[f"{name}.{f.name}"] = of_array(value) if isinstance(value, np.ndarray) else _text(repr(value))
    edges = sorted(f"{s} -> {d}" for s, d in graph.edges)
    waiting = sorted(f"{s} -> {d}" for s, d in graph.delayed)
    convention = json.dumps(graph.convention.to_metadata(), sort_keys=True)
    return {**digests, "(edges)": _text(*edges), "(delayed)": _text(*waiting), "(convention)": _text(convention)}


def of_array(value: np.ndarray) -> str:
    """Of dtype, shape and little-endian bytes."""
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str}{little.shape}".encode() + little.tobytes()).hexdigest()[:_SHORT]


def of_bytes(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:_SHORT]


def _text(*parts: str) -> str:
    return of_bytes("\n".join(parts).encode("utf-8", "surrogatepass"))


def changed(recorded: Mapping[str, Any], now: Mapping[str, str]) -> str | None:
    """Which parameters are not the recorded ones; None where all are."""
    odd = [key for key in {**recorded, **now} if recorded.get(key) != now.get(key)]
    if not odd:
        return None
    other = "is not the recorded one" if len(odd) == 1 else "are not the recorded ones"
    return f"{len(odd)} of {len(now)} entries {other}: {', '.join(sorted(odd)[:6])}"
