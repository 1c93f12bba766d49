"""Small random networks with settled batch norms: what the conformance runs draw, and tests build on.

Each genotype has two cells that differ, half of them hold live backward edges, and each is small: 8x8 inputs, 3 or 4
channels, 3 to 5 timesteps. Weights are random; batch norms have affines of their own and settled statistics. One in
four is driven by frames of spikes, the others by constant images. One stream of the seed per genotype, so that a
genotype does not depend on how many are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnas.hw_sim.program import Program
from snnas.toolchain.data.seeds import stream

if TYPE_CHECKING:
    from snnas.export.graph.graph import Graph
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.network import Network
    from snnas.search.network.space import Space

SPACES = ("lightsnn", "snasnet")
INPUT_SHAPE, HIDDEN, VOTES, CLASSES = (1, 8, 8), 16, 2, 5
SETTLING_BATCHES, SETTLING_BATCH = 4, 16
MAX_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One genotype on its way: what was drawn, and what became of it. x: (B, C, H, W) or (B, T, C, H, W)."""

    index: int
    genotype: Genotype
    timesteps: int
    x: np.ndarray
    program: Program | None = None
    refusal: str = ""
    nir_differing: int = 0
    quantisation: float = 0.0  # share of spikes in which program and float graph differ

    @property
    def recurrent(self) -> bool:
        return self.genotype.has_backward


def settle_batch_norms(network: Network, batches: int = SETTLING_BATCHES, batch: int = SETTLING_BATCH) -> Network:
    """Gives every batch norm an affine and statistics of its own; eval mode. Draws from torch's global generator.

    Affines: gamma in .5..1.5, beta normal with deviation .3. Statistics: the plain average over ``batches`` batches of
    uniform noise, as ``BatchNorm`` averages its first ones by itself.
    """
    import torch

    config = network.config
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    with torch.no_grad():
        network.train()
        for _ in range(batches):
            network(torch.rand(batch, *config.input_shape))
    return network.eval()


def draw(seed: int, index: int, samples: int) -> tuple[Case, NetworkConfig]:
    """Genotype number ``index``, its network's sizes and ``samples`` inputs."""
    from snnas.search.network import space
    from snnas.search.network.config import HEADS, NetworkConfig

    rng = stream(seed, f"conformance {index}")
    found = space.get(SPACES[index % 2])
    recurrent = index // 2 % 2 == 0
    spikes = index % 8 == 7 or index % 8 == 4  # one of each space and of each kind
    genotype = _draw_genotype(found, rng, recurrent)
    timesteps = int(rng.integers(3, 6))
    config = NetworkConfig(
        input_shape=(2, 8, 8) if spikes else INPUT_SHAPE,
        input_kind="spikes" if spikes else "analogue",
        classes=CLASSES,
        channels=int(rng.integers(3, 5)),
        hidden=HIDDEN,
        votes=VOTES,
        timesteps=timesteps,
        reduction=found.reduction,
        head=HEADS[index // 8 % len(HEADS)],
    )
    frames = (samples, timesteps, *config.input_shape) if spikes else (samples, *config.input_shape)
    x = (rng.random(frames) < 0.3).astype(np.float32) if spikes else rng.random(frames, dtype=np.float32)
    return Case(index=index, genotype=genotype, timesteps=timesteps, x=x), config


def _draw_genotype(space: Space, rng: np.random.Generator, recurrent: bool) -> Genotype:
    """Two cells whose live edges differ; with a live backward edge in each, or none."""
    from snnas.search.network.genotype import Genotype

    for _ in range(MAX_DRAWS):
        drawn = [space.random_genotype(rng, cells=1, backward=recurrent) for _ in range(2)]
        first, second = (g.cells[0] for g in drawn)
        if first.live() != second.live() and all(g.has_backward == recurrent for g in drawn):
            return Genotype(space.name, (first, second))
    raise AssertionError(f"no pair of cells in {MAX_DRAWS} draws from {space.name}")  # pragma: no cover


def deployed_graph(genotype: Genotype, config: NetworkConfig, seed: int) -> Graph:
    """The folded graph of a random, settled network; torch's global generator is left as it was."""
    import torch

    from snnas.export.compiler.fold import fold
    from snnas.search.network.network import Network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fold(settle_batch_norms(Network(genotype, config)).layers())
