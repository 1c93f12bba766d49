"""SpikeNAS-style: an operation study, then a memory-aware search, cell by cell.

From SpikeNAS's abstracts and what the LightSNN paper says of it, as its body was not available: operations that cost
nothing to leave out are dropped; cells have genotypes of their own and are searched one after the other; a candidate
whose memory is over the budget is never built; SAHD scores the others. Ours: everything more exact than that.

* The study searches at random with all operations and without each in turn, repeated over initial weights and batches.
  Loss = best score with all - best score without. Operations are ranked by it; one is dropped when the 95 % interval of
  its mean loss (Student's t over the repeats) covers zero or lies below, the most harmless first, but never the last
  convolution nor the second to last operation.
* While a cell is searched, those before it are frozen and those after it hold the valid cell of the least memory, so
  that what fits now can still fit in the end. |A| candidates per cell instead of |A| ^ cells.
* Every valid cell is a candidate where edges and operations have at most EXHAUSTIVE combinations (3 operations on 6
  edges: 729); else as many are drawn as is asked for. What computes the same functions is one architecture, scored
  once, as the plainest.
* Ties go to the smaller memory, then to the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnas.hw_sim.errors import GateError, UsageError
from snnas.search.methods import Inspect, Record, Refuse, ScoreFunction, SearchResult, no_inspection, no_refusal, single
from snnas.search.methods.journal import Journal, Key, finite
from snnas.search.methods.snasnet import ROUND, distinct
from snnas.search.network.functional import plainest
from snnas.search.network.genotype import CONV_KERNELS, Cell, Genotype, edge_name
from snnas.search.network.space import Space
from snnas.search.scoring.proxies import Score

EXHAUSTIVE = 1024
STUDY_DRAWS = 64
# Student's t at 97.5 % for 1 to 9 degrees of freedom.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def run(
    space: Space,
    score: ScoreFunction,
    *,
    memory: Callable[[Genotype], int],
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    backward: bool = False,
    cells: int = 2,
    candidates: int = EXHAUSTIVE,
    rng: np.random.Generator,
    inspect: Inspect = no_inspection,
    refuse: Refuse = no_refusal,
    study: Sequence[ScoreFunction] = (),
) -> SearchResult:
    """Search ``cells`` cells of ``space`` one after the other.

    score, log, resume, inspect, refuse: as in ``snasnet.run``. memory: of a genotype, in bytes. candidates: draws per
    cell where the space is too large for all. study: scores of 2 to 10 repeats, each with weights and a batch of its
    own; empty: no study. A record's "round" is the number of the cell ('study 1' in the first repeat), its "op" the
    architecture's id; "memory" and "cell" stand beside the score or the refusal, so the log holds the whole feasible
    set. A "choice" ends every cell; of a study, one record per operation ("event": "study").
    """
    journal = Journal("spikenas", log, resume)
    if study:
        space = operation_study(space, study, journal, rng, backward=backward, cells=cells)
    found = valid_cells(space, candidates, rng, backward=backward)
    filler = min(found, key=lambda cell: memory(Genotype(space.name, (cell,) * cells)))
    chosen: tuple[Cell, ...] = ()
    final, refused = Score(-math.inf, {}), False
    for number in range(1, cells + 1):
        rest = (filler,) * (cells - number)
        genotypes = [Genotype(space.name, (*chosen, cell, *rest)) for cell in found]
        search = _CellSearch(number, genotypes, [memory(genotype) for genotype in genotypes], journal)
        scores = search.scores(score, refuse)
        place, dead = search.choose(scores, inspect)
        chosen, final, refused = (*chosen, found[place]), scores[place], refused or dead
    journal.finish()
    journal.silent(cells, final)
    genotype = Genotype(space.name, chosen)
    return SearchResult(genotype, journal.evaluations, tuple(journal.guards), dict(final.firing), final.value, refused)


def valid_cells(space: Space, candidates: int, rng: np.random.Generator, *, backward: bool = False) -> list[Cell]:
    """Return the valid cells of ``space``, the plainest of each function: all, the plainest first, or those drawn."""
    if candidates < 1:
        raise UsageError(f"{candidates} candidates, expected a whole number >= 1")
    edges = space.edges()
    if backward or len(space.ops) ** len(edges) > EXHAUSTIVE:
        return [genotype.cells[0] for genotype in distinct(space, candidates, rng, backward=backward).values()]
    every = (Cell.of(dict(zip(edges, ops, strict=True))) for ops in itertools.product(space.ops, repeat=len(edges)))
    return list(plainest({Cell.of(cell.live()) for cell in every if space.valid(cell)}).values())


class _CellSearch:
    """The search of one cell: its candidates, with their memory."""

    def __init__(self, number: int, genotypes: Sequence[Genotype], memory: Sequence[int], journal: Journal) -> None:
        self.number, self.genotypes, self.memory, self.journal = number, genotypes, memory, journal

    def scores(self, score: ScoreFunction, refuse: Refuse) -> dict[int, Score]:
        """Return the scores of what is not refused, by place; raises GateError where nothing is left."""
        scores: dict[int, Score] = {}
        for start in range(0, len(self.genotypes), ROUND):
            part = list(range(start, min(start + ROUND, len(self.genotypes))))
            for at, reason in zip(part, refuse([self.genotypes[at] for at in part]), strict=True):
                if reason is not None:
                    self.journal.refuse(self.number, self.genotypes[at].architecture_id, reason, **self._notes(at))
                    part[at - start] = -1
            part = [at for at in part if at >= 0]
            keys: dict[int, Key] = {
                at: ("evaluation", self.number, None, self.genotypes[at].architecture_id) for at in part
            }
            candidates = {at: single(self.genotypes[at]) for at in part}
            scores.update(self.journal.evaluate(keys, candidates, score, {at: self._notes(at) for at in part}))
        if not scores:
            raise GateError(f"each of the {len(self.genotypes)} candidates for cell {self.number} is over the budget")
        self.journal.require_score(self.number, scores.values(), f"the {len(scores)} candidates for cell {self.number}")
        return scores

    def choose(self, scores: Mapping[int, Score], inspect: Inspect) -> tuple[int, bool]:
        """Return the place of the best, and whether the guards refuse it and all others."""
        order = sorted(scores, key=lambda at: (-scores[at].value, self.memory[at], at))
        ids = [genotype.architecture_id for genotype in self.genotypes]
        passed = (at for at in order if self._passes(at, inspect))
        taken = next(passed, None)
        best = order[0] if taken is None else taken
        ties = [ids[at] for at in order if at != best and scores[at].value == scores[best].value]
        self.journal.write(
            ("choice", self.number, None, ids[best]),
            score=finite(scores[best].value),
            feasible=len(scores),
            refused=len(self.genotypes) - len(scores),
            ties=ties[:16],
            **self._notes(best),
        )
        return best, taken is None

    def _passes(self, at: int, inspect: Inspect) -> bool:
        genotype = self.genotypes[at]
        return self.journal.inspected(self.number, genotype.architecture_id, inspect(single(genotype)))

    def _notes(self, at: int) -> dict[str, Any]:
        cell = self.genotypes[at].cells[self.number - 1]
        return {"memory": self.memory[at], "cell": {edge_name(edge): op for edge, op in cell.live().items()}}


@dataclass(frozen=True, slots=True)
class OperationLoss:
    """What leaving an operation out costs: the mean over the repeats and its 95 % interval; inf: nothing is left."""

    op: str
    loss: float
    low: float
    high: float


def operation_study(
    space: Space,
    scores: Sequence[ScoreFunction],
    journal: Journal,
    rng: np.random.Generator,
    *,
    backward: bool = False,
    cells: int = 2,
    draws: int = STUDY_DRAWS,
) -> Space:
    """Return ``space`` with the operations whose loss is not above zero left out."""
    if not 2 <= len(scores) <= len(T_QUANTILES) + 1:
        raise UsageError(f"{len(scores)} repeats of the operation study, expected 2 to {len(T_QUANTILES) + 1}")
    without = {op: replace(space, ops=tuple(other for other in space.ops if other != op)) for op in space.ops}
    spaces = {"": space, **{op: part for op, part in without.items() if any(o in CONV_KERNELS for o in part.ops)}}
    pools = {
        op: list(distinct(part, draws, rng, backward=backward, cells=cells).values()) for op, part in spaces.items()
    }
    every = list(dict.fromkeys(genotype for pool in pools.values() for genotype in pool))
    losses: dict[str, list[float]] = {op: [] for op in space.ops}
    for repeat, score in enumerate(scores, start=1):
        keys: dict[Genotype, Key] = {g: ("evaluation", f"study {repeat}", None, g.architecture_id) for g in every}
        found = journal.evaluate(keys, {genotype: single(genotype) for genotype in every}, score)
        best = {op: max(found[genotype].value for genotype in pool) for op, pool in pools.items()}
        for op in space.ops:
            loss = best[""] - best.get(op, -math.inf)
            losses[op].append(loss if not math.isnan(loss) else math.inf)
    ranked = sorted((_interval(op, values) for op, values in losses.items()), key=lambda result: -result.loss)
    kept = kept_operations(ranked)
    for place, result in enumerate(ranked, start=1):
        journal.write(
            ("study", place, None, result.op),
            **{name: finite(getattr(result, name)) for name in ("loss", "low", "high")},
            kept=result.op in kept,
        )
    return replace(space, ops=tuple(op for op in space.ops if op in kept))


def kept_operations(ranked: Sequence[OperationLoss]) -> frozenset[str]:
    """Return the operations that stay: those whose interval lies above zero, a convolution and two in all at least."""
    kept = [found.op for found in ranked]
    for found in reversed(ranked):
        rest = [op for op in kept if op != found.op]
        if found.low <= 0 and len(rest) >= 2 and any(op in CONV_KERNELS for op in rest):
            kept = rest
    return frozenset(kept)


def _interval(op: str, losses: Sequence[float]) -> OperationLoss:
    values = np.array(losses)
    if not np.isfinite(values).all():
        return OperationLoss(op, math.inf, math.inf, math.inf)
    mean = float(values.mean())
    half = T_QUANTILES[len(values) - 2] * float(values.std(ddof=1)) / math.sqrt(len(values))
    return OperationLoss(op, mean, mean - half, mean + half)
