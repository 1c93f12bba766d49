import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor
from torch.nn import functional as F

from snnas.hw_sim.errors import UsageError
from snnas.search.network.genotype import FORWARD_EDGES
from snnas.search.scoring.bench_network import (
    THRESHOLDS,
    BenchNetwork,
    BenchSizes,
    ascending_depth,
    convs,
    lif,
    lif_depth,
    parse_ops,
)
from snnas.search.scoring.bench_proxies import (
    METHODS,
    PLAIN,
    PROXIES,
    Observation,
    live_depth,
    mean_depth,
    measure,
)
from snnas.search.scoring.guards import Finding, extent, inspect, no_signal
from snnas.search.scoring.proxies import (
    log_det,
    rdm,
    sahd,
    sahd_kernel,
    temporal_code,
    time_shares,
    unit_log_det,
)

SIZES = BenchSizes(input_shape=(3, 8, 8), channels=3, hidden=8, classes=4, votes=2, timesteps=3)


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.arange(count) % 4


def reference_lif(threshold: float) -> neuron.LIFNode:
    return neuron.LIFNode(
        tau=4 / 3,
        decay_input=True,
        v_threshold=threshold,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )


@pytest.mark.parametrize("threshold", THRESHOLDS.values())
def test_neuron_and_its_gradient_against_spikingjelly(threshold: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(5, 4, 9, generator=generator) for _ in range(2))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    spikes, expected = lif(ours, threshold), reference_lif(threshold)(theirs)
    (spikes * weight).sum().backward()
    (expected * weight).sum().backward()
    assert spikes.detach().sum() > 0
    torch.testing.assert_close(spikes, expected, rtol=0, atol=0)
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def straightforward(net: BenchNetwork, digits: str, x: Tensor) -> Tensor:
    """The data README's skeleton, one LIF per operation, nothing shared."""
    w, steps = net.layer_weights, net.sizes.timesteps

    def norm(z: Tensor) -> Tensor:
        flat = z.flatten(0, 1)
        mean, var = flat.mean((0, 2, 3), keepdim=True), flat.var((0, 2, 3), correction=0, keepdim=True)
        return ((flat - mean) / (var + 1e-5).sqrt()).reshape(z.shape)

    def conv(z: Tensor, name: str) -> Tensor:
        return norm(torch.stack([F.conv2d(step, w[name], padding=1) for step in z]))

    z = conv(torch.stack([x] * steps), "stem")
    for cell in (1, 2):
        nodes: list[Tensor | None] = [z, None, None, None]
        for target in (1, 2, 3):
            for (i, j), op in zip(FORWARD_EDGES, digits, strict=True):
                source = nodes[i]
                name = f"cell{cell}_e{i}{j}"
                if j != target or op == "0" or source is None or (op != "1" and name not in w):
                    continue
                term = source if op == "1" else conv(reference_lif(THRESHOLDS[int(op)])(source), name)
                before = nodes[j]
                nodes[j] = term if before is None else before + term
        assert nodes[3] is not None
        z = reference_lif(1.0)(norm(nodes[3]))
        z = torch.stack([F.avg_pool2d(step, 2) for step in (conv(z, "red1") if cell == 1 else z)])
    out = reference_lif(1.0)(z.flatten(2) @ w["fc1"].T) @ w["fc2"].T
    return out.mean(0).reshape(len(x), -1, net.sizes.votes).mean(2)


@pytest.mark.parametrize("digits", ["324324", "201010", "001000", "243114", "430002", "222012"])
def test_bench_network_against_a_straightforward_one(digits: str) -> None:
    net = BenchNetwork(digits, SIZES, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(net(batch()[0]), straightforward(net, digits, batch()[0]), rtol=1e-4, atol=1e-5)


def test_digits_and_paths() -> None:
    assert parse_ops("430002") == {(0, 2): 3, (2, 3): 2}  # nothing leaves node 1
    assert (convs("430002"), lif_depth("430002")) == (2, 2)
    assert (convs("001000"), lif_depth("001000")) == (0, 0)
    assert (convs("222222"), lif_depth("222222")) == (6, 3)
    assert (parse_ops("440000"), lif_depth("440000")) == ({}, -1)
    ascending = {"200304": 3.4, "400302": 2.6, "222222": 3.0, "430002": 1.8, "004000": 1.0, "001000": 0.0, "440000": -1}
    assert {digits: ascending_depth(digits) for digits in ascending} == pytest.approx(ascending)
    with pytest.raises(UsageError, match="no path"):
        BenchNetwork("440000", SIZES, seed=0)
    for bad in ("12345", "000005", "1234567"):
        with pytest.raises(UsageError, match="six digits"):
            parse_ops(bad)


def test_architectures_share_the_weights_of_a_seed() -> None:
    one, other = BenchNetwork("222222", SIZES, seed=1), BenchNetwork("404404", SIZES, seed=1)
    for name, weight in other.layer_weights.items():
        assert torch.equal(weight, one.layer_weights[name])
    assert not torch.equal(one.layer_weights["stem"], BenchNetwork("222222", SIZES, seed=2).layer_weights["stem"])


def test_sahd_as_mean_and_as_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    spikes = {name: (torch.rand(3, 5, 40, generator=generator) < 0.3).float() for name in "abc"}
    summed, mean = sahd(spikes).value, sahd(spikes, reduction="mean").value
    assert mean == pytest.approx(summed - 5 * math.log(3))
    assert log_det([sahd_kernel(train) for train in spikes.values()]) == summed
    with pytest.raises(UsageError, match="'sum' or 'mean'"):
        sahd(spikes, reduction="max")


trains = st.tuples(st.integers(1, 4), st.integers(2, 5), st.integers(1, 12), st.integers(0, 2**32 - 1)).map(
    lambda s: (np.random.default_rng(s[3]).random(s[:3]) < 0.4).astype(np.float32)
)


@settings(max_examples=30)
@given(trains, trains)
def test_rdm_against_the_double_loop(a: np.ndarray, b: np.ndarray) -> None:
    expected = np.mean(
        [sum(np.abs(x[:, i] - x[:, j]).sum() for i in range(x.shape[1]) for j in range(x.shape[1])) / len(x)
         for x in (a, b)]
    )  # fmt: skip
    assert rdm([torch.from_numpy(a), torch.from_numpy(b)]) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=30)
@given(trains)
def test_time_shares_are_the_two_way_analysis_of_variance(train: np.ndarray) -> None:
    shares = time_shares(torch.from_numpy(train))
    z = train.astype(np.float64)
    grand = z.mean((0, 1), keepdims=True)
    step, sample = z.mean(1, keepdims=True) - grand, z.mean(0, keepdims=True) - grand
    left = z - grand - step - sample
    found = (shares.clock, shares.sample, shares.code)
    assert found == pytest.approx([(part**2).mean() for part in (step, sample, left)], abs=1e-7)


def test_time_proxies_on_plain_cases() -> None:
    generator = torch.Generator().manual_seed(0)
    still = (torch.rand(1, 6, 50, generator=generator) < 0.3).float().expand(4, -1, -1)
    clock = (torch.rand(4, 1, 50, generator=generator) < 0.3).float().expand(-1, 6, -1)
    free = (torch.rand(4, 6, 50, generator=generator) < 0.3).float()
    steady, ticking, loose = map(time_shares, (still, clock, free))
    assert temporal_code([steady]) == pytest.approx(0, abs=1e-6)
    assert temporal_code([ticking]) == pytest.approx(0, abs=1e-6)
    assert temporal_code([steady, loose]) == temporal_code([loose]) > 0.4
    assert temporal_code([]) == temporal_code([time_shares(torch.zeros(4, 6, 5))]) == 0


def test_unit_kernels_give_a_wide_layer_no_louder_vote() -> None:
    generator = torch.Generator().manual_seed(0)
    kernels = [sahd_kernel((torch.rand(2, 6, n, generator=generator) < 0.3).float()) for n in (20, 2000)]
    value = unit_log_det(kernels)
    assert value == pytest.approx(unit_log_det([1000 * kernels[0], kernels[1]]))
    assert abs(log_det(kernels) - log_det([1000 * kernels[0], kernels[1]])) > 1


def test_depths_by_hand() -> None:
    def observed(digits: str) -> Observation:
        return Observation(digits, SIZES, batch(), seed=0)

    assert mean_depth(observed("200202")) == 3
    assert mean_depth(observed("001000")) == 0
    assert mean_depth(observed("201010")) == pytest.approx(0.5)  # a conv beside an identity of equal variance
    assert live_depth(observed("001000")) == 0
    chain = observed("020002")
    alive = [float(tap.spikes.flatten(2).amax((0, 1)).mean()) for name, tap in chain.taps.items() if "cell" in name]
    assert len(alive) == 4
    assert live_depth(chain) == pytest.approx(sum(math.log(4 * share) for share in alive))
    # The dead LIF's path does not count where another one lives.
    dead = observed("024002")
    for cell in (1, 2):
        dead.taps[f"cell{cell}_e02"].spikes.zero_()
        dead.taps[f"cell{cell}_e03"].spikes.fill_(1)
    assert live_depth(dead) == pytest.approx(2 * math.log(4))


def test_every_proxy_is_measured_and_repeats() -> None:
    found = measure("324324", SIZES, batch(), seed=5)
    assert set(found.values) == set(found.seconds) == set(PROXIES)
    assert all(math.isfinite(value) for value in found.values.values())
    assert measure("324324", SIZES, batch(), seed=5).values == found.values
    assert measure("324324", SIZES, batch(), seed=6).values != found.values
    assert {*PLAIN, *METHODS.values()} <= set(PROXIES)
    assert measure("324324", SIZES, batch(), seed=5, names=["sahd_sum"]).values == {
        "sahd_sum": found.values["sahd_sum"]
    }
    skip = measure("001000", SIZES, batch(), seed=5).values
    assert skip["temporal_code"] == skip["convs"] == 0


def test_sahd_counts_a_shared_neuron_once_per_edge() -> None:
    observed = Observation("220002", SIZES, batch(), seed=0)
    assert observed.taps.keys() == {"cell1_e02", "cell1_e23", "red1", "cell2_e02", "cell2_e23", "red2", "head"}
    both = Observation("222002", SIZES, batch(), seed=0)
    assert both.taps["cell1_e02"] is both.taps["cell1_e03"]
    value = sahd({name: tap.spikes for name, tap in both.taps.items()}).value
    assert measure("222002", SIZES, batch(), seed=0).values["sahd_sum"] == pytest.approx(value)


def test_guard_input() -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.rand(1, 4, generator=generator)
    assert "same for all 3 samples" in (no_signal(extent(row.expand(3, -1)), 3) or "")
    assert no_signal(extent(torch.zeros(3, 4)), 3) is not None
    assert no_signal(extent(row.expand(3, -1) * (1 + 1e-8)), 3) is not None
    assert no_signal(extent(torch.rand(3, 4, generator=generator)), 3) is None


def test_guard_constant() -> None:
    live = (torch.rand(2, 3, 20, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    spikes = {"live": live, "silent": torch.zeros(2, 3, 5), "clock": live[:, :1].expand(-1, 3, -1)}
    # What is silent fires nothing alike: it is named elsewhere.
    alike = Finding("constant", "clock fires alike for every sample of the batch")
    assert inspect(torch.rand(3, 4), spikes) == (alike,)
