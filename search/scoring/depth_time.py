"""The proxy ``snnas`` on a supernet: how deep a candidate lives, and how far time carries information.

A candidate gets two terms from one forward pass, and no score of its own: what counts is the mean of its ranks among
the candidates that it is compared with (``merits``). ``bench_proxies`` has the same terms on the
networks of SpikeNAS-Bench, where they were justified; here a neuron is one per node, and an edge of the supernet may
hold several operations, of which a path takes the one that reaches deepest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from spikingjelly.activation_based import functional
from torch import Tensor

from snnas.search.network.genotype import CONV_KERNELS, CellOps, Edge
from snnas.search.scoring.proxies import (
    LEAST_LEVELS,
    TERMS,
    Score,
    TimeShares,
    home,
    living,
    longest_path,
    temporal_code,
    time_moments,
)
from snnas.search.scoring.supernet import Candidate, Supernet, cells_of


class DepthTimeScorer:
    """Scores candidates of ``supernet`` one by one on the batch ``x``, (B, C, H, W) or (B, T, C, H, W).

    The value of a score is its first term, ``live_depth``, in nats, summed over cells.
    """

    def __init__(self, supernet: Supernet, x: Tensor) -> None:
        self.supernet, self.x = supernet, x

    @torch.no_grad()
    def __call__(self, candidates: Sequence[Candidate]) -> list[Score]:
        """Return the terms of every candidate; raises UsageError when one has no path from input to output."""
        seen = [self._observe(candidate) for candidate in candidates]
        tables = home([table for _, table in seen])
        cells, count = self.supernet.config.cells, self.supernet.config.timesteps
        scores = []
        for candidate, (names, _), table in zip(candidates, seen, tables, strict=True):
            found = {name: Observed(*row) for name, row in zip(names, table.tolist(), strict=True)}
            scores.append(score(found, cells_of(candidate, cells), count))
        return scores

    def _observe(self, candidate: Candidate) -> tuple[list[str], Tensor]:
        spikes: dict[str, Tensor] = {}
        self.supernet(self.x, candidate, spikes=spikes)
        functional.reset_net(self.supernet)
        return list(spikes), torch.stack([observe(train) for train in spikes.values()])


class Observed(NamedTuple):
    """What counts of a population: its rate, the share of neurons that fire, and ``proxies.time_moments``."""

    rate: float
    living: float
    clock: float
    sample: float
    all: float

    @property
    def shares(self) -> TimeShares:
        return TimeShares.of(self.clock, self.sample, self.all)


def observe(spikes: Tensor) -> Tensor:
    """Return the numbers of an Observed, (5,), where ``spikes``, 0/1 (T, B, ...), are."""
    return torch.cat([torch.stack([spikes.mean(dtype=torch.float64), living(spikes)]), time_moments(spikes)])


def score(found: Mapping[str, Observed], cells: Sequence[CellOps], timesteps: int) -> Score:
    """Return the terms of a network of which ``found``, by LIF name, was observed, with the operations ``cells``.

    live_depth sums over cells the length of the longest path from node 0 to node 3 along forward edges: a convolution
    counts log((T + 1) x the share of the neurons before it that fire at all), anything else 0. temporal_code sums the
    largest share of sample-dependent spike timing in each cell.
    """
    depth = code = 0.0
    for number, ops in enumerate(cells, start=1):
        of_cell = {name: seen for name, seen in found.items() if name.startswith(f"cell{number}_")}
        levels = {name.split("_")[1]: (timesteps + 1) * seen.living for name, seen in of_cell.items()}
        depth += _live_depth(ops, levels)
        code += temporal_code(seen.shares for seen in of_cell.values())
    terms: dict[str, float] = dict(zip(TERMS, (depth, code), strict=True))
    return Score(depth, {name: seen.rate for name, seen in found.items()}, terms)


def _live_depth(ops: CellOps, levels: Mapping[str, float]) -> float:
    lengths = {edge: _length(edge, names, levels) for edge, names in ops.items() if edge[0] < edge[1]}
    length = longest_path(lengths)
    # A cell whose only way leads through backward edges is as deep as nothing.
    return length if length > -math.inf else 0.0


def _length(edge: Edge, names: Iterable[str], levels: Mapping[str, float]) -> float:
    if not any(op in CONV_KERNELS for op in names):
        return 0.0
    return math.log(max(levels[f"n{edge[0]}"], LEAST_LEVELS))
