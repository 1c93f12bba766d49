import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.network import Network
from snnas.search.scoring.supernet import Supernet, remaining

CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=3, channels=4, hidden=16, votes=2, timesteps=3)
X = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def config_of(name: str) -> NetworkConfig:
    return NetworkConfig(
        **{**{f: getattr(CONFIG, f) for f in CONFIG.__slots__}, "reduction": space.get(name).reduction}
    )


@pytest.mark.parametrize("name", space.names)
@pytest.mark.parametrize("backward", [False, True])
def test_one_operation_per_edge_is_the_network(name: str, backward: bool) -> None:
    chosen = space.get(name)
    supernet = Supernet(chosen, config_of(name), backward=backward, seed=1)
    weights = supernet.state_dict()
    for seed in range(4):
        genotype = chosen.random_genotype(np.random.default_rng(seed), backward=backward)
        network = Network(genotype, config_of(name))
        own = network.state_dict()
        network.load_state_dict({key: weights.get(key, value) for key, value in own.items()})
        # The first training batch normalises by the batch, step by step in recurrent cells, as the supernet does.
        network.train()
        mine: dict[str, torch.Tensor] = {}
        theirs: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            logits = network(X, spikes=mine)
            expected = supernet(X, {edge: (op,) for edge, op in genotype.cells[0].ops().items()}, spikes=theirs)
        assert mine.keys() == theirs.keys()
        if genotype.has_backward:
            # StepwiseBatchNorm orders the arithmetic in its own way: a neuron on the threshold may differ.
            assert all(float((mine[key] != theirs[key]).float().mean()) < 0.01 for key in mine)
        else:
            assert all(torch.equal(mine[key], theirs[key]) for key in mine)
            assert torch.equal(logits, expected)


def test_scoring_leaves_nothing_behind() -> None:
    chosen = space.get("lightsnn")
    supernet = Supernet(chosen, CONFIG, backward=True, seed=0)
    everything = {edge: chosen.ops for edge in chosen.edges(backward=True)}
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    first = supernet.score(X, everything)
    supernet.score(X.flip(0), {edge: ("conv3x3",) for edge in everything})
    assert supernet.score(X, everything) == first
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in supernet.modules())
    assert all(rate > 0 for rate in first.firing.values())
    assert first.silent_layers == 0


def test_weights_come_from_the_seed_alone() -> None:
    chosen = space.get("lightsnn")
    torch.manual_seed(5)
    one = Supernet(chosen, CONFIG, seed=3)
    draw = torch.rand(1)
    torch.manual_seed(6)
    two = Supernet(chosen, CONFIG, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), draw)


def test_dead_ends_are_not_computed() -> None:
    assert remaining({(0, 1): ("zeroize", "conv3x3"), (0, 3): ("skip", "conv3x3"), (2, 3): ("skip",)}) == {
        (0, 3): ("skip", "conv3x3")
    }
    supernet = Supernet(space.get("lightsnn"), CONFIG)
    with pytest.raises(UsageError, match="no path"):
        supernet(X, {(0, 1): ("skip",)})
