"""``snnas whose MODEL.nir --expect RECORDED.npz``: which tool's convention gives the spikes that were recorded.

What the recording holds stands in ``recordings.py``. Every row of ``dialects.TABLE`` is run, and then every combination
of single choices. One behaviour without a difference, and nothing else that fits, is ``named``; several that would
differ on other inputs are ``ambiguous``; without any the answer is ``none``. Dialects that differ in ``>`` and ``>=``
alone count as one where no membrane met its threshold exactly; the open choice is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.dialects.run import Played
from snnas.export.dialects.steps import Step, possible_steps
from snnas.export.dialects.table import TABLE, Dialect, elementary, neighbours
from snnas.export.formats.nir_file import written_by
from snnas.export.graph.graph import NEURONS, SPIKING, CubaLi, CubaLif, Graph
from snnas.export.graph.membrane import by_membrane
from snnas.export.graph.waiting_edges import Waiting, read_choices
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.models.dialect_rows import Row, Rows, fits, replay
from snnas.toolchain.models.recording import Recording, read_recording
from snnas.toolchain.output.shown import Shown

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "snnas.whose/1"
Advance = Callable[[int, int], None]

# What a recording must hold so that a choice shows.
ADVICE = {
    "dt": "more samples and timesteps, or the spikes of every layer",
    "decay": "more timesteps of weak input, so that membranes decay for long before they fire",
    "drive": "the spikes of every layer",
    "synapse": "single input spikes with silence between them",
    "current": "single input spikes with silence between them",
    "compare": "inputs and weights that are sums of powers of two, so that membranes meet the threshold exactly",
    "reset": "stronger input, so that neurons fire again soon after a spike",
    "when": "stronger input, so that neurons fire again soon after a spike",
    "many": "stronger input, so that membranes exceed twice the threshold",
    "start_at_reset": "the first timesteps of every layer",
    "delayed": "the spikes of every neuron on the cycle",
}

# Left open, these two do not unname a tool: exact ties and double crossings that never came are rare in its nets too.
HARMLESS = {"compare", "many"}
MATTERS = {
    "compare": "which matters only where a membrane meets its threshold exactly (weights of short binary fractions)",
    "many": "which matters only where a membrane exceeds twice its threshold within a timestep",
}
DIFFERS = "which gives other spikes on other inputs"


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(Shown):
    """Which dialects give a recording."""

    status: str
    """named, ambiguous or none."""
    rows: list[Row]
    """The table's dialects, best first."""
    fitting: list[Row]
    """Those without a difference."""
    open: list[str]
    """Choices that this recording does not settle; for each, ``ADVICE`` says what would."""
    silent: bool = False
    swapped: bool = False
    """It fits with time first alone."""
    timesteps: int = 0
    framed: bool = False
    """Whether x has a frame for each timestep."""
    spikes_in: bool = False
    """Whether x holds 0 and 1 alone."""
    membrane: bool = False
    """The output that was recorded is the membrane of the last neurons."""
    lag: int = 0
    """Timesteps by which the recording is late."""
    writer: str = ""
    """The tool that wrote the file, where the file says so."""
    nodes: dict[str, list[Row]] = field(default_factory=dict)
    """Where no one dialect fits, the rows that fit each recorded node by itself."""

    @property
    def exit_code(self) -> int:
        """0 named; 1 ambiguous or none: the recording is reproduced by no one convention."""
        return 0 if self.status == "named" else 1

    @property
    def headline(self) -> str:
        if self.nodes and all(self.nodes.values()):
            said = "; ".join(f"{node}: {', '.join(_names(rows))}" for node, rows in self.nodes.items())
            return f"each node by itself: {said}"
        if self.status == "none":
            best = next((r for r in self.rows if r.played), None)
            if best is None or best.played is None:
                return "none: no dialect can be run on this graph"
            share = f"{best.played.differing:,} of {best.played.compared:,}"
            return f"none: the nearest is {best.dialect.name}, {share} differ"
        names = ", ".join(_names(self.preferred))
        if self.status == "named":
            waits = "".join(f"; waits a timestep: {s}:{t}" for s, t in sorted(self.preferred[0].delayed))
            said = str(self.preferred[0].dialect)
            if "compare" in self.open:
                said = said.replace(">= threshold", "> threshold").replace("> threshold", "> or >= threshold")
            first = "; read with time first" if self.swapped else ""
            first += f"; recorded {_late(self.lag)}" if self.lag else ""
            first += "; the output is the membrane of the last neurons, which never reset" if self.membrane else ""
            return f"{names} ({said}{waits}{first})"
        return f"ambiguous: {names}"

    @property
    def preferred(self) -> list[Row]:
        """Those that fit of the tool that wrote the file, where it is known and one of them; else all that fit."""
        own = [r for r in self.fitting if self.writer and r.dialect.tool == self.writer]
        return own or self.fitting

    @property
    def lines(self) -> list[str]:
        """What is left to say below the headline."""
        if self.silent:
            return ["the recording holds no spike, and silence fits many conventions: record a stronger input"]
        said = ["time is the first axis of this recording, and was read so; put it second (B, T, ...)"] * self.swapped
        if self.lag:
            said.append(f"the recording is {_late(self.lag)}, as a chip's output is, and was read so")
        others = [name for name in _names(self.fitting) if name not in _names(self.preferred)]
        if others and self.status != "none":
            alike = "do the same here" if self.status == "named" else "fit as well"
            said.append(f"the file says that {self.writer} wrote it; {', '.join(others)} {alike}")
        elif self.writer and self.fitting and self.writer not in {r.dialect.tool for r in self.fitting}:
            said.append(f"the file says that {self.writer} wrote it, of which no dialect fits")
        for name in self.open:
            said.append(f"open: {name}, {MATTERS.get(name, DIFFERS)}; to settle it, record {ADVICE[name]}")
        if self.nodes:
            found = [f"{node}: {', '.join(_names(rows)) or 'nothing fits'}" for node, rows in self.nodes.items()]
            said.append(f"no one convention fits; each node by itself, fed what was recorded: {'; '.join(found)}")
        if self.status == "none":
            said.append("check that x is what the model was given, that its state was reset before each sample, and "
                        "that the exporter kept every edge (snntorch and norse drop skips by '+')")  # fmt: skip
        return said

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **self.to_json()}

    def tables(self) -> Iterable[Table]:
        yield as_table(self)

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "headline": self.headline,
            "fitting": [r.to_json() for r in self.fitting],
            "open": self.open,
            **({"writer": self.writer} if self.writer else {}),
            "lag": self.lag,
            "nodes": {node: _names(rows) for node, rows in self.nodes.items()},
            "dialects": [r.to_json() for r in self.rows],
        }


def whose(model: Path, recorded: Path, advance: Advance = lambda done, total: None) -> Verdict:
    """Reads both files and tries the dialects. InvalidFileError and UnsupportedError as ``read_nir``, with one line."""
    if model.is_dir():
        raise UsageError(f"{model}: a folder; name a .nir, such as the model.nir of an export")
    graphs = read_choices(model)
    recording = read_recording(recorded, next(iter(graphs.values())))
    if recording.membrane:
        graphs = {waits: by_membrane(graph) for waits, graph in graphs.items()}
    known = Rows(graphs)
    verdict = detect(graphs, recording, advance, known)
    if verdict.status == "none":
        for other, how in recording.read_otherwise():
            again = detect(graphs, other, advance, known, every="lag" not in how)
            if again.status != "none":
                verdict, recording = replace(again, **how), other
                break
    if verdict.status == "none" and not recording.silent:
        verdict = _of_nodes(verdict, graphs, recording)
    spikes_in = bool(((recording.x == 0) | (recording.x == 1)).all())
    return replace(
        verdict,
        timesteps=recording.timesteps,
        framed=recording.framed,
        spikes_in=spikes_in,
        membrane=recording.membrane,
        writer=written_by(model, {d.tool for d in TABLE.values()} - {"", "nir"}),
    )


def _of_nodes(verdict: Verdict, graphs: dict[Waiting, Graph], recording: Recording) -> Verdict:
    """The verdict with the rows that fit each recorded node by itself: every node is fed what was recorded.

    Named where each has one behaviour; for that all spiking nodes have to be recorded.
    """
    best: dict[str, list[Row]] = {}
    for delayed, graph in graphs.items():
        trial = _Trial({delayed: graph}, recording)
        nodes = {name: trial.fit_node(name) for name in graph.order() if name in recording.spikes}
        if sum(map(bool, nodes.values())) > sum(map(bool, best.values())):
            best = nodes
    if len(best) < 2:
        return verdict
    graph = next(iter(graphs.values()))
    behaviours = [{row.found[name].key(ties=False) for row in rows} for name, rows in best.items()]
    settled = set(best) == set(graph.of_type(SPIKING)) and all(len(found) == 1 for found in behaviours)
    status = "named" if settled else "ambiguous" if all(best.values()) else "none"
    fitting = next((rows for rows in best.values() if rows), [])
    return replace(verdict, status=status, nodes=best, fitting=fitting if status != "none" else [])


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(r.dialect.name or "no tool of the table" for r in rows))


def _late(steps: int) -> str:
    return f"{steps} timestep{'s' if steps > 1 else ''} late"


def detect(
    graphs: dict[Waiting, Graph],
    recording: Recording,
    advance: Advance = lambda done, total: None,
    known: Rows | None = None,
    *,
    every: bool = True,
) -> Verdict:
    """The verdict on one graph, read once per choice of the edges that wait. known: what another reading has found.

    every: where no row of the table fits, try every combination of choices. (Late recordings are chips' or ours.)
    """
    trial = _Trial(graphs, recording, known)
    rows = sorted(trial.rows(TABLE.values()), key=_badness)
    fitting = [r for r in rows if r.fits]
    if not fitting and every:
        fitting = trial.search(advance)
    if recording.silent:
        return Verdict("ambiguous" if fitting else "none", rows, fitting, [], silent=True)
    if not fitting:
        return Verdict("none", rows, [], [])
    behaviours = {r.key(ties=False) for r in fitting}
    if len(behaviours) > 1:
        return Verdict("ambiguous", rows, fitting, _differing_choices(fitting))
    untested = trial.untested(fitting, advance)
    return Verdict("named" if set(untested) <= HARMLESS else "ambiguous", rows, fitting, untested)


def _badness(row: Row) -> tuple[float, int]:
    p = row.played
    order = list(TABLE).index(row.dialect.name)
    return (2.0 if p is None else 1.5 if not p.compared else p.differing / p.compared), order


def _differing_choices(rows: list[Row]) -> list[str]:
    said = {n for r in rows for n, v in r.dialect.choices.items() if v != rows[0].dialect.choices[n]}
    if len({r.delayed for r in rows}) > 1:
        said.add("delayed")
    return [name for name in ADVICE if name in said]


def as_table(verdict: Verdict) -> Table:
    """The dialects of the table, best first, as a rich Table."""
    from rich.table import Table

    table = Table("dialect", "waits", "differing", "of", "doubtful", "meaning, or why it was not run")
    for r in verdict.rows:
        p = r.played
        figures = (f"{p.differing:,}", f"{p.compared:,}", f"{p.doubtful:,}") if p else ("-", "-", "-")
        waits = " ".join(f"{s}:{d}" for s, d in sorted(r.delayed))
        table.add_row(r.dialect.name, waits, *figures, r.reason or r.dialect.note)
    return table


class _Trial:
    """Runs dialects against one recording; each behaviour once."""

    def __init__(self, graphs: dict[Waiting, Graph], recording: Recording, known: Rows | None = None) -> None:
        self.graphs, self.recording = graphs, recording
        self.rows_of = known or Rows(graphs)
        self.known: dict[tuple[Any, ...], Played] = {}
        self.forced: list[Row] | None = None
        self.anyhow: dict[Waiting, dict[str, Step]] = {}

    def rows(self, dialects: Iterable[Dialect], *, stop: bool = False) -> Iterable[Row]:
        for dialect in dialects:
            for delayed, graph in self.graphs.items():
                yield self.row(dialect, delayed, graph, stop=stop)

    def row(self, dialect: Dialect, delayed: Waiting, graph: Graph, *, stop: bool) -> Row:
        row, key = self.rows_of.of(dialect, delayed)
        if row.reason:
            return row
        played = self.known.get(key) or self.as_simpler(dialect, delayed)
        if played is None or (played.ended and not stop):
            layout = self.rows_of.layouts[delayed]
            played = self.counted(replay(graph, row.found, self.recording, stop=stop, layout=layout))
            self.known[key] = played
        return replace(row, played=played)

    @staticmethod
    def counted(played: Played) -> Played:
        """Counts are all that is kept."""
        played.spikes, played.output = {}, np.zeros(0)
        return played

    def as_simpler(self, dialect: Dialect, delayed: Waiting) -> Played | None:
        """What a simpler dialect has given of which this one cannot be told on this recording; None: not known."""
        c = dialect.convention
        simpler = replace(dialect, name="", tool="", note="", many=False, convention=replace(c, compare=">"))
        if dialect.when == "twice" or (c.compare == ">" and not dialect.many):
            return None
        row, key = self.rows_of.of(simpler, delayed)
        played = None if row.reason else self.known.get(key)
        if played is None or (played.close and c.compare != ">") or (played.twice and dialect.many):
            return None
        return played

    def fit_node(self, node: str) -> list[Row]:
        """Rows of the table that give a node's record, where every node before it is fed what was recorded."""
        if self.forced is None:
            self.forced = [row for dialect in TABLE.values() for row in self.force(dialect)]
        known = [row for row in self.forced if row.played and node in row.found]
        return [row for row in known if row.played and fits(row.played.each.get(node, (0, 0, 0)))]

    def force(self, dialect: Dialect) -> Iterable[Row]:
        for delayed, graph in self.graphs.items():
            if dialect.convention.current == "late" and not graph.of_type((CubaLif, CubaLi)):
                continue
            found = possible_steps(graph, dialect)
            every = {**self.any_steps(delayed), **found}
            if len(every) < len(graph.of_type(NEURONS)):
                continue
            yield Row(dialect, delayed, self.counted(replay(graph, every, self.recording, forced=True)), found)

    def any_steps(self, delayed: Waiting) -> dict[str, Step]:
        """A step of each neuron in some dialect: any will do for one of which the record goes on."""
        if delayed not in self.anyhow:
            of_dialects = [possible_steps(self.graphs[delayed], dialect) for dialect in TABLE.values()]
            self.anyhow[delayed] = {name: step for found in of_dialects for name, step in found.items()}
        return self.anyhow[delayed]

    def search(self, advance: Advance) -> list[Row]:
        """Fits among all combinations of choices, one for each behaviour."""
        graph = next(iter(self.graphs.values()))
        candidates = list(elementary(graph))
        found: dict[tuple[Any, ...], Row] = {}
        for done, dialect in enumerate(candidates):
            advance(done, len(candidates))
            for row in self.rows([dialect], stop=True):
                if row.fits:
                    found.setdefault(row.key(), row)
        return list(found.values())

    def untested(self, fitting: list[Row], advance: Advance) -> list[str]:
        """Choices that could be otherwise without any trace in the recording: alone, or several together."""
        best = fitting[0]
        same = {r.key(ties=False) for r in fitting}
        found = set()
        for name, dialect in neighbours(best.dialect):
            row = self.row(dialect, best.delayed, self.graphs[best.delayed], stop=True)
            if row.fits and (name == "compare" or row.key(ties=False) not in same):
                found.add(name)
        for row in self.search(advance):
            changed = set(_differing_choices([best, row])) - found
            if not changed <= HARMLESS and row.key(ties=False) not in same:
                found |= changed
        return [name for name in ADVICE if name in found]
