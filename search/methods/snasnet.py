"""SNASNet: random candidates, the one with the best score wins (SNASNet section 4; 5,000 candidates, SAHD).

Candidates are drawn uniformly from the valid ones of the space (``Space.random_genotype``: SNASNet asks that edge 0->3
carries something, and drops nodes that the input does not reach or that do not reach the output). Edges on no way from
input to output are dropped from a candidate, and what then computes the same functions (``functional.form``) is one
architecture, scored once, as the plainest of its draws: of 5,000 draws from the release's space 1,443 are distinct, and
1,988 by their live edges (measured).

Ours, and not SNASNet's: the release draws new weights and new batches for each candidate, so that its score is
confounded with both. Here all candidates share one bank of weights (a supernet of one seed), one batch, and BN by the
statistics of the batch and the candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from snnas.hw_sim.errors import GateError, UsageError
from snnas.search.methods import Inspect, Record, Refuse, ScoreFunction, SearchResult, no_inspection, no_refusal, single
from snnas.search.methods.journal import Journal, Key, finite
from snnas.search.network.functional import form, plainest
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.space import Space
from snnas.search.scoring.proxies import Score

# What a kill loses at most; scoring more at once gains little.
ROUND = 32
CANDIDATES = 5000


def run(
    space: Space,
    score: ScoreFunction,
    *,
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    backward: bool = False,
    cells: int = 2,
    candidates: int = CANDIDATES,
    rng: np.random.Generator,
    inspect: Inspect = no_inspection,
    refuse: Refuse = no_refusal,
) -> SearchResult:
    """Draw ``candidates`` genotypes from ``rng`` and return the best; all ``cells`` share it. Ties: the first drawn.

    score, log, resume: as in ``lightsnn.run``. inspect: the guards; of the candidates in the order of their scores, the
    first that they do not refuse is taken, and if they refuse all, the very first. A record's "round" is the place at
    which an architecture was first drawn, its "op" the architecture's id; the last record is the choice ("event":
    "choice"). The guard 'alive' reports layers of the winner that are silent on the batch; where no candidate has a
    finite score, 'score' says so and NoScoreError is raised. refuse: asked before a candidate is scored; what it
    refuses is logged with its reason ("event": "refusal"), and GateError raised where that is all.
    """
    if candidates < 1:
        raise UsageError(f"{candidates} candidates, expected a whole number >= 1")
    journal = Journal("snasnet", log, resume)
    drawn = distinct(space, candidates, rng, backward=backward, cells=cells)
    scores: dict[int, Score] = {}
    places = list(drawn)
    for start in range(0, len(places), ROUND):
        part = places[start : start + ROUND]
        reasons = dict(zip(part, refuse([drawn[at] for at in part]), strict=True))
        for at, reason in reasons.items():
            if reason is not None:
                journal.refuse(at, drawn[at].architecture_id, reason)
        part = [at for at in part if reasons[at] is None]
        keys: dict[int, Key] = {at: ("evaluation", at, None, drawn[at].architecture_id) for at in part}
        scores.update(journal.evaluate(keys, {at: single(drawn[at])[0] for at in part}, score))
    journal.finish()
    if not scores:
        raise GateError(f"each of the {len(places)} architectures drawn is over the budget")
    journal.require_score("score", scores.values(), f"the {len(scores)} architectures")
    order = sorted(scores, key=lambda at: (-scores[at].value, at))
    passed = (at for at in order if journal.inspected(at, drawn[at].architecture_id, inspect(single(drawn[at])[0])))
    taken = next(passed, None)
    best = order[0] if taken is None else taken
    final, found = scores[best], drawn[best]
    journal.silent(best, final)
    ties = [drawn[at].architecture_id for at in scores if at != best and scores[at].value == final.value]
    journal.write(
        ("choice", best, None, found.architecture_id), score=finite(final.value), ties=ties[:16], draws=candidates
    )
    return SearchResult(
        found, journal.evaluations, tuple(journal.guards), dict(final.firing), final.value, taken is None
    )


def distinct(
    space: Space, candidates: int, rng: np.random.Generator, *, backward: bool = False, cells: int = 2
) -> dict[int, Genotype]:
    """Draw ``candidates`` genotypes; return the plainest draw of each function by the place of its first draw."""
    places: dict[Hashable, int] = {}
    drawn: set[Cell] = set()
    for place in range(candidates):
        cell = Cell.of(space.random_genotype(rng, cells=1, backward=backward).cells[0].live())
        places.setdefault(form(cell), place)
        drawn.add(cell)
    plain = plainest(drawn)
    return {place: Genotype(space.name, (plain[name],) * cells) for name, place in places.items()}
