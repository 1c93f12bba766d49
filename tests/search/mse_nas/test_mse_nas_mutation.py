"""What a mutation changes, and what it leaves."""

import numpy as np
import pytest
import torch

from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import BLOCK, GenomeSpace, scales_of
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.motifs import NAMES
from snnas.search.mse_nas.network import MseNetwork

pytest.importorskip("pymoo")


def test_one_expressed_gene_of_each_scale_in_three() -> None:
    from snnas.search.mse_nas.algorithm import OneScale

    space, rng = GenomeSpace(3), np.random.default_rng(0)
    parents = np.stack([space.draw(rng) for _ in range(3000)])
    children = OneScale(space)._do(None, parents, random_state=rng)
    assert ((children != parents).sum(1) == 1).all()
    counts = [0, 0, 0]
    for parent, child in zip(parents, children, strict=True):
        (place,) = np.flatnonzero(parent != child)
        (scale,) = [k for k, places in enumerate(scales_of(space, parent)) if place in places]
        counts[scale] += 1
        assert space.decode(child) != space.decode(parent)
    assert all(900 < count < 1100 for count in counts)


def test_a_scale_without_a_choice_is_passed_over() -> None:
    from snnas.search.mse_nas.algorithm import OneScale

    space, rng = GenomeSpace(2, motifs=NAMES[:1], fan_ins=(2,)), np.random.default_rng(0)
    parents = np.stack([space.draw(rng) for _ in range(200)])
    children = OneScale(space)._do(None, parents, random_state=rng)
    assert ((children != parents).sum(1) == 1).all()
    assert (children[:, [0, BLOCK, -1]] == parents[:, [0, BLOCK, -1]]).all()


def test_a_gene_of_one_layer_leaves_the_weights_of_all_others() -> None:
    config = MseConfig(input_shape=(1, 8, 8), classes=3, channels=2, timesteps=2, cells=3, reductions=(2,))
    space = GenomeSpace(len(config.motif_cells))
    one = space.random(np.random.default_rng(1))
    first = one.cells[0]
    other = Genome(one.fan_in, (MotifCell(first.motif, (8 - first.kernels[0], *first.kernels[1:])), *one.cells[1:]))
    states = []
    for genome in (one, other, one):
        network = MseNetwork(genome, config)
        before = torch.random.get_rng_state()
        network.draw(7)
        assert torch.equal(torch.random.get_rng_state(), before)
        states.append(network.state_dict())
    (changed,) = [name for name in states[0] if states[0][name].shape != states[1][name].shape]
    assert changed.startswith("cell1_")
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name != changed)
    assert all(torch.equal(states[0][name], states[2][name]) for name in states[0])
