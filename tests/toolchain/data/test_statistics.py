"""Statistics against counting, and against SciPy."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.search.scoring.ranks import ranks
from snnas.toolchain.data.statistics import (
    balanced_accuracy,
    beyond_an_error,
    beyond_chance,
    bootstrap,
    chance,
    kendall,
    spearman,
    uneven,
    wilson,
)


@pytest.mark.parametrize(("more", "fewer"), [(0, 0), (1, 0), (5, 0), (4, 3), (2, 6), (7, 1)])
def test_chance_is_the_share_of_all_outcomes(more: int, fewer: int) -> None:
    outcomes = [sum(tosses) >= more for tosses in product((0, 1), repeat=more + fewer)]
    assert chance(more, fewer) == sum(outcomes) / len(outcomes)


def test_five_gained_and_none_lost_are_beyond_chance_and_four_are_not() -> None:
    assert beyond_chance(5, 0)
    assert not beyond_chance(4, 0)
    assert not beyond_chance(5, 2)
    assert beyond_chance(42, 3)


def test_a_gain_is_held_against_its_own_error() -> None:
    assert not beyond_an_error(0, 0)
    assert not beyond_an_error(1, 0)
    assert beyond_an_error(2, 0)
    assert not beyond_an_error(10, 6)  # 4 of 16 that differ, whose root is 4
    assert beyond_an_error(11, 6)


@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (1, 1), (3, 7), (360, 360), (0, 360), (331, 360)])
def test_wilson_and_the_sign_test_are_those_of_scipy(hits: int, samples: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    found = stats.binomtest(hits, samples, 0.5, alternative="greater")
    assert chance(hits, samples - hits) == pytest.approx(found.pvalue)
    level = 2 * stats.norm.cdf(1.96) - 1
    interval = stats.binomtest(hits, samples).proportion_ci(level, method="wilson")
    assert wilson(hits, samples) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_bootstrap_is_seeded_and_covers() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for k in range(100):
        values = rng.exponential(2.0, 60)
        low, high = bootstrap(values, seed=k)
        assert (low, high) == bootstrap(values, seed=k)
        inside += low <= 2.0 <= high
    assert 85 <= inside <= 99
    assert bootstrap(np.array([3.0]), seed=0) == (3.0, 3.0)


numbers = st.integers(3, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6), min_size=n, max_size=n) for _ in range(2)])
)


@settings(max_examples=60)
@given(numbers)
def test_ranks_and_their_correlations_by_their_definitions(pair: tuple[list[int], list[int]]) -> None:
    """Ranks by counting, Spearman as Pearson of them, tau-b from all pairs; a constant column ranks nothing."""
    pytest.importorskip("scipy.stats")
    a, b = (np.array(values, dtype=np.float64) for values in pair)
    x, y = (np.array([(v < c).sum() + ((v == c).sum() + 1) / 2 for c in v]) for v in (a, b))
    assert ranks(a).tolist() == x.tolist()
    assert ranks(b).tolist() == y.tolist()
    dx, dy = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    if dx.any() and dy.any():
        assert spearman(a, b) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
        assert kendall(a, b) == pytest.approx((dx * dy).sum() / math.sqrt(abs(dx).sum() * abs(dy).sum()), abs=1e-12)
    else:
        assert spearman(a, b) == kendall(a, b) == 0


def test_a_singular_score_ranks_last() -> None:
    pytest.importorskip("scipy.stats")
    assert ranks(np.array([-math.inf, 2, math.nan, 1])).tolist() == [1.5, 4, 1.5, 3]
    assert spearman(np.array([-math.inf, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1)


def test_balanced_accuracy_is_the_mean_of_the_classes() -> None:
    labels = np.repeat([0, 1, 3], [90, 9, 1])  # no sample of class 2
    assert balanced_accuracy(np.zeros(100, np.int64), labels) == pytest.approx(1 / 3)
    named = labels.copy()
    named[:45] = 1
    assert balanced_accuracy(named, labels) == pytest.approx((0.5 + 1 + 1) / 3)
    assert uneven(labels)
    assert not uneven(np.repeat([0, 1], [4, 1]))  # four more say nothing
    assert not uneven(np.repeat([0, 1], [150, 100]))
    assert uneven(np.repeat([0, 1], [155, 100]))
