"""The genotype: what a search method returns, as plain frozen data.

A cell has four nodes. Node 0 is its input, node 3 its output. Six forward edges (i, j), i < j, act within a timestep;
six backward edges (j, i), j > i, carry what node j did one timestep earlier. Every edge holds one operation
(LightSNN, section III; SNASNet, section 3).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief, did_you_mean

Edge = tuple[int, int]
# Operations of a cell: its live edges, in the order of the genotype, with the operations that are summed on each.
CellOps = Mapping[Edge, tuple[str, ...]]

NODES = (0, 1, 2, 3)
FORWARD_EDGES: tuple[Edge, ...] = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
BACKWARD_EDGES: tuple[Edge, ...] = ((1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2))

ZEROIZE = "zeroize"
OPS = (ZEROIZE, "skip", "conv1x1", "conv3x3", "avgpool3x3", "conv5x5", "conv3x3d2")
# Taps along an axis, and the steps between them where these are not 1. Along an axis of 1 every kernel has one tap.
CONV_KERNELS = {"conv1x1": 1, "conv3x3": 3, "conv5x5": 5, "conv3x3d2": 3}
DILATIONS = {"conv3x3d2": 2}

FORMAT = "snnas-genotype"
VERSION = 1
MAX_CELLS = 64


def edge_name(edge: Edge) -> str:
    """Return the edge as it stands in files and logs: ``'0->1'``."""
    return f"{edge[0]}->{edge[1]}"


def live_edges(edges: Iterable[Edge]) -> frozenset[Edge]:
    """Return those of ``edges`` that lie on a walk from node 0 to node 3, backward edges included.

    ``edges`` are the edges whose operation is not zeroize. An empty result means that the input never reaches the
    output.
    """
    graph = frozenset(edges)
    from_input = _closure(0, graph)
    to_output = _closure(3, {(j, i) for i, j in graph})
    return frozenset((i, j) for i, j in graph if i in from_input and j in to_output)


def _closure(start: int, edges: Collection[Edge]) -> set[int]:
    """Return the nodes that ``start`` reaches, itself included."""
    seen, todo = {start}, [start]
    while todo:
        node = todo.pop()
        for i, j in edges:
            if i == node and j not in seen:
                seen.add(j)
                todo.append(j)
    return seen


@dataclass(frozen=True, slots=True)
class Cell:
    """One operation per edge: ``forward`` in the order of FORWARD_EDGES, ``backward`` of BACKWARD_EDGES.

    Raises UsageError for a wrong number of operations or an unknown one.
    """

    forward: tuple[str, ...]
    backward: tuple[str, ...] = (ZEROIZE,) * len(BACKWARD_EDGES)

    def __post_init__(self) -> None:
        for label, ops, edges in (
            ("forward", self.forward, FORWARD_EDGES),
            ("backward", self.backward, BACKWARD_EDGES),
        ):
            if len(ops) != len(edges):
                raise UsageError(f"{len(ops)} {label} operations, expected {len(edges)} in a cell: one per edge")
            for edge, op in zip(edges, ops, strict=True):
                if op not in OPS:
                    raise UsageError(_unknown_op(op, f"{label} edge {edge_name(edge)} of a cell"))

    @classmethod
    def of(cls, ops: Mapping[Edge, str]) -> Cell:
        """Build a cell from a mapping; an edge that is not in it is zeroize."""
        return cls(
            tuple(ops.get(e, ZEROIZE) for e in FORWARD_EDGES), tuple(ops.get(e, ZEROIZE) for e in BACKWARD_EDGES)
        )

    def ops(self) -> dict[Edge, str]:
        """Return the operation of all twelve edges, forward ones first."""
        return dict(zip(FORWARD_EDGES + BACKWARD_EDGES, self.forward + self.backward, strict=True))

    def live(self) -> dict[Edge, str]:
        """Return the edges that matter: not zeroize, and on a walk from the cell's input to its output."""
        keep = live_edges(edge for edge, op in self.ops().items() if op != ZEROIZE)
        return {edge: op for edge, op in self.ops().items() if edge in keep}


@dataclass(frozen=True, slots=True)
class Genotype:
    """A searched architecture: the name of its search space and one Cell per cell of the network."""

    space: str
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        if not self.space or len(self.space) > 64:
            raise UsageError(f"search space name {self.space[:64]!r}: expected 1 to 64 characters in a genotype")
        if not 1 <= len(self.cells) <= MAX_CELLS:
            raise UsageError(f"{len(self.cells)} cells in a genotype, expected 1 to {MAX_CELLS}")

    @property
    def has_backward(self) -> bool:
        """Whether a live backward edge makes a cell recurrent."""
        return any(i > j for cell in self.cells for i, j in cell.live())

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells two networks apart: the live edges of every cell."""
        return tuple(tuple(cell.live().items()) for cell in self.cells)

    @property
    def architecture_id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the canonical JSON: equal genotypes, equal ids."""
        canonical = json.dumps(self._plain(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the genotype as indented JSON; ``from_json`` reads it back to an equal value."""
        return json.dumps(self._plain(), indent=2) + "\n"

    def _plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": self.space,
            "cells": [plain_cell(cell) for cell in self.cells],
        }

    @classmethod
    def from_json(cls, text: str, *, where: str = "genotype.json") -> Genotype:
        """Read what ``to_json`` wrote. Strict: raises InvalidFileError naming value, allowed values and place."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidFileError(f"{where} is not JSON ({error}); expected a genotype as snnas writes it") from None
        top = require_object(plain, ("format", "version", "space", "cells"), where)
        if top["format"] != FORMAT or top["version"] != VERSION or isinstance(top["version"], bool):
            raise InvalidFileError(
                f"format {brief(top['format'])} version {brief(top['version'])} in {where}, expected {FORMAT!r} "
                f"version {VERSION}; write the file with this version of snnas"
            )
        if not isinstance(top["space"], str) or not isinstance(top["cells"], list):
            raise InvalidFileError(f"'space' must be a string and 'cells' a list in {where}")
        if len(top["cells"]) > MAX_CELLS:
            raise InvalidFileError(f"{len(top['cells'])} cells in {where}, expected 1 to {MAX_CELLS}")
        cells = tuple(read_cell(cell, f"{where}: cells[{k}]") for k, cell in enumerate(top["cells"]))
        try:
            return cls(top["space"], cells)
        except UsageError as error:
            raise InvalidFileError(f"{error} ({where})") from None


def plain_cell(cell: Cell) -> dict[str, Any]:
    """Return a cell as it stands in files: its forward edges, and the backward ones that are not zeroize."""
    backward = zip(BACKWARD_EDGES, cell.backward, strict=True)
    return {
        "forward": {edge_name(e): op for e, op in zip(FORWARD_EDGES, cell.forward, strict=True)},
        "backward": {edge_name(e): op for e, op in backward if op != ZEROIZE},
    }


def read_cell(plain: Any, where: str) -> Cell:
    """Read what ``plain_cell`` returned; InvalidFileError for anything else."""
    parts = require_object(plain, ("forward", "backward"), where)
    ops: dict[Edge, str] = {}
    for label, edges in (("forward", FORWARD_EDGES), ("backward", BACKWARD_EDGES)):
        names = {edge_name(e): e for e in edges}
        # Forward edges are all written out; a backward edge that is absent is zeroize.
        required = tuple(names) if label == "forward" else ()
        for name, op in require_object(parts[label], required, f"{where}.{label}", allowed=tuple(names)).items():
            if not isinstance(op, str) or op not in OPS:
                raise InvalidFileError(_unknown_op(op, f"{where}.{label}[{name!r}]"))
            ops[names[name]] = op
    return Cell.of(ops)


def require_object(
    plain: Any, required: tuple[str, ...], where: str, *, allowed: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Return ``plain`` as a JSON object with all ``required`` keys and none outside ``allowed``."""
    allowed = required if allowed is None else allowed
    if not isinstance(plain, dict):
        raise InvalidFileError(f"{brief(plain)} at {where}, expected an object with the keys {', '.join(allowed)}")
    for key in plain:
        if key not in allowed:
            raise InvalidFileError(f"unknown key {brief(key)} at {where}, expected {', '.join(allowed)}; remove it")
    missing = [key for key in required if key not in plain]
    if missing:
        raise InvalidFileError(f"{where} lacks {', '.join(missing)}; expected {', '.join(required)}")
    return plain


def _unknown_op(op: Any, where: str) -> str:
    hint = did_you_mean(op, OPS) if isinstance(op, str) else ""
    return f"unknown operation {brief(op)} at {where}, expected {', '.join(OPS)}{hint}"
