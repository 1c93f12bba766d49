"""A dialect's row in an answer of ``snnas whose``, and what each dialect makes of a graph: found once per graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.export.dialects.run import Played, layout_of, play
from snnas.export.dialects.steps import Step, steps
from snnas.export.dialects.table import Dialect
from snnas.export.graph.graph import CubaLi, CubaLif, Delay, Graph
from snnas.export.graph.waiting_edges import Waiting
from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.models.recording import Recording


def fits(counted: tuple[int, int, int]) -> bool:
    """compared, differing and doubtful decisions."""
    compared, differing, doubtful = counted
    return not differing and compared > 0 and doubtful <= compared


def replay(graph: Graph, found: dict[str, Step], r: Recording, **how: Any) -> Played:
    """The graph on what was recorded, with these steps of its neurons. how: as ``play`` takes it."""
    with np.errstate(over="ignore", invalid="ignore"):  # a wrong dialect may well blow up
        return play(graph, found, r.x, r.timesteps, recorded=r.spikes, output=r.output, **how)


@dataclass(frozen=True, slots=True)
class Row:
    """One dialect, with the edges that wait, against the recording. reason: why it could not be run."""

    dialect: Dialect
    delayed: Waiting = frozenset()
    played: Played | None = None
    found: dict[str, Step] = field(default_factory=dict)
    reason: str = ""

    @property
    def fits(self) -> bool:
        p = self.played
        return p is not None and fits((p.compared, p.differing, p.doubtful))

    def key(self, *, ties: bool = True) -> tuple[Any, ...]:
        """Equal for rows that no input tells apart."""
        return (self.delayed, *((n, s.key(ties=ties)) for n, s in sorted(self.found.items())))

    def to_json(self) -> dict[str, Any]:
        d, p = self.dialect, self.played
        return {
            "name": d.name or None,
            "tool": d.tool or None,
            **d.choices,
            "delayed": sorted(f"{s}:{t}" for s, t in self.delayed),
            "differing": p.differing if p else None,
            "compared": p.compared if p else None,
            "doubtful": p.doubtful if p else None,
            "not_run": self.reason or None,
        }


class Rows:
    """What each dialect makes of the graphs' neurons: the same for every reading of a recording, so found once."""

    def __init__(self, graphs: dict[Waiting, Graph]) -> None:
        self.graphs = graphs
        self.layouts = {delayed: layout_of(graph) for delayed, graph in graphs.items()}
        self.found: dict[tuple[Dialect, Waiting], tuple[Row, tuple[Any, ...]]] = {}

    def of(self, dialect: Dialect, delayed: Waiting) -> tuple[Row, tuple[Any, ...]]:
        """The dialect's row before it has run, and what tells its behaviour; the row says why it cannot run."""
        if (dialect, delayed) not in self.found:
            row = self._row(dialect, delayed, self.graphs[delayed])
            self.found[dialect, delayed] = row, () if row.reason else row.key()
        return self.found[dialect, delayed]

    @staticmethod
    def _row(dialect: Dialect, delayed: Waiting, graph: Graph) -> Row:
        if dialect.convention.current == "late" and not graph.of_type((CubaLif, CubaLi)):
            return Row(dialect, delayed, reason="no current of the graph's has a memory")
        if graph.of_type(Delay) and dialect.choices["dt"] != graph.convention.dt:
            return Row(dialect, delayed, reason=f"its Delay nodes are read at dt = {graph.convention.dt:g}")
        try:
            return Row(dialect, delayed, found=steps(graph, dialect))
        except UnsupportedError as error:
            return Row(dialect, delayed, reason=str(error))
