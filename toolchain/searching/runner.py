"""What a search method is to a run: one small interface, whose implementations are named in ``methods``.

A runner owns its options and its refusals, the sizes around what it searches, what scores its candidates, and the
search itself. Beginning, logging, resuming, workers, budgets and fronts are the same for all, and know no method.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import LONG
from snnas.toolchain.searching.budgets import Limits
from snnas.toolchain.searching.cost import Cost, Predictor
from snnas.toolchain.searching.least import Floor
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.pool import CHUNK, Each

if TYPE_CHECKING:
    from snnas.search.kinds import Sizes
    from snnas.search.methods import Inspect, Record, Refuse, SearchResult
    from snnas.search.network.genotype import Genotype
    from snnas.search.scoring.guards import Finding
    from snnas.search.scoring.proxies import Score
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import TrainingConfig

MAX_STUDY = 10  # repeats of an operation study


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One set of initial weights, by its seed, and the samples that candidates see."""

    seed: int
    batch: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a method that trains works on; data: without test samples."""

    data: Dataset
    recipe: TrainingConfig


@dataclass(frozen=True, slots=True)
class Judged:
    """A network that a search has trained and measured itself."""

    genotype: Genotype
    score: float
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All that it takes to evaluate the candidates of a run, in plain data and arrays: it can be sent to a worker.

    settings: [method] of run.toml. network: the sizes around what is searched, of the runner's kind. banks: the
    search's own, then those of an operation study's repeats. predictor: of costs. limits, objectives, front: of the
    run, without the score; the points of a front. material: of a method that trains.
    """

    settings: Mapping[str, Any]
    network: Any
    device: str
    banks: tuple[Bank, ...]
    predictor: Predictor
    limits: Mapping[str, float] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    front: int = 0
    material: Material | None = None


class Scorer(Protocol):
    """Scores candidates on one bank."""

    def __call__(self, candidates: Sequence[Any], /) -> Sequence[Score]: ...

    def inspect(self, candidate: Any, /) -> Sequence[Finding]:
        """What the guards find in a candidate that is about to be chosen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One search. score, study, inspect, log, resume: as the methods take them. refuse: None without a budget.
    costs: as predicted, of networks, or why there is none.

    score: of candidates as the runner's scorers take them; train: likewise, and it tells of each as soon as it is
    known. limits: that the network found has to keep, lower than the run's where earlier attempts were over them.
    banned: ids of networks that it may not be. earlier: records of earlier attempts. say: narrates.
    """

    spec: Spec
    seed: int
    score: Callable[[Sequence[Any]], Sequence[Any]]
    study: Sequence[Callable[[Sequence[Any]], Sequence[Any]]]
    inspect: Inspect
    refuse: Refuse | None
    costs: Callable[[Sequence[Any]], Sequence[Cost | str]]
    log: Callable[[Record], None]
    resume: Iterable[Mapping[str, Any]]
    train: Callable[[Sequence[Any], Each], Any]
    limits: Limits
    banned: Collection[str]
    earlier: Iterable[Mapping[str, Any]]
    say: Callable[[str], None]

    def setting(self, name: str) -> int:
        """A number that [method] of run.toml has where the method owns it; 0 where it is absent."""
        return int(self.spec.settings.get(name, 0))


class Runner(ABC):
    """A search method.

    space: the name of what it searches, which the genotype says too: it settles their kind (``snnas.search.kinds``).
    own: the options that are its alone, as ``SearchOptions`` has them; those that are not 0 stand in [method] of
    run.toml. shared: options of some other methods that it takes too; what all take stands in neither.
    batches: of ``--batch`` samples each, that a candidate sees. studies: repeats of an operation study that
    it takes at most. proxies: scores of --proxy that it takes, its own first. chunk: candidates that a worker takes at
    once. trains: its candidates are trained and measured, so that budgets bind on what it measured.
    """

    space: ClassVar[str]
    own: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[tuple[str, ...]] = ()
    batches: ClassVar[int] = 1
    studies: ClassVar[int] = 0
    chunk: ClassVar[int] = CHUNK
    trains: ClassVar[bool] = False
    proxies: ClassVar[tuple[str, ...]] = ()

    def spaces(self) -> tuple[str, ...]:
        """The names of all that it searches."""
        return (self.space,)

    def space_for(self, shape: tuple[int, int, int]) -> str:
        """The name of what it searches for samples (C, H, W)."""
        return self.space

    @property
    def takes(self) -> tuple[str, ...]:
        """The options that it takes and not every method does."""
        return (*self.own, *self.shared)

    def refuse(self, options: SearchOptions) -> None:
        """UsageError for what this method does not take. What is wrong for every method is refused elsewhere."""
        if options.study and not 2 <= options.study <= self.studies:
            raise UsageError(f"--study {options.study}: expected 2 to {MAX_STUDY} repeats, with --method spikenas")

    def settings(self, options: SearchOptions, data: Dataset) -> dict[str, Any]:
        """What [method] of run.toml says of this method alone; it is read back by ``check``."""
        return {name: value for name in self.own if (value := getattr(options, name))}

    def check(self, settings: Mapping[str, Any]) -> None:
        """UsageError where ``settings`` are not what the method writes; most of it is checked as run.toml is read."""
        return None

    def floors(self, spec: Spec) -> Sequence[Floor]:
        """Networks to bound costs by: every candidate holds more than one of them; () where none is known."""
        return ()

    def smallest(self, spec: Spec) -> Iterable[Any]:
        """A few of the candidates that cost the least, as far as their sizes tell; () where none is known."""
        return ()

    def compared_by(self, spec: Spec) -> str:
        """The cost that its candidates are compared by as they are trained and measured; '' of one that predicts."""
        return ""

    def judged(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Judged] | None:
        """The networks that the search trained and measured, by id, as its records say; None of one that predicts."""
        return None

    @abstractmethod
    def network(self, options: SearchOptions, given: Mapping[str, Any], device: str) -> Sizes:
        """The sizes around what is searched; ``given``: those that the data set and the options settle.

        UsageError for what does not fit the samples or the memory.
        """

    @abstractmethod
    def scorer(self, spec: Spec, bank: Bank) -> Scorer:
        """What scores candidates on one bank."""

    @abstractmethod
    def some(self, task: Task) -> Sequence[Any]:
        """A few candidates as the search has them, to be timed; they are drawn apart, and count for nothing."""

    def seconds(self, task: Task, scorer: Scorer, total: int) -> float:
        """Seconds that ``run`` will take in one process, guessed by a few candidates; the first warms up.

        total: evaluations. Where even the first says that it is no matter, the others are not asked.
        """
        few = self.some(task)
        first = _timed(scorer, few[:1])
        return total * (first if total * first < LONG else _timed(scorer, few) / len(few))

    @abstractmethod
    def key(self, candidate: Any, network: Sizes) -> Hashable:
        """What two candidates have in common that are one network, and so have one score."""

    @abstractmethod
    def plan(self, task: Task) -> tuple[int, str]:
        """How many evaluations the search makes at most, and what it does in words, for progress."""

    @abstractmethod
    def run(self, task: Task) -> SearchResult:
        """The search."""


def _timed(scorer: Scorer, candidates: Sequence[Any]) -> float:
    begun = time.perf_counter()
    scorer(candidates)
    return time.perf_counter() - begun
