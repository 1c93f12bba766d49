"""Scores all candidates of a round at once, equal to ``Supernet.score`` for each on the same batch and weights.

Candidates are folded into the batch axis; BN takes the statistics of each candidate by itself. What candidates have in
common (``sharing``) is computed once, so removing zeroize costs nothing: it is the unpruned supernet. The
convolutions that leave a node are stacked on their output channels, neurons and kernels are computed once per node
value, kernels are turned into scores in float64 at the end of the round.

On a CPU the spikes are those of ``Supernet.score`` bit for bit (see ``folded``), so scores differ only by the
order in which float64 kernels are added: below 1e-9, and the ranking is the same. The score of a candidate does not
depend on what it is scored with. On CUDA convolutions may round otherwise for another batch size, and a neuron on the
threshold may differ: there only the ranking can be asked for (not tested here).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnas.search.network.genotype import CellOps
from snnas.search.scoring.proxies import Score
from snnas.search.scoring.sharing import Plan
from snnas.search.scoring.supernet import Candidate, Supernet, cells_of
from snnas.search.scoring.tiles import Bank, Tiles

Cells = tuple[CellOps, ...]

# One timestep of a node, for all candidates that are folded together on a CPU: what its cache holds is faster.
CPU_TILE_BYTES = 1 << 19
# What a node keeps for its readers: value, spikes, voltage, and three convolutions twice.
COPIES_PER_NODE = 9
# Node 3 has no reader but the reduction, and a cell is half as large as the one before it: less than four.
NODES_PER_CELL = 2


class BatchedScorer:
    """Scores many candidates of ``supernet`` on the batch ``x``, (B, C, H, W) or (B, T, C, H, W), where x lies.

    memory: bytes that a round may take, apart from weights; candidates are computed in blocks that fit. tile: how many
    are folded together; by default what fits the cache on a CPU, and all of a block elsewhere. per_operation: count
    the kernel of a node once for each operation that reads it through a neuron, as a network with one LIF per operation
    does (LightSNN equation 1, summed over its layers); otherwise once per population, as ``Supernet.score`` does.
    """

    def __init__(
        self,
        supernet: Supernet,
        x: Tensor,
        *,
        memory: int = 1 << 30,
        tile: int | None = None,
        per_operation: bool = False,
    ) -> None:
        self.bank, self.per_operation = Bank(supernet, x), per_operation
        config, stem = supernet.config, self.bank.stem
        current = stem[0].numel() * stem.element_size()
        self.block = max(1, memory // (current * config.timesteps * config.cells * NODES_PER_CELL * COPIES_PER_NODE))
        self.tile = tile or (self.block if stem.is_cuda else max(1, CPU_TILE_BYTES // current))

    @torch.no_grad()
    def __call__(self, candidates: Sequence[Candidate]) -> list[Score]:
        """Return the score of every candidate: the operations that remain on each edge, as in ``Supernet.forward``.

        Raises UsageError when one has no path from input to output in some cell.
        """
        count = self.bank.config.cells
        ops = [cells_of(candidate, count, f"candidate {place}") for place, candidate in enumerate(candidates)]
        # What differs only in zeroize or in dead ends is the same network. Recurrent and feed-forward ones fold apart.
        distinct = {_key(live): live for live in ops}
        order = sorted(distinct.values(), key=_recurrent)
        scores: dict[tuple[Any, ...], Score] = {}
        for start in range(0, len(order), self.block):
            block = order[start : start + self.block]
            scores.update(zip(map(_key, block), self._score(block), strict=True))
        return [scores[_key(live)] for live in ops]

    def _score(self, block: Sequence[Cells]) -> list[Score]:
        config = self.bank.config
        plan = Plan(block, timesteps=config.timesteps, shifted=self.bank.shifted, head=config.head_neurons > 0)
        tiles = Tiles(self.bank, plan, per_operation=self.per_operation)
        start = 0
        while start < len(block):
            recurrent = _recurrent(block[start])
            # Those that are recurrent in the same cells stand together; a tile holds one kind.
            same = sum(_recurrent(cells) == recurrent for cells in block[start:])
            stop = start + min(self.tile, same)
            tiles.compute(start, stop)
            start = stop
        return tiles.scores()


def _recurrent(cells: Cells) -> tuple[bool, ...]:
    return tuple(any(i > j for i, j in ops) for ops in cells)


def _key(cells: Cells) -> tuple[Any, ...]:
    return tuple(tuple(ops.items()) for ops in cells)
