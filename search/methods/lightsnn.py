"""LightSNN: pruning by importance on a supernet (LightSNN, algorithm 1).

Each round scores the supernet without each operation of each edge that still has more than one; then every edge loses
the operation whose removal left the highest score. Ties: the lowest operation index goes, and the record lists them.
Three operations on six edges take 18 + 12 evaluations, and one more looks at the network that is left.

The paper's rule alone can prune every path to skips, or to nothing. Named guards stand against it:

    path    the cell's input reaches its output
    conv    a convolution lies on a way from input to output (so the cell has neurons, and weights)
    alive   no LIF of the final candidate is silent on the batch

A removal that would break 'path' or 'conv' is not taken: the next best operation of the edge goes instead. 'alive' can
only be reported. Each event is in the log and in the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from search.errors import InvalidFileError
from search.genotype import CONV_KERNELS, ZEROIZE, Cell, Edge, Genotype, edge_name, live_edges
from search.methods import Record, SearchResult
from search.proxies import Score
from search.space import Space

Choices = dict[Edge, tuple[str, ...]]
ScoreFunction = Callable[[Mapping[Edge, tuple[str, ...]]], Score]

FINAL_ROUND = "final"


def run(
    space: Space,
    score: ScoreFunction,
    *,
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    backward: bool = False,
    cells: int = 2,
) -> SearchResult:
    """Prune ``space`` to one operation per edge and return the genotype that all ``cells`` share.

    score: the proxy of the supernet restricted to the given operations per edge. log: takes one record per evaluation
    ({"event": "evaluation", "round", "edge", "op", "score", "silent_layers", "firing", "seconds"}; score None stands
    for -inf), per removal ("removal") and per guard ("guard"). resume: the records of an interrupted search of the
    same space, seed and batch; they are not scored and not logged again, and the result is the same. Raises
    InvalidFileError when they are of another search.
    """
    search = _Search(space, score, log, resume, space.edges(backward=backward))
    while any(len(ops) > 1 for ops in search.choices.values()):
        search.round()
    final = search.evaluate(FINAL_ROUND, None, None, search.choices)
    search.finish()
    for name, rate in final.firing.items():
        if rate == 0:
            search.guard("alive", FINAL_ROUND, None, None, f"{name} of the final candidate is silent on the batch")
    cell = Cell.of({edge: ops[0] for edge, ops in search.choices.items()})
    genotype = Genotype(space.name, (cell,) * cells)
    return SearchResult(genotype, search.evaluations, tuple(search.guards), dict(final.firing), final.value)


def broken_guard(choices: Mapping[Edge, tuple[str, ...]]) -> str | None:
    """Return the guard that no choice of one operation per edge out of ``choices`` could satisfy, or None."""
    present = {edge: ops for edge, ops in choices.items() if any(op != ZEROIZE for op in ops)}
    # An edge on a walk from input to output can always be part of a way that enters and leaves it once, and such a way
    # asks one operation of each edge. So reachability over everything that is left decides.
    live = live_edges(present)
    if not live:
        return "path"
    return None if any(op in CONV_KERNELS for edge in live for op in present[edge]) else "conv"


class _Search:
    """The state of one search: what is left on each edge, and the records."""

    def __init__(
        self,
        space: Space,
        score: ScoreFunction,
        log: Callable[[Record], None],
        resume: Iterable[Mapping[str, Any]],
        edges: tuple[Edge, ...],
    ) -> None:
        self.space, self.score, self.log = space, score, log
        self.choices: Choices = {edge: space.ops for edge in edges}
        self.evaluations = 0
        self.guards: list[Record] = []
        self.number = 0
        self.known: dict[tuple[Any, ...], Score] = {}
        self.logged: set[tuple[Any, ...]] = set()
        for line, record in enumerate(resume, start=1):
            self._remember(line, record)

    def round(self) -> None:
        """Score every removal, then take the best one of each edge."""
        self.number += 1
        scores = {
            (edge, op): self.evaluate(self.number, edge, op, self._without(edge, op)).value
            for edge, ops in self.choices.items()
            if len(ops) > 1
            for op in ops
        }
        for edge, ops in tuple(self.choices.items()):
            if len(ops) > 1:
                self._remove(edge, {op: scores[edge, op] for op in ops})

    def evaluate(self, number: int | str, edge: Edge | None, op: str | None, choices: Choices) -> Score:
        """Return the score of ``choices``, from the resumed log where it is there."""
        self.evaluations += 1
        key = ("evaluation", number, edge and edge_name(edge), op)
        if key in self.known:
            return self.known.pop(key)
        start = time.perf_counter()
        # What no path crosses cannot be run, and is worth less than everything that can.
        result = self.score(choices) if broken_guard(choices) != "path" else Score(-math.inf, {})
        if math.isnan(result.value):
            result = Score(-math.inf, result.firing)
        self._write(
            key,
            score=result.value if math.isfinite(result.value) else None,
            silent_layers=result.silent_layers,
            firing=dict(result.firing),
            seconds=round(time.perf_counter() - start, 6),
        )
        return result

    def guard(self, name: str, number: int | str, edge: Edge | None, op: str | None, text: str) -> None:
        """Report that guard ``name`` fired."""
        self.guards.append(self._write(("guard", number, edge and edge_name(edge), op), guard=name, text=text))

    def finish(self) -> None:
        """Raise InvalidFileError when the resumed log holds an evaluation that this search never asked for."""
        if self.known:
            _, number, edge, op = next(iter(self.known))
            raise InvalidFileError(
                f"the log to resume from holds an evaluation of {op!r} on edge {edge} in round {number}, which this "
                f"search never makes, expected a log of the same space, seed and batch; start afresh"
            )

    def _without(self, edge: Edge, op: str) -> Choices:
        return {**self.choices, edge: tuple(other for other in self.choices[edge] if other != op)}

    def _remove(self, edge: Edge, scores: Mapping[str, float]) -> None:
        """Take the operation with the highest score off ``edge``, or the first that breaks no guard."""
        order = sorted(scores, key=lambda op: (-scores[op], self.space.ops.index(op)))
        refused: list[str] = []
        for op in order:
            name = broken_guard(self._without(edge, op))
            if name is None:
                break
            refused.append(op)
            self.guard(
                name,
                self.number,
                edge,
                op,
                f"removing {op} from edge {edge_name(edge)} would leave "
                + ("no path" if name == "path" else "no convolution on a path")
                + f" from input to output; {order[len(refused)]} is removed instead",
            )
        ties = [other for other in scores if scores[other] == scores[op]]
        self.choices = self._without(edge, op)
        self._write(
            ("removal", self.number, edge_name(edge), op),
            score=scores[op] if math.isfinite(scores[op]) else None,
            ties=ties if len(ties) > 1 else [],
        )

    def _write(self, key: tuple[Any, ...], **values: Any) -> Record:
        record = {"event": key[0], "round": key[1], "edge": key[2], "op": key[3], **values}
        # A silent layer has no edge: its text is part of what tells two events apart.
        identity = (*key, values.get("text"))
        if identity not in self.logged:
            self.logged.add(identity)
            self.log(record)
        return record

    def _remember(self, line: int, record: Mapping[str, Any]) -> None:
        """Take over one record of an interrupted search."""
        try:
            key = tuple(record[name] for name in ("event", "round", "edge", "op"))
            self.logged.add((*key, record.get("text")))
            if key[0] == "evaluation":
                value = -math.inf if record["score"] is None else float(record["score"])
                firing = {str(name): float(rate) for name, rate in record["firing"].items()}
                self.known[key] = Score(value, firing)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidFileError(
                f"record {line} of the log to resume from cannot be used ({type(error).__name__}: {error}), expected "
                f"what a lightsnn search logs; start afresh"
            ) from None
