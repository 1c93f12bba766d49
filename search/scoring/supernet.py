"""The supernet: one set of weights that holds every candidate of a space, and scores them on one batch.

A candidate is a choice of operations that all cells share (LightSNN, SNASNet), or one per cell (SpikeNAS); each cell
has its own weights. Every remaining operation of an
edge is summed with weight one: a softmax of 1/n, as the release has it, silences the second cell.

A fresh supernet is alive in every layer, by construction: each convolution is followed by BN with the statistics of the
batch, so its current has variance 1 whatever fires before it; weights are Kaiming's; the head, which has no BN, is
scaled to unit variance (``HEAD_INPUT_POWER``). Spikes / (neurons x T), measured over 4 to 64 channels
and 8 to 32 pixels: lightsnn .09 to .32, with backward edges .11 to .61; snasnet .02 to .39, with backward edges .09 to
.86, where all its operations add up at node 3. A single candidate fires less, and with backward edges one layer of it
may be dead for good: a node that is fed by delayed spikes through a skip or an average alone gets a current of at most
1, and its voltage never reaches the threshold. The guard 'alive' names such layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import ZEROIZE, CellOps, Edge, live_edges
from snnas.search.network.network import Backbone
from snnas.search.network.space import Space
from snnas.search.scoring.guards import Finding, inspect
from snnas.search.scoring.proxies import Score, sahd

Choices = Mapping[Edge, tuple[str, ...]]
# One for all cells, or one per cell.
Candidate = Choices | Sequence[Choices]


class Supernet(Backbone):
    """Every operation of ``space`` on every edge, for scoring only.

    A neuron per node is shared by all that read it. BN has no running statistics: it always uses those of the batch.
    Weights come from ``seed`` alone, and torch's global generator is left as it was.
    """

    def __init__(self, space: Space, config: NetworkConfig, *, backward: bool = False, seed: int = 0) -> None:
        ops = {edge: tuple(op for op in space.ops if op != ZEROIZE) for edge in space.edges(backward=backward)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(config, [ops] * config.cells)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Without running statistics BN normalises by the batch, whatever the mode, and leaves nothing behind.
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        self.eval()

    def forward(self, x: Tensor, choices: Candidate, *, spikes: dict[str, Tensor] | None = None) -> Tensor:
        """Return the logits (B, classes) of x (B, C, H, W) or (B, T, C, H, W) with only ``choices`` present.

        choices: the remaining operations of every edge, zeroize included or not. What lies on no walk from a cell's
        input to its output is not computed, and gives no spikes. Raises UsageError when nothing does in some cell.
        """
        return self.run(x, cells_of(choices, self.config.cells), spikes)

    @torch.no_grad()
    def score(self, x: Tensor, choices: Candidate) -> Score:
        """Return the SAHD score of the candidate on the batch ``x``; the state is reset before and after."""
        spikes: dict[str, Tensor] = {}
        self(x, choices, spikes=spikes)
        functional.reset_net(self)
        return sahd(spikes)

    @torch.no_grad()
    def inspect(self, x: Tensor, choices: Candidate) -> tuple[Finding, ...]:
        """Return what ``snnas.search.scoring.guards`` finds in the candidate on the batch ``x``; the state is reset."""
        spikes: dict[str, Tensor] = {}
        outputs = self(x, choices, spikes=spikes)
        functional.reset_net(self)
        return inspect(outputs, spikes)


def cells_of(candidate: Candidate, cells: int, name: str = "the candidate") -> tuple[CellOps, ...]:
    """Return the live operations of every cell; raises UsageError when a cell has none, or ``cells`` is not theirs."""
    found = (remaining(candidate),) * cells if isinstance(candidate, Mapping) else tuple(map(remaining, candidate))
    if len(found) != cells:
        raise UsageError(f"{name} has choices for {len(found)} cells, expected one for all, or {cells}")
    if not all(found):
        raise UsageError(f"{name} has no path from node 0 to node 3, expected one operation on a path")
    return found


def remaining(choices: Choices) -> CellOps:
    """Return the operations of the live edges, zeroize left out, in the order of ``choices``."""
    present = {edge: tuple(op for op in ops if op != ZEROIZE) for edge, ops in choices.items()}
    keep = live_edges(edge for edge, ops in present.items() if ops)
    return {edge: ops for edge, ops in present.items() if edge in keep}
