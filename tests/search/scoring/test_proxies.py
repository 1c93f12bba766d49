import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.search.scoring.proxies import sahd, sahd_kernel


def naive_kernel(codes: np.ndarray) -> np.ndarray:
    """The definition, pair by pair; codes: 0/1 (T, B, N)."""
    codes = codes.astype(np.float64)
    steps, batch, neurons = codes.shape
    kernel = np.zeros((batch, batch))
    for t in range(steps):
        for i in range(batch):
            for j in range(batch):
                a, b = codes[t, i], codes[t, j]
                expected = neurons * (a.mean() * (1 - b.mean()) + (1 - a.mean()) * b.mean())
                hamming = float((a != b).sum())
                kernel[i, j] += neurons - (neurons / 2 * hamming / expected if expected else 0.0)
    return kernel


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(2, 6), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_kernel_against_the_double_loop(steps: int, batch: int, neurons: int, rate: float, seed: int) -> None:
    codes = (np.random.default_rng(seed).random((steps, batch, neurons)) < rate).astype(np.float32)
    kernel = sahd_kernel(torch.from_numpy(codes).reshape(steps, batch, neurons, 1, 1))
    assert kernel.dtype == torch.float64
    np.testing.assert_allclose(kernel.numpy(), naive_kernel(codes), rtol=1e-12, atol=1e-12)


def test_score_sums_over_populations_and_reports_firing() -> None:
    rng = np.random.default_rng(0)
    trains = {
        name: (rng.random((3, 5, n)) < rate).astype(np.float32) for name, n, rate in (("a", 30, 0.2), ("b", 9, 0.5))
    }
    trains["quiet"] = np.zeros((3, 5, 7), np.float32)
    score = sahd({name: torch.from_numpy(train) for name, train in trains.items()})
    expected = np.linalg.slogdet(sum(naive_kernel(train) for train in trains.values()))[1]
    assert score.value == pytest.approx(expected, rel=1e-12)
    assert score.silent_layers == 1
    assert score.firing == pytest.approx({name: float(train.mean(dtype=np.float64)) for name, train in trains.items()})


def test_wide_layers_keep_their_signal() -> None:
    """At N = 2^18 the distances must survive: float32 around N would round them to multiples of 1/64 and more."""
    codes = (np.random.default_rng(1).random((1, 4, 2**18)) < 0.05).astype(np.float32)
    kernel = sahd_kernel(torch.from_numpy(codes)).numpy()
    np.testing.assert_allclose(kernel, naive_kernel(codes.astype(np.float64)), rtol=1e-14)
    assert len(np.unique(kernel[np.triu_indices(4, 1)])) == 6


def test_singular_kernels_score_minus_infinity() -> None:
    silent = {"a": torch.zeros(2, 4, 8)}
    assert sahd(silent).value == -math.inf
    assert sahd(silent).silent_layers == 1
    twins = (torch.rand(2, 1, 64) < 0.3).float().repeat(1, 2, 1)
    assert sahd({"a": twins}).value == -math.inf
