"""Search methods, one file each, behind one result: a genotype, what it cost, and what the guards had to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snnas.search.network.genotype import Genotype
from snnas.search.scoring.guards import Finding
from snnas.search.scoring.proxies import Score
from snnas.search.scoring.supernet import Candidate, Choices

# Scores candidates, all at once; what one gets must not depend on the others.
ScoreFunction = Callable[[Sequence[Candidate]], Sequence[Score]]
# What the guards find in a candidate.
Inspect = Callable[[Candidate], Sequence[Finding]]
# Says of each architecture, of the method's kind, why it may not be taken, or None: a budget that knows the chip stands
# behind it.
Refuse = Callable[[Sequence[Any]], Sequence["str | None"]]

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    evaluations: how many candidates were scored, replayed ones included. guards: one record per guard event, in the
    order of the log; empty when none fired. firing: spikes / (neurons x T) per LIF of the final candidate. score: of
    the final candidate. refused: a guard that refuses found something in it, and the method had no other.
    """

    genotype: Genotype
    evaluations: int
    guards: tuple[Record, ...]
    firing: Mapping[str, float]
    score: float
    refused: bool = False


def no_inspection(candidate: Candidate) -> Sequence[Finding]:
    """Find nothing."""
    return ()


def no_refusal(genotypes: Sequence[Any]) -> Sequence[str | None]:
    """Take all."""
    return [None] * len(genotypes)


def single(genotype: Genotype) -> Sequence[Choices]:
    """Return the candidate that ``genotype`` is: one operation on every edge of every cell."""
    return [{edge: (op,) for edge, op in cell.ops().items()} for cell in genotype.cells]
