"""Whether one classifier beats another on the same samples, or chance alone says so."""

from __future__ import annotations

from math import comb, sqrt

LEVEL = 0.05


def chance(more: int, fewer: int) -> float:
    """The probability of ``more`` heads or more in ``more + fewer`` tosses: the one-sided sign test (McNemar, exact).

    more, fewer: samples that only the one, and only the other, is right on. 1 where there are none of either.
    """
    tosses = more + fewer
    return sum(comb(tosses, k) for k in range(more, tosses + 1)) / 2**tosses


def beyond_chance(more: int, fewer: int) -> bool:
    """At the level of 5 %: five samples gained and none lost are enough, four are not."""
    return chance(more, fewer) < LEVEL


def beyond_an_error(more: int, fewer: int) -> bool:
    """Whether the gain is more than its own standard error, the root of the samples that differ (McNemar 1947).

    A looser test than ``beyond_chance``: one in six of what is no gain at all passes.
    """
    return more - fewer > sqrt(more + fewer)
