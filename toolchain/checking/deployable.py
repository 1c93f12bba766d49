"""SN210: what ``snnas export`` refuses of a graph whatever its samples, asked without any."""

from __future__ import annotations

from typing import get_args

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.schedule import schedule
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.program import InputKind
from snnas.toolchain.checking.findings import Book, amount_of


def check_deployable(book: Book, graph: Graph, kind: str | None, system: str) -> None:
    """kind: of its input, where the file, the options or a recording say it; else one that is taken is enough."""
    chip = load_system(system)
    problems, good = list[str](), ""
    for one in get_args(InputKind):
        if kind not in (None, one):
            continue
        try:
            populations = len(schedule(trace(graph, one, soft_reset=chip.soft_reset)).circuit.groups)
        except SnnasError as error:
            problems.append(str(error))
            continue
        good = f"{amount_of(populations, 'population')}" + ("" if kind else f", input read as {one}")
        break
    why = None if good else problems[0] if problems else f"input kind {kind!r} is unknown"
    if why is not None:
        why += "; meant for another target? --ignore SN210"
    book.judge("SN210", f"deployable on {chip.name}", why, good)
