"""A current as a sum of terms, each a spike source followed by linear layers; all in float64.

A per-channel affine (a batch norm) commutes with everything in a term but the convolution, so it scales that
convolution's weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Stage:
    """One linear layer of a term. weight and bias are float64 (None for pools)."""

    name: str
    op: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Term:
    """A spike source (or the input) and the stages after it."""

    source: str
    stages: tuple[Stage, ...] = ()
    delayed: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """A current: the sum of terms, plus a per-channel shift that no term carries yet."""

    terms: tuple[Term, ...]
    shape: tuple[int, int, int]
    shift: np.ndarray | None = None


def distinct(terms: list[Term], channels: int, reader: str) -> tuple[Term, ...]:
    """Equal terms (two skips over the same value) become one with a gain: an edge stands once in a graph."""
    count: dict[tuple[Any, ...], list[Term]] = {}
    for t in terms:
        count.setdefault((t.source, t.delayed, *(id(s) for s in t.stages)), []).append(t)
    return tuple(
        group[0] if len(group) == 1 else scaled(group[0], np.full(channels, float(len(group))), reader)
        for group in count.values()
    )


def scaled(term: Term, gain: np.ndarray, bn: str) -> Term:
    """The term times a per-channel gain: into its last weights, or a diagonal 1x1 convolution where it has none."""
    for k in range(len(term.stages) - 1, -1, -1):
        stage = term.stages[k]
        if stage.weight is not None and stage.bias is not None:
            weight = stage.weight * gain.reshape(-1, *[1] * (stage.weight.ndim - 1))
            scaled = replace(stage, weight=weight, bias=stage.bias * gain)
            return replace(term, stages=(*term.stages[:k], scaled, *term.stages[k + 1 :]))
    diagonal = Stage(f"{bn}_of_{term.source}", "conv", np.diag(gain)[:, :, None, None], np.zeros(len(gain)))
    return replace(term, stages=(diagonal, *term.stages))


def absorbed(value: Value) -> Value:
    """Moves the shift into the bias of the first term whose weights have nothing but unpadded pools behind them."""
    if value.shift is None:
        return value
    for n, term in enumerate(value.terms):
        for k in range(len(term.stages) - 1, -1, -1):
            stage = term.stages[k]
            if stage.bias is not None:
                stages = (*term.stages[:k], replace(stage, bias=stage.bias + value.shift), *term.stages[k + 1 :])
                terms = (*value.terms[:n], replace(term, stages=stages), *value.terms[n + 1 :])
                return replace(value, terms=terms, shift=None)
            if any(stage.pad):
                break
    return value
