"""The proxy ``snnas`` on a supernet: how deep a candidate lives, how far time carries information, how little is clock.

A candidate gets three terms from one forward pass, and no score of its own: what counts is the mean of its ranks among
the candidates that it is compared with (``merits``). ``bench_proxies`` has the same terms on the
networks of SpikeNAS-Bench, where they were justified; here a neuron is one per node, and an edge of the supernet may
hold several operations, of which a path takes the one that reaches deepest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from spikingjelly.activation_based import functional
from torch import Tensor

from snnas.search.network.genotype import CONV_KERNELS, CellOps, Edge
from snnas.search.scoring.proxies import LEAST_LEVELS, Score, clock_quiet, living_share, longest_path, temporal_code
from snnas.search.scoring.supernet import Candidate, Supernet, cells_of

TERMS = ("live_depth", "temporal_code", "clock_quiet")


class DepthTimeScorer:
    """Scores candidates of ``supernet`` one by one on the batch ``x``, (B, C, H, W) or (B, T, C, H, W).

    The value of a score is its first term, ``live_depth``, in nats, summed over cells.
    """

    def __init__(self, supernet: Supernet, x: Tensor) -> None:
        self.supernet, self.x = supernet, x

    @torch.no_grad()
    def __call__(self, candidates: Sequence[Candidate]) -> list[Score]:
        """Return the terms of every candidate; raises UsageError when one has no path from input to output."""
        return [self._score(candidate) for candidate in candidates]

    def _score(self, candidate: Candidate) -> Score:
        spikes: dict[str, Tensor] = {}
        self.supernet(self.x, candidate, spikes=spikes)
        functional.reset_net(self.supernet)
        return score(spikes, cells_of(candidate, self.supernet.config.cells))


def score(spikes: Mapping[str, Tensor], cells: Sequence[CellOps]) -> Score:
    """Return the terms of a network that fired ``spikes``, {LIF name: 0/1 (T, B, ...)}, with the operations ``cells``.

    live_depth sums over cells the length of the longest path from node 0 to node 3 along forward edges: a convolution
    counts log((T + 1) x the share of the neurons before it that fire at all), anything else 0. temporal_code sums the
    largest share of sample-dependent spike timing in each cell. clock_quiet is the mean over all LIFs.
    """
    depth = code = 0.0
    for number, ops in enumerate(cells, start=1):
        of_cell = {name: train for name, train in spikes.items() if name.startswith(f"cell{number}_")}
        depth += _live_depth(ops, {name.split("_")[1]: train for name, train in of_cell.items()})
        code += temporal_code(list(of_cell.values()))
    terms: dict[str, float] = dict(zip(TERMS, (depth, code, clock_quiet(list(spikes.values()))), strict=True))
    return Score(depth, {name: float(train.mean(dtype=torch.float64)) for name, train in spikes.items()}, terms)


def _live_depth(ops: CellOps, trains: Mapping[str, Tensor]) -> float:
    lengths = {edge: _length(edge, names, trains) for edge, names in ops.items() if edge[0] < edge[1]}
    length = longest_path(lengths)
    # A cell whose only way leads through backward edges is as deep as nothing.
    return length if length > -math.inf else 0.0


def _length(edge: Edge, names: Iterable[str], trains: Mapping[str, Tensor]) -> float:
    if not any(op in CONV_KERNELS for op in names):
        return 0.0
    train = trains[f"n{edge[0]}"]
    return math.log(max((len(train) + 1) * living_share(train), LEAST_LEVELS))
