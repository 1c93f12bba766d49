import math

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.space import Space
from snnas.search.scoring import folded
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.proxies import sahd_kernel
from snnas.search.scoring.sharing import WHOLE, Plan
from snnas.search.scoring.supernet import Supernet, remaining

# Spikes agree bit for bit (tests below), so only the order of float64 sums is left: 1e-13 was measured.
TOLERANCE = 1e-6
X = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def supernet(name: str, *, backward: bool, seed: int = 1, **sizes) -> Supernet:
    chosen = space.get(name)
    plain = {"input_shape": (1, 8, 8), "classes": 3, "channels": 4, "hidden": 16, "votes": 2, "timesteps": 3, **sizes}
    return Supernet(chosen, NetworkConfig(reduction=chosen.reduction, **plain), backward=backward, seed=seed)


def random_masks(chosen: Space, count: int, seed: int, *, backward: bool, keep: float) -> list[dict]:
    """Candidates with a path, of one to all operations per edge."""
    rng = np.random.default_rng(seed)
    masks: list[dict] = []
    while len(masks) < count:
        mask = {}
        for edge in chosen.edges(backward=backward):
            some = tuple(op for op in chosen.ops if rng.random() < keep)
            mask[edge] = some or (chosen.ops[int(rng.integers(len(chosen.ops)))],)
        if remaining(mask):
            masks.append(mask)
    return masks


def first_round(chosen: Space, *, backward: bool) -> list[dict]:
    full = {edge: chosen.ops for edge in chosen.edges(backward=backward)}
    return [{**full, edge: tuple(o for o in chosen.ops if o != op)} for edge in full for op in chosen.ops]


def check_equal(net: Supernet, masks: list[dict], x: torch.Tensor = X, **options) -> None:
    expected = [net.score(x, mask) for mask in masks]
    found = BatchedScorer(net, x, **options)(masks)
    values, wanted = np.array([s.value for s in found]), np.array([s.value for s in expected])
    np.testing.assert_allclose(values, wanted, rtol=0, atol=TOLERANCE)
    # Equal scores may be ordered either way; different ones keep their order. Singular kernels are last.
    values, wanted = np.maximum(values, -1e9), np.maximum(wanted, -1e9)
    apart = np.abs(wanted[:, None] - wanted) > 2 * TOLERANCE
    assert np.array_equal((values[:, None] > values)[apart], (wanted[:, None] > wanted)[apart])
    for one, other in zip(found, expected, strict=True):
        assert list(one.firing) == list(other.firing)
        assert one.firing == pytest.approx(other.firing, abs=1e-12)


@pytest.mark.parametrize("name", space.names)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.6])
def test_random_masks_score_as_each_alone(name: str, backward: bool, keep: float) -> None:
    net = supernet(name, backward=backward)
    check_equal(net, random_masks(space.get(name), 9, 3, backward=backward, keep=keep))


@pytest.mark.parametrize("backward", [False, True])
def test_a_round_of_pruning_at_other_sizes(backward: bool) -> None:
    net = supernet("lightsnn", backward=backward, channels=3, input_shape=(2, 9, 7), timesteps=4)
    x = torch.rand(6, 4, 2, 9, 7, generator=torch.Generator().manual_seed(1))
    check_equal(net, first_round(space.get("lightsnn"), backward=backward)[:20], x)


def test_affine_norms_and_a_silent_start() -> None:
    """A BN with a shift sends a current at t = 0, where no delayed spike has come."""
    net = supernet("lightsnn", backward=True)
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, 0.2, generator=generator)
            torch.nn.init.normal_(module.bias, 0.0, 0.3, generator=generator)
    check_equal(net, random_masks(space.get("lightsnn"), 12, 5, backward=True, keep=0.6))


def test_nodes_that_only_a_backward_edge_feeds() -> None:
    net = supernet("lightsnn", backward=True)
    mask = {(0, 3): ("conv3x3",), (3, 1): ("skip",), (1, 2): ("skip", "conv3x3"), (2, 3): ("conv3x3",)}
    assert (1, 2) in remaining(mask)
    check_equal(net, [mask, {**mask, (3, 1): ("conv3x3",)}, {(0, 3): ("skip", "conv3x3")}])


def test_dead_networks_score_the_same() -> None:
    net = supernet("lightsnn", backward=False, threshold=50.0)
    found = BatchedScorer(net, X)(first_round(space.get("lightsnn"), backward=False)[:4])
    assert all(score.value == -math.inf and score.silent_layers == len(score.firing) for score in found)


@pytest.mark.parametrize("backward", [False, True])
def test_a_score_does_not_depend_on_its_company_or_on_chunks(backward: bool) -> None:
    chosen = space.get("lightsnn")
    net = supernet("lightsnn", backward=backward)
    masks = random_masks(chosen, 9, 7, backward=backward, keep=0.7) + first_round(chosen, backward=False)[:6]
    expected = BatchedScorer(net, X)(masks)
    for options in ({"tile": 1}, {"tile": 4}, {"memory": 1}, {"memory": 1 << 20, "tile": 3}):
        assert BatchedScorer(net, X, **options)(masks) == expected
    scorer = BatchedScorer(net, X)
    assert [scorer([mask])[0] for mask in masks] == expected
    assert scorer(masks[::-1]) == expected[::-1]


def test_memory_is_bounded_and_given_back() -> None:
    net = supernet("lightsnn", backward=True)
    masks = first_round(space.get("lightsnn"), backward=True)
    small, large = BatchedScorer(net, X, memory=1), BatchedScorer(net, X)
    assert (small.block, small.tile) == (1, 1) or small.block == 1
    assert large.block > len(masks)
    assert [s.value for s in small(masks[:5])] == [s.value for s in large(masks[:5])]


def test_kernels_count_once_per_operation_where_asked_for() -> None:
    net = supernet("lightsnn", backward=True)
    mask = {(0, 1): ("conv3x3",), (0, 2): ("conv3x3",), (1, 3): ("skip",), (2, 3): ("skip",), (3, 0): ("skip",)}
    spikes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        net(X, mask, spikes=spikes)
    readers = {name: 2 if name.endswith("n0_lif") else 1 for name in spikes}
    kernel = sum(readers[name] * sahd_kernel(train) for name, train in spikes.items())
    (score,) = BatchedScorer(net, X, per_operation=True)([mask])
    assert score.value == pytest.approx(float(torch.linalg.slogdet(kernel)[1]), abs=TOLERANCE)


def test_no_path_is_refused() -> None:
    net = supernet("lightsnn", backward=False)
    with pytest.raises(UsageError, match="candidate 1 has no path"):
        BatchedScorer(net, X)([{(0, 3): ("skip",)}, {(0, 1): ("skip",)}])


def test_a_round_computes_what_differs_once() -> None:
    masks = first_round(space.get("lightsnn"), backward=False)
    plan = Plan([[remaining(mask)] * 2 for mask in masks], timesteps=5)
    counts = [
        [sum((v.cell, v.node) == (cell, node) for v in plan.values.values()) for node in range(4)] for cell in (1, 2)
    ]
    # Without zeroize, skip or convolution: 1 + 2 per edge that feeds the node, or a node before it.
    assert counts == [[1, 3, 7, 13], [13, 13, 13, 13]]
    assert all(value.number == WHOLE for value in plan.values.values())
    assert len(plan.reductions) == 2 * 13
    recurrent = Plan([[remaining(m)] for m in first_round(space.get("lightsnn"), backward=True)], timesteps=3)
    steps = [[sum((v.number, v.node) == (t, n) for v in recurrent.values.values()) for n in range(4)] for t in range(3)]
    assert steps == [[1, 3, 7, 13], [19, 23, 25, 25], [25, 25, 25, 25]]


@pytest.mark.parametrize("shape", [(2, 30, 4, 8, 8), (3, 12, 6, 5, 7), (1, 20, 3, 16, 16)])
def test_normalise_is_batch_norm_of_each_row(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(4)
    currents = torch.randn(shape, generator=generator) * 1.7 + 0.3
    gain, shift = torch.rand(shape[2], generator=generator) + 0.5, torch.randn(shape[2], generator=generator)
    found = folded.normalise(currents, gain, shift, 1e-5)
    for row, expected in zip(found, currents, strict=True):
        expected = torch.nn.functional.batch_norm(expected, None, None, gain, shift, True, eps=1e-5)
        torch.testing.assert_close(row, expected, rtol=1e-6, atol=1e-6)


def test_max_pool_leaves_an_odd_border_out() -> None:
    spikes = (torch.rand(2, 3, 4, 7, 9, generator=torch.Generator().manual_seed(5)) < 0.2).float()
    expected = torch.nn.functional.max_pool2d(spikes.flatten(0, 1), 2).unflatten(0, (2, 3))
    assert torch.equal(folded.max_pool(spikes), expected)


# The supernet sums all operations of an edge, so its later nodes fire more than those of any candidate.
RATES = {("lightsnn", False): (0.05, 0.4), ("lightsnn", True): (0.05, 0.7), ("snasnet", False): (0.01, 0.5)}


@pytest.mark.parametrize("name", ["lightsnn", "snasnet"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("channels", [4, 16, 64])
@pytest.mark.parametrize("pixels", [8, 16, 32])
def test_every_layer_of_a_fresh_supernet_fires(name: str, backward: bool, channels: int, pixels: int) -> None:
    net = supernet(name, backward=backward, channels=channels, hidden=64, input_shape=(3, pixels, pixels), timesteps=4)
    samples = 2 if channels * pixels > 1000 else 4
    x = torch.rand(samples, 3, pixels, pixels, generator=torch.Generator().manual_seed(6))
    chosen = space.get(name)
    (score,) = BatchedScorer(net, x)([{edge: chosen.ops for edge in chosen.edges(backward=backward)}])
    low, high = RATES.get((name, backward), (0.05, 0.9))
    assert {layer: rate for layer, rate in score.firing.items() if not low <= rate <= high} == {}


def test_random_candidates_of_a_fresh_supernet_live() -> None:
    """Without backward edges. With them a node may be fed by delayed spikes alone, and stay silent: the next test."""
    chosen, rng = space.get("lightsnn"), np.random.default_rng(0)
    net = supernet("lightsnn", backward=False, channels=8, hidden=64, timesteps=5)
    cells = [chosen.random_genotype(rng).cells[0] for _ in range(40)]
    scores = BatchedScorer(net, X)([{edge: (op,) for edge, op in cell.ops().items()} for cell in cells])
    assert min(min(score.firing.values()) for score in scores) > 0.05


def test_one_delayed_spike_train_cannot_fire_a_neuron() -> None:
    """A current of at most 1 moves the voltage towards 1 and never over it: skip alone from a delayed spike is dead.

    No initialisation of the weights changes this; the guard 'alive' names such a layer.
    """
    _, voltage = folded.fire(torch.ones(1, 50, 1), None, 4 / 3, 1.0 + 1e-6)
    assert 0.99 < float(voltage) <= 1.0
    net = supernet("lightsnn", backward=True)
    (score,) = BatchedScorer(net, X)([{(0, 3): ("conv3x3",), (3, 1): ("skip",), (1, 3): ("conv3x3",)}])
    assert {name for name, rate in score.firing.items() if rate == 0} == {"cell1_n1_lif", "cell2_n1_lif"}


@pytest.mark.parametrize("tile", [1, 3, None])
def test_cells_of_their_own(tile: int | None) -> None:
    """Every pair of feed-forward and recurrent cells, and the same cell twice, which is what all cells share."""
    net = supernet("snasnet", backward=True)
    chosen = space.get("snasnet")
    forward = random_masks(chosen, 3, 1, backward=False, keep=0.5)
    recurrent = random_masks(chosen, 3, 2, backward=True, keep=0.5)
    pairs = [(a, b) for a in forward + recurrent for b in forward[:2] + recurrent[:2]]
    check_equal(net, pairs, tile=tile)
    score = BatchedScorer(net, X)
    assert score([(forward[0], forward[0])]) == score([forward[0]])
    assert score([(forward[0], forward[1])]) != score([(forward[1], forward[0])])


def test_a_candidate_has_as_many_cells_as_the_network() -> None:
    score = BatchedScorer(supernet("lightsnn", backward=False), X)
    mask = random_masks(space.get("lightsnn"), 1, 0, backward=False, keep=0.5)[0]
    with pytest.raises(UsageError, match="candidate 1 has choices for 3 cells, expected one for all, or 2"):
        score([mask, (mask,) * 3])
    with pytest.raises(UsageError, match="candidate 0 has no path"):
        score([(mask, {(0, 1): ("skip",)})])
