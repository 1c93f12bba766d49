"""Whether a run measured anything: which populations never fired, and which answers are no answers.

Answers that all tie go to the lowest class, and answers that are the same for every sample do not depend on the input:
an accuracy of them is the share of one class, whatever the network is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

NAMED = 4  # populations that a line names


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What of a run never fired, and how many of its answers tie."""

    silent: tuple[str, ...]
    """Populations that never fired on any sample, in order."""
    populations: int
    """How many were watched."""
    ties: int
    """Samples whose largest answer is that of several classes."""
    samples: int
    constant: bool
    """Whether all samples, two at least, have the same answers."""
    cause: str | None = None
    """The likely cause, with its mend; None where none is known."""
    options: str | None = None
    """Options of the command line that are worth trying, '--dt 1'; None where none is known."""

    @property
    def no_measurement(self) -> str | None:
        """Why an accuracy of these answers says nothing; None where it is a measurement."""
        if self.samples and self.ties == self.samples:
            return "the prediction is a tie" if self.samples == 1 else f"all {self.samples:,} predictions are ties"
        return f"all {self.samples:,} samples have the same answers" if self.constant else None

    @property
    def never_fired(self) -> str | None:
        """The populations in words; None where all fire."""
        if not self.silent:
            return None
        more = ", ..." if len(self.silent) > NAMED else ""
        return f"{len(self.silent)} of {self.populations} never fire: {', '.join(self.silent[:NAMED])}{more}"

    def __bool__(self) -> bool:
        return bool(self.silent) or self.no_measurement is not None

    def __str__(self) -> str:
        """One line; '' where there is nothing to say."""
        why = self.no_measurement
        parts = (why and f"no measurement: {why}", self.never_fired, self.cause and f"likely cause: {self.cause}")
        return "; ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``no_measurement`` as a field."""
        return {**asdict(self), "silent": list(self.silent), "no_measurement": self.no_measurement}

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Silence | None:
        """What ``to_json`` gave; None of a document of before there was one."""
        if not found:
            return None
        known = {name: found[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "silent": tuple(found["silent"])})


class Answers:
    """Watches answers go by, a few samples at a time: whether all are the same, and how many tie."""

    def __init__(self, *, same: bool = True, ties: int = 0, samples: int = 0) -> None:
        self._first: np.ndarray | None = None
        self.same, self.ties, self.samples = same, ties, samples

    def add(self, answers: np.ndarray) -> None:
        """answers: (B, classes), of any number type."""
        if not len(answers):
            return
        first = answers[0] if self._first is None else self._first
        self._first, self.same = first, self.same and bool((answers == first).all())
        if answers.shape[1] > 1:
            self.ties += int(((answers == answers.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
        self.samples += len(answers)

    def with_spikes(self, fired: Mapping[str, float]) -> Silence:
        """fired: spikes, or rates, by population, in order."""
        return Silence(
            silent=tuple(name for name, spikes in fired.items() if not spikes),
            populations=len(fired),
            ties=self.ties,
            samples=self.samples,
            constant=self.same and self.samples > 1,
        )
