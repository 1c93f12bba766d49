"""Running statistics that are right after the first batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from snnas.search.mse_nas.modules import PositiveBatchNorm2d
from snnas.search.network.batch_norm import BatchNorm, StepwiseBatchNorm
from snnas.toolchain.training.statistics import measure_statistics

CHANNELS = 3


def batches(count: int, scale: float = 1e-3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * (1 + torch.randn(8, CHANNELS, 5, 5, generator=generator)) for _ in range(count)]


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x.mean((0, 2, 3)), x.var((0, 2, 3), correction=1)


@pytest.mark.parametrize("kind", [BatchNorm, PositiveBatchNorm2d])
def test_the_first_batch_replaces_what_was_there(kind: type[BatchNorm]) -> None:
    norm, [x] = kind(CHANNELS), batches(1)
    norm(x)
    for found, expected in zip((norm.running_mean, norm.running_var), moments(x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("momentum", "count"), [(0.1, 3), (0.1, 15), (None, 4), (0.5, 4), (0.0, 3)])
def test_batch_n_moves_them_by_the_larger_of_momentum_and_its_share(momentum: float | None, count: int) -> None:
    norm = BatchNorm(CHANNELS)
    norm.momentum = momentum
    mean, var = torch.zeros(CHANNELS), torch.ones(CHANNELS)
    for n, x in enumerate(batches(count), start=1):
        norm(x)
        rate = 1 / n if momentum is None else max(momentum, 1 / n) if momentum else 0.0
        mean, var = (a + rate * (b - a) for a, b in zip((mean, var), moments(x), strict=True))
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)
    assert int(norm.num_batches_tracked or 0) == count


def test_what_it_gives_is_torchs() -> None:
    ours, theirs = BatchNorm(CHANNELS), nn.BatchNorm2d(CHANNELS)
    for x in batches(12):
        assert torch.equal(ours(x), theirs(x))
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_a_network_that_is_loaded_or_copied_goes_on_counting() -> None:
    norm, other = BatchNorm(CHANNELS), BatchNorm(CHANNELS)
    for x in batches(20):
        norm(x)
    other(batches(1, scale=5.0)[0])
    other.load_state_dict(norm.state_dict())
    twin = copy.deepcopy(norm)
    [x] = batches(1, scale=7.0)
    for each in (norm, other, twin):
        each(x)
    assert torch.equal(norm.running_var, other.running_var)  # type: ignore[arg-type]
    assert torch.equal(norm.running_var, twin.running_var)  # type: ignore[arg-type]
    assert not torch.allclose(norm.running_var, moments(x)[1])  # type: ignore[arg-type]


def test_measured_statistics_are_those_of_the_samples() -> None:
    x = torch.cat(batches(8))
    norm = BatchNorm(CHANNELS)
    norm(100 * x)
    weights = norm.weight.clone()
    assert measure_statistics(nn.Sequential(norm, nn.Dropout(0.5)), x, unit=1, batch=len(x))
    for found, expected in zip((norm.running_mean, norm.running_var), moments(x), strict=True):
        torch.testing.assert_close(found, expected)
    assert norm.momentum == 0.1
    assert torch.equal(norm.weight, weights)
    assert not measure_statistics(nn.Flatten(), x, unit=1, batch=8)


def test_measured_statistics_of_a_stepwise_norm() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = StepwiseBatchNorm(CHANNELS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.norm.begin()
            steps = [self.norm(x * t) for t in range(3)]
            self.norm.commit()
            return torch.stack(steps)

    x = torch.cat(batches(4))
    network = Steps()
    measure_statistics(network, x, unit=1, batch=len(x))
    everything = torch.cat([x * t for t in range(3)])
    torch.testing.assert_close(network.norm.running_mean, everything.mean((0, 2, 3)))
    torch.testing.assert_close(network.norm.running_var, everything.var((0, 2, 3), correction=0))


@pytest.mark.parametrize("kind", [BatchNorm, StepwiseBatchNorm])
def test_what_autocast_made_bfloat16_is_normalised_in_float32(kind: type[BatchNorm]) -> None:
    x = torch.randn(8, 4, 5, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    cast, exact = kind(4).train(), kind(4).train()
    with torch.autocast("cpu", torch.bfloat16):
        found = cast(x)
    expected = exact(x.float())
    for norm in (cast, exact):
        if isinstance(norm, StepwiseBatchNorm):
            norm.commit()
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert cast.running_var is not None
    assert torch.equal(cast.running_var, exact.running_var)
    assert not torch.equal(cast.running_var, torch.ones(4))
