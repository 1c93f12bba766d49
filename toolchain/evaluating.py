"""What evaluates candidates, in this process or in many: scores on supernets, and predicted costs.

A ``Spec`` holds all that it takes, in plain data and arrays, so that it can be sent to a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from search.methods import ScoreFunction
    from search.network_config import NetworkConfig
    from search.supernet import Supernet
    from toolchain.costs import Predictor

PREDICT = "predict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One set of initial weights, by its seed, and the batch that candidates see."""

    seed: int
    batch: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """banks: the search's own, then those of an operation study's repeats."""

    space: str
    network: NetworkConfig
    backward: bool
    proxy: str
    device: str
    banks: tuple[Bank, ...]
    predictor: Predictor


def score_kind(bank: int) -> str:
    """How scores on bank number ``bank`` are asked for."""
    return f"score {bank}"


def in_worker(spec: Spec) -> Evaluator:
    """An evaluator for a process that is one of many: one thread each, as there are as many of them as cores."""
    import torch

    torch.set_num_threads(1)
    return Evaluator(spec)


class Evaluator:
    """Answers ``score N`` (candidates -> Score, on bank N) and ``predict`` (genotypes -> Cost, or why not)."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._scorers: dict[int, ScoreFunction] = {}

    def __call__(self, kind: str, questions: Sequence[Any]) -> Sequence[Any]:
        if kind == PREDICT:
            return self.spec.predictor(questions)
        number = int(kind.removeprefix("score "))
        if number not in self._scorers:
            self._scorers[number] = self._scorer(number)
        return self._scorers[number](questions)

    @cached_property
    def supernet(self) -> Supernet:
        """The search's own."""
        return self._supernet(0)

    def batch(self, number: int = 0) -> Tensor:
        """A bank's batch, where the supernet lies."""
        import torch

        return torch.from_numpy(self.spec.banks[number].batch).to(self.spec.device)

    def _supernet(self, number: int) -> Supernet:
        from search.space import get
        from search.supernet import Supernet

        spec = self.spec
        seed = spec.banks[number].seed
        return Supernet(get(spec.space), spec.network, backward=spec.backward, seed=seed).to(spec.device)

    def _scorer(self, number: int) -> ScoreFunction:
        from search.batched import BatchedScorer
        from search.depth_time import DepthTimeScorer

        kind = DepthTimeScorer if self.spec.proxy == "snnas" else BatchedScorer
        return kind(self.supernet if number == 0 else self._supernet(number), self.batch(number))
