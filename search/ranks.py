"""Ranks of values with ties: the one home of the rule that proxies are combined by and correlations computed with."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def ranks(values: Array) -> Array:
    """Return the ranks from 1, equal values sharing the mean of theirs; infinities have their place, nan is lowest."""
    values = np.where(np.isnan(values), -np.inf, values)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
