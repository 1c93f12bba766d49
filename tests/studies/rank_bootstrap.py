"""What a proxy's ranking is worth: the best share by it, and bootstraps over architectures and seeds."""

from __future__ import annotations

import numpy as np

from snnas.search.scoring.ranks import ranks
from snnas.toolchain.data.statistics import Array, spearman


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
