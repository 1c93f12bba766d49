"""Statistics of what was measured: intervals, whether a gain is chance, and how well one order predicts another.

What the base install needs is written out here; rank correlations come with the search, and so from SciPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

LEVEL = 0.05  # of a test
DRAWS = 1000  # of a bootstrap
_CHUNK = 100  # draws at a time: bounds the memory


def wilson(hits: int, samples: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion."""
    p = hits / samples
    centre, spread = p + z * z / (2 * samples), z * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    low, high = (centre - spread) / (1 + z * z / samples), (centre + spread) / (1 + z * z / samples)
    return max(0.0, low), min(1.0, high)  # of rounding: 360 of 360 gave 1.0000000000000002


def balanced_accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes of ``labels`` (N,) of the share of each that is named rightly."""
    right = np.bincount(labels[predictions == labels], minlength=int(labels.max()) + 1)
    of = np.bincount(labels)
    return float((right[of > 0] / of[of > 0]).mean())


def uneven(labels: np.ndarray) -> bool:
    """Whether one class has over half as many samples again as another: accuracy then flatters the large ones.

    Four samples more are needed on top, or any few would be uneven.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return bool(2 * counts.max() > 3 * counts.min() + 8)


def percentiles(draws: Array, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of what a bootstrap drew, (N,)."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(values: np.ndarray, seed: int, *, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean over samples: how far other samples would move it. values: (N,)."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    rng = np.random.default_rng(np.random.SeedSequence([seed, n]))
    means = [
        rng.multinomial(n, np.full(n, 1 / n), size=_CHUNK).astype(np.float64) @ values / n
        for _ in range(DRAWS // _CHUNK)
    ]
    return percentiles(np.concatenate(means), level)


def chance(more: int, fewer: int) -> float:
    """The probability of ``more`` heads or more in ``more + fewer`` tosses: the one-sided sign test (McNemar, exact).

    more, fewer: samples that only the one, and only the other, of two classifiers is right on. 1 where there are none
    of either.
    """
    tosses = more + fewer
    return sum(math.comb(tosses, k) for k in range(more, tosses + 1)) / 2**tosses


def beyond_chance(more: int, fewer: int) -> bool:
    """At the level of 5 %: five samples gained and none lost are enough, four are not."""
    return chance(more, fewer) < LEVEL


def beyond_an_error(more: int, fewer: int) -> bool:
    """Whether the gain is more than its own standard error, the root of the samples that differ (McNemar 1947).

    A looser test than ``beyond_chance``: one in six of what is no gain at all passes.
    """
    return more - fewer > math.sqrt(more + fewer)


def spearman(a: Array, b: Array) -> float:
    """Spearman's correlation of two columns, nan lowest; 0 where one of them is constant and so ranks nothing."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, a, b)


def kendall(a: Array, b: Array) -> float:
    """Kendall's tau-b, which corrects for ties; nan and constant columns as in ``spearman``."""
    from scipy.stats import kendalltau

    return _correlation(kendalltau, a, b)


def _correlation(method: Any, a: Array, b: Array) -> float:
    from snnas.search.scoring.ranks import ranks

    x, y = ranks(a), ranks(b)
    return 0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else float(method(x, y).statistic)
