"""The sizes and constants of an MSE-NAS network around its motifs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from snnas.search.network.config import JsonConfig, is_int, require, require_skeleton
from snnas.search.network.genotype import MAX_CELLS

STEM_WIDTHS = 3  # the stem has this many times the first cell's channels, as has a reduction of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class MseConfig(JsonConfig):
    """The skeleton: stem, ``cells`` cells, head. Cells are numbered from 1; ``reductions`` holds no motif but halves.

    input_shape: (C, H, W). input_kind: 'analogue', 'spikes' or 'counts'. channels: of the first cell, doubled by each
    reduction. timesteps: T. tau, threshold: of every LIF, which fires above the threshold, not at it. Raises UsageError
    for a value out of range.
    """

    input_shape: tuple[int, int, int]
    classes: int
    input_kind: str = "analogue"
    channels: int = 16
    timesteps: int = 5
    tau: float = 2.0
    threshold: float = 0.5
    cells: int = 6
    reductions: tuple[int, ...] = (2, 4, 5)

    def __post_init__(self) -> None:
        require_skeleton(self, most_cells=2 * MAX_CELLS)
        reductions = self.reductions
        require(
            isinstance(reductions, tuple)
            and all(is_int(n) and 1 <= n <= self.cells for n in reductions)
            and list(reductions) == sorted(set(reductions))
            and len(reductions) < self.cells,
            "reductions",
            self,
            f"rising numbers of cells in 1 .. {self.cells}, not of all",
        )

    @property
    def motif_cells(self) -> tuple[int, ...]:
        """The numbers of the cells that hold a motif: a genome has one entry for each."""
        return tuple(number for number in range(1, self.cells + 1) if number not in self.reductions)

    @property
    def links(self) -> tuple[int, ...]:
        """How many places a link into each motif cell can come from: its own output, and that of the motif cells behind
        it up to the next reduction, whose maps are of its size.
        """
        found = []
        for cell in self.motif_cells:
            end = min((number for number in self.reductions if number > cell), default=self.cells + 1)
            found.append(end - cell)
        return tuple(found)

    def width(self, cell: int) -> int:
        """Return the channels of cell number ``cell``; a reduction counts from itself on."""
        return self.channels << sum(number <= cell for number in self.reductions)


def reductions_for(input_shape: tuple[int, int, int], cells: int) -> tuple[int, ...]:
    """Return the release's places for static images, L/4, L/2 and 3L/4, while the map keeps 4 pixels a side.

    The release knows 32 x 32 alone. On 8 x 8 all three would leave one pixel, and a motif's kernels nothing to see.
    """
    affordable = max(0, int(math.log2(min(input_shape[1:]))) - 2)
    places = sorted({cells // 4 + 1, cells // 2 + 1, 3 * cells // 4 + 1} - {1})
    return tuple(place for place in places if place <= cells)[: min(affordable, cells - 1)]
