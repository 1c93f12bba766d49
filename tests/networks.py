"""Small networks with settled batch norms, for tests of everything behind training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Genotype
from snnas.search.network.network import Network
from snnas.toolchain.bench.random_networks import settle_batch_norms


def network(genotype: Genotype, seed: int, **sizes: Any) -> Network:
    """A network in eval mode whose batch norms have statistics and affines of their own."""
    reduction = space.get(genotype.space).reduction
    defaults = {"input_shape": (1, 8, 8), "channels": 4, "hidden": 24, "votes": 3}
    config = NetworkConfig(classes=10, reduction=reduction, **{**defaults, **sizes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return settle_batch_norms(Network(genotype, config))


def random_network(name: str, seed: int, *, backward: bool = False, **sizes: Any) -> Network:
    """A network of a random genotype of the named space."""
    genotype = space.get(name).random_genotype(np.random.default_rng(seed), backward=backward)
    return network(genotype, seed, **sizes)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 8, 8), dtype=np.float32)
