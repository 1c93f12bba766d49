"""Sums of weights by sign against the whole matrix, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler import signed_sums as module
from snnas.export.compiler.signed_sums import of_ones, signed_sums
from snnas.hw_sim.program import LinearMap, Pool
from tests.programs import Builder
from tests.studies.adversary import weights_of

pools = st.tuples(*[st.builds(lambda k, s, p: (k, s, min(p, k - 1)), *[st.integers(1, 3)] * 2, st.integers(0, 2))] * 2)


def pool_of(both: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Pool:
    return Pool(*zip(*both, strict=True))


@settings(max_examples=60, derandomize=True)
@given(
    pre=st.lists(pools, max_size=2),
    post=st.lists(pools, max_size=2),
    groups=st.sampled_from([1, 2]),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    seed=st.integers(0, 1000),
)
def test_convolutions_with_pools(
    pre: list[object], post: list[object], groups: int, stride: tuple[int, int], pad: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    source = (4, 7, 5)
    linear = LinearMap(
        kind="pooled_conv" if pre or post else "conv",
        weight=rng.integers(-9, 9, (6, 4 // groups, 3, 2)).astype(np.int8),
        stride=stride,
        pad=pad,
        groups=groups,
        pre=tuple(pool_of(p) for p in pre),  # type: ignore[arg-type]
        post=tuple(pool_of(p) for p in post),  # type: ignore[arg-type]
    )
    try:
        target = linear.out_shape(source)
    except ValueError:
        return  # nothing is left of so small an image
    rows = weights_of(linear, source, target, np.arange(int(np.prod(target))))
    low, high = signed_sums(linear, source, target)
    assert (low.reshape(-1) == np.minimum(rows, 0).sum(axis=1)).all()
    assert (high.reshape(-1) == np.maximum(rows, 0).sum(axis=1)).all()


@pytest.mark.parametrize("seed", range(6))
def test_every_kind_of_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = (3, 6, 4), (2, 6, 4)
    linear = Builder(rng, input_shape=source).random_map(source, target)
    rows = weights_of(linear, source, target, np.arange(48))
    low, high = signed_sums(linear, source, target)
    assert (low.reshape(-1) == np.minimum(rows, 0).sum(axis=1)).all()
    assert (high.reshape(-1) == np.maximum(rows, 0).sum(axis=1)).all()


def test_what_is_too_large_to_lay_out_is_bounded_factor_by_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool((3, 3), (1, 1), (1, 1))
    weight = np.random.default_rng(0).integers(-9, 9, (2, 3, 3, 3)).astype(np.int8)
    linear = LinearMap(kind="pooled_conv", weight=weight, pad=(1, 1), pre=(pool,))
    low, high = signed_sums(linear, (3, 6, 6), (2, 6, 6))
    monkeypatch.setattr(module, "LARGEST", 1)
    looser = signed_sums(linear, (3, 6, 6), (2, 6, 6))
    assert (looser[0] <= low).all()
    assert (looser[1] >= high).all()
    assert (looser[1] == of_ones(linear, np.maximum(weight, 0).astype(float), (3, 6, 6), (2, 6, 6))).all()
    assert (looser[1] > high).any()
