import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.hw_sim.errors import UsageError
from snnas.search.methods.pareto import dominates, front


def test_by_hand() -> None:
    points = [(3, 1), (1, 3), (2, 2), (3, 3), (2, 2), (1, 4), (0, math.inf), (math.nan, 0)]
    assert front(points) == [1, 2, 0]
    assert dominates((1, 3), (1, 4))
    assert not dominates((1, 3), (1, 3))
    assert not dominates((1, 3), (3, 1))
    assert dominates((1, 3), (1, math.nan))


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=30))
def test_the_front_is_what_nothing_dominates(points) -> None:
    kept = front(points)
    best = {points[at] for at in kept}
    assert len(best) == len(kept)
    for at, point in enumerate(points):
        beaten = any(dominates(other, point) for other in points)
        assert (point in best) is not beaten
        assert at not in kept or at == points.index(point)


def test_points_of_one_length() -> None:
    with pytest.raises(UsageError, match="different numbers"):
        front([(1, 2), (1,)])


def test_many_objectives_keep_more() -> None:
    points = np.random.default_rng(0).random((50, 4))
    assert set(front(points[:, :2])) < set(front(points))
