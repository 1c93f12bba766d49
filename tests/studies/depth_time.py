"""Two measures of an untrained supernet's candidates: how deep one lives, and how far time carries information.

Their mean rank was a proxy of ``snnas search`` until SNN-Deploy-Bench showed that both are against accuracy on target
at equal energy (docs/results.md). They are columns of that table; ``bench_proxies`` has them on SpikeNAS-Bench.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from snnas.search.network.genotype import CONV_KERNELS, CellOps, Edge
from snnas.search.scoring.proxies import LEAST_LEVELS, living_share, longest_path, temporal_code, time_shares

if TYPE_CHECKING:
    from torch import Tensor

    from snnas.search.scoring.supernet import Candidate, Supernet


class DepthTime(NamedTuple):
    """live_depth: in nats, summed over cells. temporal_code: summed over cells."""

    live_depth: float
    temporal_code: float


def depth_time(supernet: Supernet, x: Tensor, candidates: Sequence[Candidate]) -> list[DepthTime]:
    """Return both measures of every candidate on the batch ``x``, (B, C, H, W) or (B, T, C, H, W)."""
    import torch
    from spikingjelly.activation_based import functional

    from snnas.search.scoring.supernet import cells_of

    found = []
    for candidate in candidates:
        spikes: dict[str, Tensor] = {}
        with torch.no_grad():
            supernet(x, candidate, spikes=spikes)
        functional.reset_net(supernet)
        found.append(measures(spikes, cells_of(candidate, supernet.config.cells)))
    return found


def measures(spikes: Mapping[str, Tensor], cells: Sequence[CellOps]) -> DepthTime:
    """Return the measures of a network with the operations ``cells`` that fired ``spikes``, (T, B, ...) by LIF.

    live_depth sums over cells the length of the longest path from node 0 to node 3 along forward edges: a convolution
    counts log((T + 1) x the share of the neurons before it that fire at all), anything else 0. temporal_code sums the
    largest share of sample-dependent spike timing in each cell.
    """
    depth = code = 0.0
    for number, ops in enumerate(cells, start=1):
        of_cell = {name: train for name, train in spikes.items() if name.startswith(f"cell{number}_")}
        levels = {name.split("_")[1]: (len(train) + 1) * living_share(train) for name, train in of_cell.items()}
        depth += _live_depth(ops, levels)
        code += temporal_code(map(time_shares, of_cell.values()))
    return DepthTime(depth, code)


def _live_depth(ops: CellOps, levels: Mapping[str, float]) -> float:
    lengths = {edge: _length(edge, names, levels) for edge, names in ops.items() if edge[0] < edge[1]}
    length = longest_path(lengths)
    # A cell whose only way leads through backward edges is as deep as nothing.
    return length if length > -math.inf else 0.0


def _length(edge: Edge, names: Iterable[str], levels: Mapping[str, float]) -> float:
    if not any(op in CONV_KERNELS for op in names):
        return 0.0
    return math.log(max(levels[f"n{edge[0]}"], LEAST_LEVELS))
