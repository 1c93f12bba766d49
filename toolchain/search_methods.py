"""The search methods by name, each called with what a run gives it. A new method is one entry of ``RUNNERS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolchain.seeds import stream

if TYPE_CHECKING:
    from search.memory import Widths
    from search.methods import Inspect, Record, Refuse, ScoreFunction, SearchResult
    from search.network_config import NetworkConfig
    from search.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One search. score, study: of ``search.methods``. refuse: None without a budget. draws: of random candidates."""

    space: Space
    network: NetworkConfig
    backward: bool
    draws: int
    seed: int
    widths: Widths
    score: ScoreFunction
    study: Sequence[ScoreFunction]
    inspect: Inspect
    refuse: Refuse | None
    log: Callable[[Record], None]
    resume: Iterable[Mapping[str, Any]]

    @property
    def shared(self) -> dict[str, Any]:
        """What every method takes."""
        return {
            "log": self.log,
            "resume": self.resume,
            "backward": self.backward,
            "cells": self.network.cells,
            "inspect": self.inspect,
        }


@dataclass(frozen=True, slots=True)
class Runner:
    """run: the search. total: how many evaluations it makes at most, for progress."""

    run: Callable[[Task], SearchResult]
    total: Callable[[Task], int]


def _lightsnn(task: Task) -> SearchResult:
    from search.methods import lightsnn

    return lightsnn.run(task.space, task.score, refuse=task.refuse, **task.shared)


def _lightsnn_total(task: Task) -> int:
    edges, ops = len(task.space.edges(backward=task.backward)), len(task.space.ops)
    return edges * (ops * (ops + 1) // 2 - 1) + 1


def _snasnet(task: Task) -> SearchResult:
    from search.methods import no_refusal, snasnet

    rng = stream(task.seed, "snasnet")
    refuse = task.refuse or no_refusal
    return snasnet.run(task.space, task.score, candidates=task.draws, rng=rng, refuse=refuse, **task.shared)


def _snasnet_total(task: Task) -> int:
    from search.methods import snasnet

    # The draws are made twice: here to know how many differ, and by the search.
    return len(snasnet.distinct(task.space, task.draws, stream(task.seed, "snasnet"), backward=task.backward))


def _spikenas(task: Task) -> SearchResult:
    from search.genotype import Genotype
    from search.memory import memory
    from search.methods import no_refusal, spikenas

    def size(genotype: Genotype) -> int:
        return memory(genotype, task.network).bytes(task.widths)

    return spikenas.run(
        task.space,
        task.score,
        memory=size,
        candidates=task.draws,
        rng=stream(task.seed, "spikenas"),
        refuse=task.refuse or no_refusal,
        study=task.study,
        **task.shared,
    )


def _spikenas_total(task: Task) -> int:
    from search.methods import spikenas

    cells = spikenas.valid_cells(task.space, task.draws, stream(task.seed, "spikenas"), backward=task.backward)
    studied = len(task.study) * spikenas.STUDY_DRAWS * len(task.space.ops)
    return len(cells) * task.network.cells + studied


RUNNERS = {
    "lightsnn": Runner(_lightsnn, _lightsnn_total),
    "snasnet": Runner(_snasnet, _snasnet_total),
    "spikenas": Runner(_spikenas, _spikenas_total),
}
