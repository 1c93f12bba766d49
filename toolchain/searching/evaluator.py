"""What evaluates candidates, in this process or in many: scores on banks of weights, and predicted costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.searching.pool import Each
from snnas.toolchain.searching.runner import Scorer, Spec

PREDICT = "predict"


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
        self._scorers: dict[int, Scorer] = {}

    def __call__(self, kind: str, questions: Sequence[Any], *, each: Each | None = None) -> Sequence[Any]:
        if each is not None:
            found = list[Any]()
            for at, question in enumerate(questions):
                found += self(kind, [question])
                each(at, found[-1])
            return found
        if kind == PREDICT:
            return self.spec.predictor(questions)
        return self.scorer(int(kind.removeprefix("score ")))(questions)

    def scorer(self, number: int = 0) -> Scorer:
        """What scores on bank ``number``; 0 is the search's own."""
        if number not in self._scorers:
            runner = RUNNERS[self.spec.settings["name"]]
            self._scorers[number] = runner.scorer(self.spec, self.spec.banks[number])
        return self._scorers[number]
