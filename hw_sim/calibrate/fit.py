"""Constants from measurements: non-negative least squares on relative errors, with bootstrap intervals.

A meter's error is taken to be a share of its reading, alike in every row: each row is weighted by what the fit itself
expects of it (by the readings, low ones would count for more). Intervals: residual bootstrap, 95 % percentiles; the
residuals are widened by what the fit has taken out of them, ``sqrt(n / (n - k))``. Held-out error: each probe is left
out in turn, and foretold by the fit of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
REWEIGHTED = 4  # rounds, each with the weights of the last one's fit
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Constants of one kind, (K,) each, and how well they foretell the readings."""

    keys: tuple[str, ...]
    """Their names."""
    values: np.ndarray
    """The best non-negative ones."""
    low: np.ndarray
    """Lower ends of their 95 % intervals."""
    high: np.ndarray
    """Upper ends."""
    held_out: dict[str, float]
    """By probe: the relative error of the fit that did not see it, against its readings' mean."""
    residual: float
    """Root mean square of the rows' relative errors."""


def solve(rows: np.ndarray, readings: np.ndarray) -> np.ndarray:
    """Constants >= 0, (K,), whose ``rows @ constants`` come closest to the readings (N,) > 0, by relative error."""
    from scipy.optimize import nnls

    norms = np.linalg.norm(rows / readings[:, None], axis=0)
    scaled = rows / np.where(norms > 0, norms, 1.0)
    weights = 1 / readings
    found = np.zeros(rows.shape[1])
    for _ in range(REWEIGHTED):
        found = nnls(scaled * weights[:, None], readings * weights)[0]
        expected = scaled @ found
        weights = 1 / np.where(expected > 0, expected, readings)
    return np.asarray(found / np.where(norms > 0, norms, 1.0))


def fit(keys: Sequence[str], rows: np.ndarray, readings: np.ndarray, probes: Sequence[str], seed: int) -> Fit:
    """rows: (N, K). readings: (N,) of the same unit per constant. probes: whose reading each row is."""
    values = solve(rows, readings)
    expected = rows @ values
    weights = 1 / np.where(expected > 0, expected, readings)
    errors = readings * weights - 1
    low, high = _interval(rows * weights[:, None], readings * weights, seed)
    return Fit(
        keys=tuple(keys),
        values=values,
        low=np.minimum(np.maximum(low, 0), values),
        high=np.maximum(high, np.where(values > 0, values, (high - low) / 2)),
        held_out=_held_out(rows, readings, probes),
        residual=float(np.sqrt(np.mean(errors**2))),
    )


def _interval(rows: np.ndarray, readings: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends, (K,) each, of relative readings and rows; without the bound at 0, which draws them together there."""
    count, free = rows.shape
    norms = np.linalg.norm(rows, axis=0)
    norms = np.where(norms > 0, norms, 1.0)  # of times: what the slowest cores never do
    inverse = np.linalg.pinv(rows / norms)
    expected = rows / norms @ (inverse @ readings)
    errors = (readings - expected) * np.sqrt(count / max(count - free, 1))
    rng = np.random.default_rng(seed)
    drawn = expected * (1 + rng.choice(errors - errors.mean(), (DRAWS, count)))
    ends = np.quantile(drawn @ inverse.T / norms, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends[0], ends[1]


def _held_out(rows: np.ndarray, readings: np.ndarray, probes: Sequence[str]) -> dict[str, float]:
    names, of = list(dict.fromkeys(probes)), np.array(probes)
    found = {}
    for name in names:
        out = of == name
        foretold = rows[out] @ solve(rows[~out], readings[~out])
        found[name] = float(np.mean(foretold) / np.mean(readings[out]) - 1)
    return found
