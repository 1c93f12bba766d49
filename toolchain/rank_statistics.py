"""Rank correlations with ties, and bootstrap intervals over architectures and seeds. NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from search.ranks import ranks

__all__ = ["ranks"]

Array = np.ndarray[Any, np.dtype[np.float64]]

BLOCK = 512  # rows compared at once by kendall: bounds the memory at BLOCK x n


def spearman(a: Array, b: Array) -> float:
    """Return the Pearson correlation of the ranks; 0 where one side is constant and so ranks nothing."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0 else 0.0


def kendall(a: Array, b: Array) -> float:
    """Return Kendall's tau-b, which corrects for ties; 0 where one side is constant."""
    x, y = ranks(a), ranks(b)
    score = pairs_x = pairs_y = 0.0
    for start in range(0, len(x), BLOCK):
        dx = np.sign(x[start : start + BLOCK, None] - x)
        dy = np.sign(y[start : start + BLOCK, None] - y)
        score += float((dx * dy).sum())
        pairs_x += float(np.abs(dx).sum())
        pairs_y += float(np.abs(dy).sum())
    norm = float(np.sqrt(pairs_x) * np.sqrt(pairs_y))
    return score / norm if norm > 0 else 0.0


def top_mean(scores: Array, values: Array, share: float) -> float:
    """Return the expected mean of ``values`` over the best ``share`` by score, at least one, ties drawn at random."""
    count = max(1, round(share * len(scores)))
    order = ranks(scores)
    edge = np.sort(order)[-count]
    above, tied = order > edge, order == edge
    total = values[above].sum() + (count - above.sum()) * values[tied].mean()
    return float(total / count)


def bootstrap_spearman(
    scores: dict[str, Array], truth: Array, *, rng: np.random.Generator, draws: int
) -> dict[str, Array]:
    """Return ``draws`` Spearman coefficients per proxy; architectures and seeds are both drawn with replacement.

    scores: (seeds, architectures) per proxy, averaged over the drawn seeds. All proxies see the same draws, so their
    differences may be taken draw by draw.
    """
    seeds, count = next(iter(scores.values())).shape
    out = {name: np.empty(draws) for name in scores}
    for draw in range(draws):
        rows, repeats = rng.integers(count, size=count), rng.integers(seeds, size=seeds)
        drawn = truth[rows]
        for name, table in scores.items():
            out[name][draw] = spearman(table[repeats][:, rows].mean(0), drawn)
    return out


def interval(draws: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
