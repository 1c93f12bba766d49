"""A graph that was read, with what it takes to run it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.export.graph.graph import Graph
from snnas.hw_sim.program import InputKind
from snnas.toolchain.models.confirm_convention import Confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A graph with what it takes to run it. x, y: all its samples, as the program takes them; None without data.

    verified: by metadata of ours or by a recording, which is then ``confirmed``.
    """

    graph: Graph
    kind: InputKind
    timesteps: int
    range: tuple[float, float]
    x: np.ndarray | None
    y: np.ndarray | None
    data: str
    seed: int
    notes: tuple[str, ...]
    verified: bool
    confirmed: Confirmed | None
