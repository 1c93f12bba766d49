"""The smallest input that still shows the difference: one sample, with whatever it does not need set to zero.

Delta debugging (Zeller and Hildebrandt 2002, ddmin) over the sample's nonzero values, many candidates per run, within a
bound on candidates: what is left is small, not proven smallest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnas.toolchain.diagnosing import hybrid
from snnas.toolchain.diagnosing.causes import SettingRuns, batch
from snnas.toolchain.diagnosing.hybrid import CAUSES
from snnas.toolchain.diagnosing.pairing import Joint

MOST = 2000  # candidates that are tried


@dataclass(frozen=True, slots=True)
class Failing:
    """x: float32 (1, ...) as the program takes it. what: prediction or spike, in which graph and program differ.

    graph, program: the classes predicted for x. before, after: nonzero values of the sample and of x.
    """

    sample: int
    what: str
    x: np.ndarray
    graph: int
    program: int
    before: int
    after: int


def smallest(
    joint: Joint, x: np.ndarray, found: SettingRuns, advance: Callable[[int, int], None] = lambda done, total: None
) -> Failing | None:
    """Of the samples x, among those that flip the one with fewest nonzero values; None where no spike differs."""
    first = found.divergence.first
    if first is None:
        return None
    flips = np.flatnonzero(found.graph.predicted != found.program.predicted)
    what = "prediction" if flips.size else "spike"
    counts = [int(np.count_nonzero(x[k])) for k in flips]
    sample = int(flips[int(np.argmin(counts))]) if flips.size else first.sample
    search = _Search(joint, what, advance)
    reduced = search.reduce(np.asarray(x[sample], dtype=np.float32))
    graph, program, _ = search.outcome(reduced[None])
    return Failing(
        sample=sample,
        what=what,
        x=reduced[None],
        graph=int(graph[0]),
        program=int(program[0]),
        before=int(np.count_nonzero(x[sample])),
        after=int(np.count_nonzero(reduced)),
    )


class _Search:
    def __init__(self, joint: Joint, what: str, advance: Callable[[int, int], None]) -> None:
        self.joint, self.what, self.advance = joint, what, advance
        self.tried = 0
        self.every = hybrid.everywhere(joint, CAUSES)
        self.names = [u.id for u in joint.units if u.group is not None]
        low, high = joint.program.input_range if joint.program.input_kind == "analogue" else (0.0, 1.0)
        self.nothing = np.float32(np.clip(0.0, low, high))

    def outcome(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predictions of graph and program, and whether they differ in what is looked for."""
        given = hybrid.stimulus(self.joint, x)
        graph, program = hybrid.run_hybrid(self.joint, given, self.every), hybrid.run_hybrid(self.joint, given)
        parted = graph.predictions != program.predictions
        if self.what == "spike":
            each = [(graph.spikes[n] != program.spikes[n]).reshape(len(x), -1).any(axis=1) for n in self.names]
            parted = np.any(each, axis=0)
        return graph.predictions, program.predictions, parted

    def reduce(self, x: np.ndarray) -> np.ndarray:
        """``x`` with values set to nothing, in ever smaller pieces, as long as the difference stays."""
        x = x.copy()
        left = np.flatnonzero(x.reshape(-1) != self.nothing)
        size = max(1, left.size // 2)
        while self.tried < MOST and left.size:
            pieces = [left[k : k + size] for k in range(0, left.size, size)]
            gone = self._droppable(x, pieces)
            if gone:
                x = self._without(x, np.concatenate(gone))
                left = np.flatnonzero(x.reshape(-1) != self.nothing)
            if not gone or left.size < size:
                if size == 1 and not gone:
                    break
                size = max(1, min(size // 2, left.size))
        return x

    def _droppable(self, x: np.ndarray, pieces: list[np.ndarray]) -> list[np.ndarray]:
        """Pieces without which, all together, the difference stays: all that can go alone, else ever fewer of them."""
        alone = []
        width = batch(self.joint)
        for k in range(0, len(pieces), width):
            if self.tried >= MOST:
                break
            some = pieces[k : k + width]
            holds = self._hold([self._without(x, piece) for piece in some])
            alone += [piece for piece, good in zip(some, holds, strict=True) if good]
        while len(alone) > 1 and not self._hold([self._without(x, np.concatenate(alone))])[0]:
            alone = alone[: len(alone) // 2]
        return alone

    def _without(self, x: np.ndarray, piece: np.ndarray) -> np.ndarray:
        out = x.copy()
        out.reshape(-1)[piece] = self.nothing
        return out

    def _hold(self, candidates: list[np.ndarray]) -> list[bool]:
        self.tried += len(candidates)
        self.advance(min(self.tried, MOST), MOST)
        return [bool(b) for b in self.outcome(np.stack(candidates))[2]]
