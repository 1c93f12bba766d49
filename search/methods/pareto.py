"""Dominance and the Pareto front of points whose objectives are all to be small; negate what is to be large."""

from __future__ import annotations

from collections.abc import Sequence

from snnas.hw_sim.errors import UsageError

Point = Sequence[float]


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better; smaller is better, nan is worse than anything."""
    pairs = [(_ordered(x), _ordered(y)) for x, y in zip(a, b, strict=True)]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that none dominates, by the first objective, then the next, then their place.

    Of equal points the first stands for all. An infinite or nan objective keeps a point off the front. Raises
    UsageError when points differ in the number of objectives.
    """
    if len({len(point) for point in points}) > 1:
        raise UsageError("points of different numbers of objectives, expected the same objectives for every point")
    order = sorted((at for at in range(len(points)) if all(map(_finite, points[at]))), key=lambda at: (*points[at], at))
    kept: list[int] = []
    # In this order nothing can be dominated by what comes after it, and equal points follow each other.
    for at in order:
        if not any(all(x <= y for x, y in zip(points[other], points[at], strict=True)) for other in kept):
            kept.append(at)
    return kept


def _finite(value: float) -> bool:
    return value - value == 0


def _ordered(value: float) -> float:
    return value if value == value else float("inf")
