"""A genotype file says which kind of architecture it is, and that settles all that goes with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import InvalidFileError
from snnas.search.kinds import CELLS, KINDS, MOTIFS, kind_of, read_genotype
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.network.config import NetworkConfig
from snnas.search.network.space import SPACES, get

GENOME = GenomeSpace(2).random(np.random.default_rng(0))
CELL = get("snasnet").random_genotype(np.random.default_rng(0))
SHAPE = {"input_shape": (1, 8, 8), "classes": 3, "channels": 2, "timesteps": 2}


def test_every_space_has_a_kind() -> None:
    assert set(KINDS) == {*SPACES, "chip", "mse_nas"}
    assert kind_of("of the future") is CELLS


@pytest.mark.parametrize(
    ("genotype", "sizes", "kind"),
    [(CELL, NetworkConfig(**SHAPE), CELLS), (GENOME, MseConfig(**SHAPE, cells=2, reductions=()), MOTIFS)],
)
def test_a_file_is_enough_to_build_from(genotype, sizes, kind) -> None:
    found = read_genotype(genotype.to_json())
    assert found == genotype
    assert kind_of(found.space) is kind
    again = kind.sizes(sizes.to_json())
    assert again == sizes
    assert kind.network(found, again)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "null", '{"space": ["mse_nas"]}', '{"space": "mse_nas"}'])
def test_what_is_no_genotype_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidFileError, match=r"there\.json"):
        read_genotype(text, where="there.json")


def test_deep_nesting_ends() -> None:
    with pytest.raises(InvalidFileError):
        read_genotype("[" * 100_000)
