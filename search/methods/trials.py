"""Trainings that a search asks for, what comes of them, and the log that a killed search goes on from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.search.methods import Record
from snnas.search.network.design import Design


class NothingTrainedError(GateError):
    """No training came to a network that runs on target: no budget has a part in it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training that is asked for. seed: 0 of a short one, 1 to SEEDS of a long one; it settles the data too."""

    design: Design
    seed: int

    @property
    def name(self) -> str:
        return f"{self.design.architecture_id} {self.seed}"


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it. accuracy: on target, in 0..1. cost: plain data, with ``figures`` by name, None: there is none.

    reason: why there is nothing; '' where there is.
    """

    accuracy: float
    cost: Mapping[str, Any]
    reason: str = ""

    def figure(self, name: str) -> float:
        """A cost, infinite where there is none."""
        value = self.cost.get("figures", {}).get(name)
        return math.inf if value is None else float(value)

    def excess(self, limits: Mapping[str, float]) -> float:
        """By which share the worst of ``limits`` is exceeded; 0: none is. Infinite where nothing could be measured."""
        if self.reason:
            return math.inf
        return max([0.0, *(self.figure(name) / limit - 1 if limit else math.inf for name, limit in limits.items())])


class Log:
    """What was trained before, and what is new."""

    def __init__(
        self, log: Callable[[Record], None], resume: Iterable[Mapping[str, Any]], earlier: Iterable[Mapping[str, Any]]
    ) -> None:
        self.log = log
        self.known: dict[str, tuple[Trained, float]] = {}
        self.logged: set[tuple[Any, ...]] = set()
        for records, mine in ((earlier, False), (resume, True)):
            for line, record in enumerate(records, start=1):
                self._remember(line, record, mine)

    def _remember(self, line: int, record: Mapping[str, Any], mine: bool) -> None:
        try:
            event, name = record["event"], f"{record['op']} {record.get('seed')}"
            if event == "evaluation":
                score = record["score"]
                accuracy = -math.inf if score is None else float(score)
                figures = record["cost"].get("figures", {})
                if not all(value is None or type(value) in (int, float) for value in figures.values()):
                    raise ValueError("a figure is no number")
                self.known[name] = Trained(accuracy, record["cost"], str(record["reason"])), float(record["seconds"])
            if mine:
                self.logged.add((event, name))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidFileError(
                f"record {line} of the log to resume from cannot be used ({type(error).__name__}: {error}), expected "
                f"what a search that trains logs; start afresh"
            ) from None

    def write(self, event: str, op: str, number: int | str, **values: Any) -> None:
        """Log a record, unless the log that is resumed has it."""
        identity = event, f"{op} {values.get('seed')}"
        if identity not in self.logged:
            self.logged.add(identity)
            self.log({"event": event, "round": number, "edge": None, "op": op, **values})


def mean(results: Sequence[Trained]) -> Trained:
    """Return what several trainings came to on average; a reason of one stands for all."""
    reason = next((found.reason for found in results if found.reason), "")
    accuracy = float(np.mean([found.accuracy for found in results]))
    return replace(results[0], accuracy=accuracy, cost=_mean([found.cost for found in results]), reason=reason)


def _mean(values: Sequence[Any]) -> Any:
    """The mean of numbers, key by key; None where one is None; the first of anything else."""
    first = values[0]
    if isinstance(first, Mapping):
        return {
            key: _mean([value.get(key) if isinstance(value, Mapping) else None for value in values]) for key in first
        }
    if any(value is None for value in values):
        return None
    if all(value == first for value in values):
        return first
    numbers = type(first) in (int, float) and all(type(value) in (int, float) for value in values)
    return float(np.mean(values)) if numbers else first
