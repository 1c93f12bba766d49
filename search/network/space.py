"""The named search spaces: which operations an edge may hold, and how the network pools between cells.

Sources: LightSNN table I and section III (three operations, max-pool on spikes); SNASNet section 3 (five operations,
average pooling); SpikeNAS as its abstract and the LightSNN paper describe it (three operations, average pooling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.search.network.genotype import (
    BACKWARD_EDGES,
    CONV_KERNELS,
    FORWARD_EDGES,
    ZEROIZE,
    Cell,
    Edge,
    Genotype,
    live_edges,
)

MAX_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Space:
    """A search space.

    ``ops`` in the order that settles what score and price leave open. ``reduction`` is 'max' (on spikes) or 'average'.
    ``both_directions``: a pair of nodes may hold a forward and a backward operation at once (LightSNN counts so); where
    it is False, a pair has one or the other (SNASNet).
    """

    name: str
    ops: tuple[str, ...]
    reduction: str
    both_directions: bool

    def edges(self, *, backward: bool = False) -> tuple[Edge, ...]:
        """Return the searched edges: the 6 forward ones, and the 6 backward ones where asked for."""
        return FORWARD_EDGES + BACKWARD_EDGES if backward else FORWARD_EDGES

    def check(self, genotype: Genotype) -> None:
        """Raise UsageError when ``genotype`` holds an operation that is not of this space."""
        for number, cell in enumerate(genotype.cells, start=1):
            for edge, op in cell.ops().items():
                if op not in self.ops and op != ZEROIZE:
                    raise UsageError(
                        f"operation {op!r} on edge {edge[0]}->{edge[1]} of cell {number} is not of the search space "
                        f"{self.name!r}, expected {', '.join(self.ops)}"
                    )

    def random_genotype(self, rng: np.random.Generator, *, cells: int = 2, backward: bool = False) -> Genotype:
        """Draw one genotype uniformly from the valid ones; all cells share it.

        Valid: the input reaches the output through at least one convolution. SNASNet instead asks that edge 0->3 is
        not zeroize; so does the space 'snasnet', besides.
        """
        for _ in range(MAX_DRAWS):
            cell = Cell.of(self._draw(rng, backward))
            if self.valid(cell):
                return Genotype(self.name, (cell,) * cells)
        raise AssertionError(f"no valid genotype in {MAX_DRAWS} draws from {self.name}")  # pragma: no cover

    def _draw(self, rng: np.random.Generator, backward: bool) -> dict[Edge, str]:
        ops = {edge: self.ops[int(rng.integers(len(self.ops)))] for edge in FORWARD_EDGES}
        if not backward:
            return ops
        for i, j in FORWARD_EDGES:
            op = self.ops[int(rng.integers(len(self.ops)))]
            if self.both_directions:
                ops[j, i] = op
            elif (i, j) != (0, 3) and rng.integers(2):
                ops[i, j], ops[j, i] = ZEROIZE, op
        return ops

    def valid(self, cell: Cell) -> bool:
        """Return whether ``random_genotype`` may draw ``cell``."""
        live = cell.live()
        has_conv = any(op in CONV_KERNELS for op in live.values())
        return has_conv and (self.name != "snasnet" or (0, 3) in live_edges(live))


SPACES = {
    space.name: space
    for space in (
        Space("lightsnn", (ZEROIZE, "skip", "conv3x3"), "max", both_directions=True),
        Space("snasnet", (ZEROIZE, "skip", "conv1x1", "conv3x3", "avgpool3x3"), "average", both_directions=False),
        # In the order of its own ranking of operations.
        Space("spikenas", ("conv3x3", "skip", "avgpool3x3"), "average", both_directions=False),
    )
}
names = tuple(SPACES)


def get(name: str) -> Space:
    """Return the space called ``name``; raises UsageError with the choices when there is none."""
    try:
        return SPACES[name]
    except KeyError:
        raise UsageError(
            f"unknown search space {name[:64]!r}, expected {', '.join(names)}{did_you_mean(name, names)}"
        ) from None
