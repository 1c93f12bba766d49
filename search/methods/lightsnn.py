"""LightSNN: pruning by importance on a supernet (LightSNN, algorithm 1).

Each round scores the supernet without each operation of each edge that still has more than one; then every edge loses
the operation whose removal left the highest score. Ties: the dearest operation goes, so that what says as much and
costs less stays, then the lowest index; the record lists them.
Three operations on six edges take 18 + 12 evaluations, and one more looks at the network that is left.

The paper's rule alone can prune every path to skips, or to nothing. Named guards stand against it:

    path    the cell's input reaches its output
    conv    a convolution lies on a way from input to output (so the cell has neurons, and weights)
    alive   no LIF of the final candidate is silent on the batch

A removal that would break 'path' or 'conv' is not taken: the next best operation of the edge goes instead. 'alive' can
only be reported, and so can what ``guards`` finds in the final candidate. Each event is in log and result. Where
no removal of the first round has a finite score, nothing is taken: guard 'score', and NoScoreError.

Under a budget there is one more guard, ours:

    budget  some choice of one operation per edge out of what is left is within the budget

One such choice, the witness, is known from the beginning: the first within the budget in the order of the kernels'
sizes, of at most TRIES architectures. Removing what the witness does not use cannot hurt; before an operation of the
witness goes, another witness has to be found, or the next best operation goes instead. The last witness is the result.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from snnas.hw_sim.errors import GateError
from snnas.search.methods import Inspect, Record, Refuse, ScoreFunction, SearchResult, no_inspection
from snnas.search.methods.journal import Journal, Key, finite
from snnas.search.network.genotype import CONV_KERNELS, ZEROIZE, Cell, Edge, Genotype, edge_name, live_edges
from snnas.search.network.space import Space
from snnas.search.scoring.proxies import Score

FINAL_ROUND = "final"
# Architectures that are asked for a price before a removal counts as unaffordable.
TRIES = 256
BREAKS = {
    "path": "no path from input to output",
    "conv": "no convolution on a path from input to output",
    "budget": f"none of the {TRIES} cheapest architectures left within the budget",
}


def run(
    space: Space,
    score: ScoreFunction,
    *,
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    backward: bool = False,
    cells: int = 2,
    inspect: Inspect = no_inspection,
    refuse: Refuse | None = None,
) -> SearchResult:
    """Prune ``space`` to one operation per edge and return the genotype that all ``cells`` share.

    score: the proxy of the supernet restricted to the given operations per edge, for all candidates of a round at once.
    inspect: the guards, asked about the final candidate. log: takes one record per evaluation ({"event": "evaluation",
    "round", "edge", "op", "score", "silent_layers", "firing", "seconds"}; score None stands for -inf, seconds is its
    share of the round), per removal ("removal") and per guard ("guard"). resume: the records of an interrupted search
    of the same space, seed and batch; they are not scored and not logged again, and the result is the same. Raises
    InvalidFileError when they are of another search. refuse: the budget; the result is within it, or GateError is
    raised; architectures that it refused on the way are logged ("refusal").
    """
    journal = Journal("lightsnn", log, resume)
    search = _Search(space, score, journal, space.edges(backward=backward))
    if refuse is not None:
        search.budget(refuse, cells)
    while any(len(ops) > 1 for ops in search.choices.values()):
        search.round()
    final = search.final()
    journal.finish()
    journal.silent(FINAL_ROUND, final)
    refused = not journal.inspected(FINAL_ROUND, None, inspect(search.choices))
    cell = Cell.of({edge: ops[0] for edge, ops in search.choices.items()})
    genotype = Genotype(space.name, (cell,) * cells)
    return SearchResult(genotype, journal.evaluations, tuple(journal.guards), dict(final.firing), final.value, refused)


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

    def __init__(self, space: Space, score: ScoreFunction, journal: Journal, edges: tuple[Edge, ...]) -> None:
        self.space, self.score, self.journal = space, score, journal
        self.choices = {edge: space.ops for edge in edges}
        self.number = 0
        self.refuse: Refuse | None = None
        self.witness: Cell | None = None

    def budget(self, refuse: Refuse, cells: int) -> None:
        """Hold the search to a budget; raises GateError when no witness is found."""
        self.refuse, self.cells = refuse, cells
        self.witness = self._affordable(self.choices)
        if self.witness is None:
            raise GateError(f"none of the {TRIES} cheapest architectures of {self.space.name} is within the budget")

    def round(self) -> None:
        """Score every removal, then take the best one of each edge."""
        self.number += 1
        removals = {
            (edge, op): self._without(edge, op) for edge, ops in self.choices.items() if len(ops) > 1 for op in ops
        }
        keys: dict[tuple[Edge, str], Key] = {
            (edge, op): ("evaluation", self.number, edge_name(edge), op) for edge, op in removals
        }
        # What no path crosses cannot be run, and is worth less than everything that can.
        runnable = {at: choices for at, choices in removals.items() if broken_guard(choices) != "path"}
        scores = self.journal.evaluate(keys, runnable, self.score)
        if self.number == 1:
            self.journal.require_score(self.number, scores.values(), f"the {len(scores)} removals of round 1")
        for edge, ops in tuple(self.choices.items()):
            if len(ops) > 1:
                self._remove(edge, {op: scores[edge, op].value for op in ops})

    def final(self) -> Score:
        """Return the score of what is left; the guards see to it that it has a path."""
        key: Key = ("evaluation", FINAL_ROUND, None, None)
        return self.journal.evaluate({0: key}, {0: self.choices}, self.score)[0]

    def _without(self, edge: Edge, op: str) -> dict[Edge, tuple[str, ...]]:
        return {**self.choices, edge: tuple(other for other in self.choices[edge] if other != op)}

    def _remove(self, edge: Edge, scores: Mapping[str, float]) -> None:
        """Take the operation with the highest score off ``edge``, or the first that breaks no guard."""
        order = sorted(scores, key=lambda op: (-scores[op], -_price(op), self.space.ops.index(op)))
        op, refused = order[0], list[str]()
        for op in order:
            name = self._broken(edge, op)
            if name is None:
                break
            refused.append(op)
            self.journal.guard(
                name,
                ("guard", self.number, edge_name(edge), op),
                f"removing {op} from edge {edge_name(edge)} would leave {BREAKS[name]}; "
                f"{order[len(refused)]} is removed instead",
            )
        ties = [other for other in scores if scores[other] == scores[op]]
        self.choices = self._without(edge, op)
        self.journal.write(
            ("removal", self.number, edge_name(edge), op),
            score=finite(scores[op]),
            ties=ties if len(ties) > 1 else [],
        )

    def _broken(self, edge: Edge, op: str) -> str | None:
        """Return the guard that removing ``op`` breaks, or None; under a budget the witness is kept up to date."""
        left = self._without(edge, op)
        name = broken_guard(left)
        if name is not None or self.witness is None or self.witness.ops()[edge] != op:
            return name
        witness = self._affordable(left)
        if witness is None:
            return "budget"
        self.witness = witness
        return None

    def _affordable(self, choices: Mapping[Edge, tuple[str, ...]]) -> Cell | None:
        """Return the first completion of ``choices``, the cheapest first, that the budget does not refuse."""
        assert self.refuse is not None
        known: set[Cell] = set()
        for cell in completions(choices):
            network = Cell.of(cell.live())
            if network in known or not any(op in CONV_KERNELS for op in network.forward + network.backward):
                continue
            known.add(network)
            genotype = Genotype(self.space.name, (network,) * self.cells)
            (reason,) = self.refuse([genotype])
            if reason is None:
                return cell
            self.journal.refuse(self.number, genotype.architecture_id, reason)
            if len(known) == TRIES:
                break
        return None


def completions(choices: Mapping[Edge, tuple[str, ...]]) -> Iterator[Cell]:
    """Yield every choice of one operation per edge, by the sum of the kernels' sizes; skips and pools cost little."""
    ranked = {edge: sorted(ops, key=_price) for edge, ops in choices.items()}
    start: tuple[int, ...] = (0,) * len(ranked)
    heap: list[tuple[float, tuple[int, ...]]] = [(0.0, start)]
    seen: set[tuple[int, ...]] = {start}
    while heap:
        price, places = heapq.heappop(heap)
        yield Cell.of({edge: ops[at] for (edge, ops), at in zip(ranked.items(), places, strict=True)})
        for number, ops in enumerate(ranked.values()):
            at = places[number]
            nearby = (*places[:number], at + 1, *places[number + 1 :])
            if at + 1 < len(ops) and nearby not in seen:
                seen.add(nearby)
                heapq.heappush(heap, (price + _price(ops[at + 1]) - _price(ops[at]), nearby))


def _price(op: str) -> float:
    """What an operation adds to a network, by rule of thumb: it only orders what is then really priced."""
    if op in CONV_KERNELS:
        return float(CONV_KERNELS[op] ** 2)
    return {ZEROIZE: 0.0, "skip": 1 / 16}.get(op, 1 / 8)
