"""Linear maps against torch in float64, and fan-out against the maps' unrolled matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.linear import apply, convolve, fan_out, pad_hw, sum_pool
from snnas.hw_sim.program import LinearMap, Pool, Shape

seeds = st.integers(0, 2**32 - 1)


def pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    a, b = rng.integers(low, high + 1, 2)
    return int(a), int(b)


def random_pool(rng: np.random.Generator) -> Pool:
    """Strides beyond the window leave points out; torch's padding ends at half the window."""
    kernel = pair(rng, 1, 3)
    return Pool(
        kernel, pair(rng, 1, 4), (int(rng.integers(0, kernel[0] // 2 + 1)), int(rng.integers(0, kernel[1] // 2 + 1)))
    )


def random_conv(rng: np.random.Generator, *, pooled: bool) -> tuple[LinearMap, Shape]:
    """Any geometry, odd sizes and unequal axes, whose output is not empty; and its input's shape."""
    while True:
        groups, (into, out) = int(rng.integers(1, 4)), pair(rng, 1, 3)
        made = LinearMap(
            kind="pooled_conv" if pooled else "conv",
            weight=rng.integers(-128, 128, (groups * out, into, *pair(rng, 1, 4))).astype(np.int8),
            stride=pair(rng, 1, 3),
            pad=pair(rng, 0, 3),
            groups=groups,
            pre=tuple(random_pool(rng) for _ in range(rng.integers(0, 3))) if pooled else (),
            post=tuple(random_pool(rng) for _ in range(rng.integers(0, 2))) if pooled else (),
        )
        shape = (groups * into, *pair(rng, 1, 8))
        if leaves_something(made, shape):
            return made, shape


def leaves_something(linear: LinearMap, shape: Shape) -> bool:
    """Whether each pool and the convolution, one after the other, have an output."""
    try:
        for step in (*linear.pre, replace(linear, pre=(), post=()), *linear.post):
            shape = step.out_shape(shape)
            if min(shape) < 1:
                return False
    except ValueError:
        return False
    return True


def random_sparse(rng: np.random.Generator, rows: int, columns: int) -> tuple[LinearMap, np.ndarray]:
    """A sparse map and its matrix; rows may be empty, and one weight may be stored in two parts."""
    filled = rng.random((rows, columns)) < rng.choice([0.1, 0.5])
    filled[rng.integers(rows), rng.integers(columns)] = True
    row, column = np.nonzero(filled)
    again = rng.random(len(row)) < 0.1
    order = np.sort(np.concatenate([np.arange(len(row)), np.flatnonzero(again)]))
    row, column = row[order], column[order]
    weight = rng.integers(-128, 128, len(row)).astype(np.int8)
    matrix = np.zeros((rows, columns))
    np.add.at(matrix, (row, column), weight)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int32)
    return LinearMap(kind="sparse", weight=weight, indices=column.astype(np.int32), indptr=indptr), matrix


def in_torch(linear: LinearMap, x: np.ndarray) -> np.ndarray:
    torch: Any = pytest.importorskip("torch")
    functional = torch.nn.functional

    def pool(y: Any, p: Pool) -> Any:
        return functional.avg_pool2d(y, p.kernel, p.stride, p.pad, divisor_override=1)

    y = torch.from_numpy(x.astype(np.float64))
    for p in linear.pre:
        y = pool(y, p)
    weight = torch.from_numpy(linear.weight.astype(np.float64))
    y = functional.conv2d(y, weight, None, linear.stride, linear.pad, 1, linear.groups)
    for p in linear.post:
        y = pool(y, p)
    return np.asarray(y)


def unroll(linear: LinearMap, shape: Shape, out: Shape) -> np.ndarray:
    """(targets, sources): the map of every source neuron's spike, one by one."""
    n = int(np.prod(shape))
    return np.stack([apply(linear, row.reshape(1, *shape), out).ravel() for row in np.eye(n)], axis=1)


@settings(max_examples=60)
@given(seed=seeds, pooled=st.booleans())
def test_convolutions_and_pools_equal_torch(seed: int, pooled: bool) -> None:
    rng = np.random.default_rng(seed)
    linear, shape = random_conv(rng, pooled=pooled)
    out = linear.out_shape(shape)
    spikes = rng.random((2, *shape)) < 0.4
    got, expected = apply(linear, spikes, out), in_torch(linear, spikes)
    assert got.shape == expected.shape == (2, *out)
    assert got.dtype == np.float64
    assert np.array_equal(got, expected)  # integers: exact in any order of summation
    real = replace(linear, weight=rng.normal(size=linear.weight.shape).astype(np.float32))
    x = rng.normal(size=(2, *shape))
    np.testing.assert_allclose(apply(real, x, out), in_torch(real, x), rtol=1e-12, atol=1e-11)


@settings(max_examples=40)
@given(seed=seeds)
def test_sum_pools_alone_equal_torch(seed: int) -> None:
    torch: Any = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    pool, shape = random_pool(rng), (3, *pair(rng, 3, 8))
    x = rng.integers(-9, 9, (2, *shape)).astype(np.float64)
    got = sum_pool(x, pool)
    assert got.shape == (2, *pool.out_shape(shape))
    average = torch.nn.functional.avg_pool2d(torch.from_numpy(x), pool.kernel, pool.stride, pool.pad)
    np.testing.assert_allclose(got / np.prod(pool.kernel), np.asarray(average), rtol=1e-13, atol=1e-13)


@settings(max_examples=60)
@given(seed=seeds)
def test_dense_and_sparse_maps_are_their_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape: Shape = (int(rng.integers(1, 4)), *pair(rng, 1, 4))
    target: Shape = (int(rng.integers(1, 4)), *pair(rng, 1, 3))
    n, m = int(np.prod(shape)), int(np.prod(target))
    x = rng.integers(0, 2, (3, *shape))
    weight = rng.integers(-128, 128, (m, n)).astype(np.int8)
    dense = LinearMap(kind="dense", weight=weight)
    sparse, matrix = random_sparse(rng, m, n)
    for linear, expected in ((dense, weight.astype(np.int64)), (sparse, matrix)):
        assert linear.out_shape(shape) == (m, 1, 1)
        assert np.array_equal(apply(linear, x, target), (x.reshape(3, n) @ expected.T).reshape(3, *target))


def test_sparse_rows_that_are_empty_give_zero() -> None:
    """At both ends and in a row: np.add.reduceat would repeat a neighbour there."""
    linear = LinearMap(
        kind="sparse",
        weight=np.array([3, -5, 7], dtype=np.int8),
        indices=np.array([1, 0, 1], dtype=np.int32),
        indptr=np.array([0, 0, 1, 1, 1, 3, 3], dtype=np.int32),
    )
    x = np.array([[1, 2], [0, 1]]).reshape(2, 2, 1, 1)
    assert apply(linear, x, (6, 1, 1)).reshape(2, 6).tolist() == [[0, 6, 0, 0, 9, 0], [0, 3, 0, 0, 7, 0]]
    assert fan_out(linear, (2, 1, 1)).ravel().tolist() == [1, 2]


@settings(max_examples=60)
@given(seed=seeds, kind=st.sampled_from(["conv", "pooled_conv", "dense", "sparse"]))
def test_fan_out_counts_the_unrolled_connections(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    if kind in ("conv", "pooled_conv"):
        linear, shape = random_conv(rng, pooled=kind == "pooled_conv")
    else:
        shape = (2, *pair(rng, 1, 4))
        n = int(np.prod(shape))
        full = LinearMap(kind="dense", weight=np.zeros((5, n), dtype=np.int8))
        linear = full if kind == "dense" else random_sparse(rng, 5, n)[0]
    ones = replace(linear, weight=np.ones_like(linear.weight))
    unrolled = unroll(ones, shape, linear.out_shape(shape))
    joins = unrolled if kind == "sparse" else unrolled > 0  # an entry stored twice is two synapses
    expected = joins.sum(axis=0)
    got = fan_out(replace(linear, weight=np.zeros_like(linear.weight)), shape)  # zero weights are synapses too
    assert got.dtype == np.int64
    assert np.array_equal(got, expected.reshape(shape))


@settings(max_examples=30)
@given(seed=seeds)
def test_a_grouped_convolution_is_several(seed: int) -> None:
    rng = np.random.default_rng(seed)
    linear, shape = random_conv(rng, pooled=False)
    x = rng.random((2, *shape))
    weight = linear.weight.astype(np.float64)
    parts = [
        convolve(part, w, linear.stride, linear.pad)
        for part, w in zip(np.split(x, linear.groups, axis=1), np.split(weight, linear.groups), strict=True)
    ]
    whole = convolve(x, weight, linear.stride, linear.pad, linear.groups)
    np.testing.assert_allclose(whole, np.concatenate(parts, axis=1), rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("cells", [1, 200, 1 << 22])
def test_a_convolution_by_pieces_is_the_whole(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, weight = (
        rng.integers(-9, 9, (7, 3, 6, 5)).astype(np.float64),
        rng.integers(-9, 9, (4, 3, 3, 2)).astype(np.float64),
    )
    monkeypatch.setattr("snnas.hw_sim.linear.COLUMNS", 1)
    monkeypatch.setattr("snnas.hw_sim.linear.COLUMN_BYTES", cells * 8 * 18)  # 1: a sample; 200: several, and a rest
    found = convolve(x, weight, (2, 1), (1, 0))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    assert found.shape == (7, 4, 3, 4)
    for b, o, r, c in np.ndindex(found.shape):
        assert found[b, o, r, c] == (padded[b, :, 2 * r : 2 * r + 3, c : c + 2] * weight[o]).sum()


def test_padding_adds_zeros_and_none_is_free() -> None:
    x = np.ones((1, 1, 2, 2))
    assert pad_hw(x, (0, 0)) is x
    padded = pad_hw(x, (1, 0))
    assert padded.shape == (1, 1, 4, 2)
    assert padded.sum() == 4
    assert padded[0, 0, 0].tolist() == [0, 0]
