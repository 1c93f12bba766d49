import itertools
import math

import pytest
import torch

from snnas.search.mse_nas import rdm
from snnas.search.mse_nas.network import MseNetwork
from snnas.search.mse_nas.rdm import Distances, RdmScorer
from snnas.search.scoring import proxies
from tests.search.mse_nas.test_mse_nas_network import config, genome


def test_distances_are_those_of_every_pair() -> None:
    spikes = {"a": (torch.rand(3, 5, 2, 2, 2) < 0.4).float(), "b": (torch.rand(3, 5, 7) < 0.2).float()}
    found = Distances()
    for name, train in spikes.items():
        found[name] = train
    found.read(found.sums)
    for name, train in spikes.items():
        codes = train.flatten(2)
        pairs = [(codes[:, i] - codes[:, j]).abs().sum() / 3 for i, j in itertools.product(range(5), repeat=2)]
        assert found.total[name] == pytest.approx(float(sum(pairs)))
        assert found.share[name] == pytest.approx(found.total[name] / (codes.shape[2] * 5 * 4))
        assert found.firing[name] == pytest.approx(float(train.mean()))
    assert sum(found.total.values()) / 2 == pytest.approx(proxies.rdm(list(spikes.values())))


def scored(name: str, batch: torch.Tensor, **options) -> rdm.Fitness:
    sizes = config(channels=3)
    return RdmScorer(sizes, [batch], **{"seed": 5, **options})([genome(sizes, name)])[0]


def test_the_fitness_is_the_mean_over_batches_of_the_same_network() -> None:
    batches = [torch.rand(6, 1, 8, 8) for _ in range(2)]
    sizes = config(channels=3)
    both = RdmScorer(sizes, batches, seed=5)([genome(sizes, "LI")])[0]
    single = [scored("LI", batch) for batch in batches]
    assert both.value == pytest.approx((single[0].value + single[1].value) / 2)
    assert both.total == pytest.approx((single[0].total + single[1].total) / 2)
    assert 0 < both.value < 0.55
    assert scored("LI", batches[0], measure="total").value == single[0].total
    assert single[0] == scored("LI", batches[0])
    assert single[0] != scored("LI", batches[0], seed=6)
    assert single[0].silent_layers == 0


def test_equal_samples_are_refused() -> None:
    found = scored("FE", torch.rand(1, 1, 8, 8).expand(4, -1, -1, -1).contiguous())
    assert found.total == 0
    assert found.value == -math.inf
    assert "same for all 4 samples" in found.refusal
    assert set(found.constant) == set(found.firing)


def test_a_dead_network_is_refused_though_its_sum_is_higher(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(MseNetwork):
        """Loud, and nothing reaches the head."""

        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            torch.nn.init.constant_(self.layer("head_bn").bias, -100.0)
            torch.nn.init.constant_(self.layer("stem_bn").bias, 0.5)

    batch = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    living = scored("FI", batch)
    monkeypatch.setattr(rdm, "MseNetwork", Dead)
    dead = scored("FI", batch)
    assert dead.total > living.total
    assert dead.value < living.value
    assert dead.silent_layers == 1
    assert dead.constant == ("head_lif",)
