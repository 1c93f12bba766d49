"""Search methods, one file each, behind one result: a genotype, what it cost, and what the guards had to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.genotype import Genotype

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    evaluations: how many candidates were scored, replayed ones included. guards: one record per guard event, in the
    order of the log; empty when none fired. firing: spikes / (neurons x T) per LIF of the final candidate. score: of
    the final candidate.
    """

    genotype: Genotype
    evaluations: int
    guards: tuple[Record, ...]
    firing: Mapping[str, float]
    score: float
