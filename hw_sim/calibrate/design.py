"""Which probes to run: a D-optimal choice by greedy exchange.

A meter errs by a share of what it reads, so a probe tells of a constant what share of its bill the constant is: a row
of shares. The choice makes the determinant of ``rows.T @ rows`` large, which is the volume of the constants' joint
confidence region (Fedorov 1972): forward selection, then exchanges until none helps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RIDGE = 1e-9  # of a share: ranks the first picks, before there are as many as constants
ROUNDS = 20


def shares(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(P, K) of rows per unit of each constant: the share of each constant's line in its bill, at these values."""
    lines = rows * values
    return np.asarray(lines / lines.sum(axis=1, keepdims=True))


def choose(tables: Sequence[np.ndarray], count: int, given: Sequence[np.ndarray] | None = None) -> list[int]:
    """Indices of ``count`` candidates, ascending. tables: (P, K) of shares; their log-determinants are added.

    given: rows of each table that are measured in any case, (G, K).
    """
    starts = [np.eye(t.shape[1]) * RIDGE + (0 if given is None else g.T @ g) for t, g in _with(tables, given)]
    total = len(tables[0])
    chosen: list[int] = []
    for _ in range(min(count, total)):
        rest = [k for k in range(total) if k not in chosen]
        chosen.append(max(rest, key=lambda k: _volume(tables, starts, [*chosen, k])))
    best = _volume(tables, starts, chosen)
    for _ in range(ROUNDS):
        better = False
        for place in range(len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            rest = [k for k in range(total) if k not in chosen]
            if not rest:
                break
            new = max(rest, key=lambda k: _volume(tables, starts, [*others, k]))
            found = _volume(tables, starts, [*others, new])
            if found > best + 1e-9:
                chosen[place], best, better = new, found, True
        if not better:
            break
    return sorted(chosen)


def _with(tables: Sequence[np.ndarray], given: Sequence[np.ndarray] | None) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(tables, given or [t[:0] for t in tables], strict=True))


def _volume(tables: Sequence[np.ndarray], starts: Sequence[np.ndarray], chosen: list[int]) -> float:
    return sum(
        float(np.linalg.slogdet(start + t[chosen].T @ t[chosen])[1]) for t, start in zip(tables, starts, strict=True)
    )


def condition(rows: np.ndarray) -> float:
    """How much worse the rows (P, K) know their least known mix of constants than their best, each scaled alike."""
    values = np.linalg.svd(_scaled(rows), compute_uv=False)
    return float(values[0] / values[-1]) if len(values) == rows.shape[1] and values[-1] > 0 else np.inf


def confused(rows: np.ndarray, keys: Sequence[str]) -> list[str]:
    """The constants of the mix that the rows know least, the largest parts first; one that no row holds is alone."""
    empty = [key for at, key in enumerate(keys) if not rows[:, at].any()]
    if empty:
        return empty
    parts = np.abs(np.linalg.svd(_scaled(rows), full_matrices=True)[2][-1])
    return [keys[int(k)] for k in np.argsort(-parts) if parts[k] > 0.3]


def _scaled(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=0)
    return rows / np.where(norms > 0, norms, 1.0)
