"""The sign test against counting."""

from __future__ import annotations

from itertools import product

import pytest

from toolchain.sign_test import beyond_an_error, beyond_chance, chance


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
