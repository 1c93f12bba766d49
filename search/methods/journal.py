"""The records of a search: one per evaluation, per guard and per choice, appended as they happen, read to resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from snnas.hw_sim.errors import GateError, InvalidFileError, brief
from snnas.search.methods import Record
from snnas.search.scoring.guards import Finding
from snnas.search.scoring.proxies import Score

At = TypeVar("At", bound=Hashable)
Candidate = TypeVar("Candidate")
# (event, round, edge, operation): what a record is about.
Key = tuple[str, "int | str", "str | None", "str | None"]

WORST = Score(-math.inf, {})


class NoScoreError(GateError):
    """No candidate has a finite score, so that whichever is taken is arbitrary."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"none of {what} has a finite score, expected some that tell the samples of the batch apart; take another "
            "--seed, more --timesteps or --channels or a smaller --batch, and look whether samples are nearly equal"
        )


class Journal:
    """What ``method`` has found out, in this process and in the one that was ended before it.

    log: takes every new record. resume: the records of the search that goes on; they are not logged again. Raises
    InvalidFileError when one cannot be used.
    """

    def __init__(self, method: str, log: Callable[[Record], None], resume: Iterable[Mapping[str, Any]] = ()) -> None:
        self.method, self.log = method, log
        self.evaluations = 0
        self.guards: list[Record] = []
        self._known: dict[Key, Score] = {}
        self._logged: set[tuple[Any, ...]] = set()
        for line, record in enumerate(resume, start=1):
            self._remember(line, record)

    def evaluate(
        self,
        keys: Mapping[At, Key],
        candidates: Mapping[At, Candidate],
        score: Callable[[list[Candidate]], Sequence[Score]],
        notes: Mapping[At, Mapping[str, Any]] | None = None,
    ) -> dict[At, Score]:
        """Return the score of every candidate: known ones from the log, the others in one call of ``score``, logged.

        candidates: those that can be run; a key without one is worth -inf. NaN counts as -inf. notes: what else a
        candidate's record says.
        """
        self.evaluations += len(keys)
        scores = {at: self._known.pop(key) for at, key in keys.items() if key in self._known}
        missing = [at for at in keys if at not in scores]
        runnable = [at for at in missing if at in candidates]
        start = time.perf_counter()
        fresh = dict(zip(runnable, score([candidates[at] for at in runnable]) if runnable else (), strict=True))
        share = (time.perf_counter() - start) / max(1, len(runnable))
        for at in missing:
            result = fresh.get(at, WORST)
            scores[at] = replace(result, value=-math.inf) if math.isnan(result.value) else result
            self.write(
                keys[at],
                score=finite(scores[at].value),
                silent_layers=result.silent_layers,
                firing=dict(result.firing),
                seconds=round(share if at in fresh else 0.0, 6),
                **(notes or {}).get(at, {}),
            )
        return scores

    def refuse(self, number: int | str, op: str, reason: str, **values: Any) -> None:
        """Report that architecture ``op`` is not scored, and why."""
        self.write(("refusal", number, None, op), reason=reason, **values)

    def guard(self, name: str, key: Key, text: str) -> None:
        """Report that guard ``name`` fired."""
        self.guards.append(self.write(key, guard=name, text=text))

    def inspected(self, number: int | str, op: str | None, findings: Iterable[Finding]) -> bool:
        """Report the ``findings`` of a candidate that is about to be chosen; return whether none refuses it."""
        found = list(findings)
        for finding in found:
            self.guard(finding.guard, ("guard", number, None, op), finding.text)
        return not any(finding.refuses for finding in found)

    def require_score(self, number: int | str, scores: Iterable[Score], what: str) -> None:
        """Report, and raise NoScoreError, where none of ``scores`` is finite: guard 'score'. what: is scored."""
        if not any(math.isfinite(score.value) for score in scores):
            error = NoScoreError(what)
            self.guard("score", ("guard", number, None, None), str(error))
            raise error

    def silent(self, number: int | str, final: Score) -> None:
        """Report every LIF of the final candidate that fires nothing on the batch: guard 'alive'."""
        for name, rate in final.firing.items():
            if rate == 0:
                self.guard(
                    "alive", ("guard", number, None, None), f"{name} of the final candidate is silent on the batch"
                )

    def write(self, key: Key, **values: Any) -> Record:
        """Log a record, unless the log that is resumed has it."""
        record = {"event": key[0], "round": key[1], "edge": key[2], "op": key[3], **values}
        # A silent layer has no edge: its text is part of what tells two events apart.
        identity = (*key, values.get("text"))
        if identity not in self._logged:
            self._logged.add(identity)
            self.log(record)
        return record

    def finish(self) -> None:
        """Raise InvalidFileError when the resumed log holds an evaluation that this search never asked for."""
        if self._known:
            _, number, edge, op = map(brief, next(iter(self._known)))
            raise InvalidFileError(
                f"the log to resume from holds an evaluation of {op} on edge {edge} in round {number}, which this "
                f"search never makes, expected a log of the same space, seed and batch; start afresh"
            )

    def _remember(self, line: int, record: Mapping[str, Any]) -> None:
        """Take over one record of an interrupted search."""
        try:
            event, number, edge, op = (record[name] for name in ("event", "round", "edge", "op"))
            self._logged.add((event, number, edge, op, record.get("text")))
            if event == "evaluation":
                value = -math.inf if record["score"] is None else float(record["score"])
                firing = {str(name): float(rate) for name, rate in record["firing"].items()}
                if record.get("terms"):
                    raise ValueError(f"it ranks by {', '.join(record['terms'])}, as --proxy snnas did: it is gone")
                self._known[event, number, edge, op] = Score(value, firing)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InvalidFileError(
                f"record {line} of the log to resume from cannot be used ({type(error).__name__}: {error}), expected "
                f"what a {self.method} search logs; start afresh"
            ) from None


def finite(value: float) -> float | None:
    """Return ``value`` as it stands in a record: None for -inf, which JSON does not have."""
    return value if math.isfinite(value) else None
