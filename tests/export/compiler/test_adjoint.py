"""Maps backwards are the maps: the matrix that the adjoint gives is the one that running the identity gives."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from snnas.export.compiler.adjoint import matrix_of, spread_pool
from snnas.export.compiler.paths import _unpool, as_map
from snnas.hw_sim.linear import apply, sum_pool
from snnas.hw_sim.program import LinearMap, Pool, Shape

MAPS = {
    "conv": (dict(stride=(1, 1), pad=(1, 1)), (4, 3, 3, 3)),
    "strided": (dict(stride=(2, 3), pad=(0, 1)), (4, 3, 3, 2)),
    "groups": (dict(stride=(1, 2), pad=(1, 0), groups=3), (6, 1, 2, 3)),
    "pools before": (dict(pad=(1, 1), pre=(Pool((2, 2), (2, 2), (0, 0)), Pool((2, 1), (1, 1), (1, 0)))), (2, 3, 3, 3)),
    "pools behind": (dict(pad=(1, 1), post=(Pool((3, 2), (2, 1), (1, 1)), Pool((2, 2), (1, 2), (0, 0)))), (2, 3, 3, 3)),
}


def forwards(linear: LinearMap, source: Shape, target: Shape) -> np.ndarray:
    """The map of each unit vector."""
    size = int(np.prod(source))
    return apply(linear, np.eye(size).reshape(size, *source), target).reshape(size, -1).T


@pytest.mark.parametrize("name", MAPS)
def test_a_convolution_multiplied_out(name: str) -> None:
    options, shape = MAPS[name]
    rng = np.random.default_rng(1)
    kind = "pooled_conv" if {"pre", "post"} & set(options) else "conv"
    linear = LinearMap(kind=kind, weight=rng.integers(-9, 9, shape).astype(np.float64), **options)  # type: ignore[arg-type]
    source = (3, 9, 8)
    target = linear.out_shape(source)
    assert target is not None
    assert np.array_equal(matrix_of(linear, source, target), forwards(linear, source, target))


def test_a_sparse_map_multiplied_out() -> None:
    rng = np.random.default_rng(2)
    matrix = rng.integers(1, 9, (70, 24)) * (rng.random((70, 24)) < 0.1).astype(np.float64)
    linear = as_map(matrix)
    assert linear is not None
    assert linear.kind == "sparse"
    assert np.array_equal(matrix_of(linear, (6, 2, 2), (70, 1, 1)), matrix)


def test_weights_behind_a_pool_are_the_pool_and_the_weights() -> None:
    rng = np.random.default_rng(3)
    pools = [Pool((3, 2), (2, 2), (1, 0)), Pool((2, 2), (1, 2), (0, 1))]
    x = rng.integers(0, 2, (5, 2, 9, 8)).astype(np.float64)
    pooled = sum_pool(sum_pool(x, pools[0]), pools[1])
    weight = rng.integers(-5, 5, (4, pooled[0].size)).astype(np.float64)
    whole = _unpool(weight, (2, 9, 8), pools)
    assert np.array_equal(x.reshape(5, -1) @ whole.T, pooled.reshape(5, -1) @ weight.T)


def test_a_wide_pool_takes_the_memory_of_its_weights() -> None:
    """The identity of its 40,000 neurons would be 12.8 GB."""
    weight = np.ones((10, 50 * 50))
    tracemalloc.start()
    try:
        whole = _unpool(weight, (1, 200, 200), [Pool((4, 4), (4, 4), (0, 0))])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert whole.shape == (10, 40_000)
    assert peak < 10 * whole.nbytes
    assert (spread_pool(np.ones((1, 1, 2, 2)), Pool((2, 2), (2, 2), (0, 0)), (5, 5))[..., 4] == 0).all()
