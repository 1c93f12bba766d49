"""The kinds of architectures: what reads a genotype, what reads the sizes around it, what builds its network.

A genotype file names its search space, and a space belongs to one kind. A new kind is one entry of ``KINDS``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.genome import SPACE, Genome
from snnas.search.mse_nas.network import MseNetwork
from snnas.search.network import design
from snnas.search.network.config import NetworkConfig
from snnas.search.network.design import Design, DesignSizes, network_of_design
from snnas.search.network.genotype import Genotype
from snnas.search.network.network import Network
from snnas.search.network.space import SPACES

Architecture = Genotype | Genome  # a Design is a Genotype
Sizes = NetworkConfig | DesignSizes | MseConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """genotype, sizes: read JSON, with ``where`` for messages; InvalidFileError. network: of both, untrained."""

    genotype: Callable[..., Architecture]
    sizes: Callable[..., Sizes]
    network: Callable[[Any, Any], nn.Module]


CELLS = Kind(Genotype.from_json, NetworkConfig.from_json, Network)
DESIGNS = Kind(Design.from_json, DesignSizes.from_json, network_of_design)
MOTIFS = Kind(Genome.from_json, MseConfig.from_json, MseNetwork)
KINDS = {**dict.fromkeys(SPACES, CELLS), design.SPACE: DESIGNS, SPACE: MOTIFS}


def network_config(genotype: Architecture, sizes: Sizes) -> NetworkConfig | MseConfig:
    """Return the sizes of the network that ``genotype`` is; sizes: of its kind."""
    if isinstance(sizes, DesignSizes):
        assert isinstance(genotype, Design)
        return sizes.of(genotype)
    return sizes


def kind_of(space: str) -> Kind:
    """Return the kind that a search space belongs to; of one that is not known, cells."""
    return KINDS.get(space, CELLS)


def read_genotype(text: str, *, where: str = "genotype.json") -> Architecture:
    """Read a genotype of whichever kind it says it is; InvalidFileError where it is none."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    space = plain.get("space") if isinstance(plain, dict) else None
    return kind_of(space if isinstance(space, str) else "").genotype(text, where=where)
