"""Genomes as vectors of small integers, which is what crossover and mutation act on.

One block per motif cell: the motif's number, then a kernel gene for every synapse that the largest motif can have;
behind all blocks the fan-in. Genes that the motif or the fan-in does not express are silent: they drift, as in the
paper, but two vectors that differ in them alone decode to one genome, which is scored once. Cells that reduce have no
block (in the released code half of all genes stand for nothing, because they do). Where links are searched, one gene
per cell follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.motifs import FAN_INS, KERNELS, MOTIFS, NAMES
from snnas.search.network.genotype import MAX_CELLS

Genes = np.ndarray[Any, np.dtype[np.int64]]

_SLOTS = {name: tuple(edge.name for edge in motif.edges(max(FAN_INS))) for name, motif in MOTIFS.items()}
BLOCK = 1 + max(map(len, _SLOTS.values()))


@dataclass(frozen=True, slots=True)
class GenomeSpace:
    """All genomes of ``cells`` motif cells; ``motifs`` and ``fan_ins``: those that may be drawn.

    links: how many places a link into each cell can come from (``MseConfig.links``); () where none is searched.
    Raises UsageError for values out of range.
    """

    cells: int
    motifs: tuple[str, ...] = NAMES
    fan_ins: tuple[int, ...] = FAN_INS
    links: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= MAX_CELLS:
            raise UsageError(f"{self.cells} motif cells in a genome, expected 1 to {MAX_CELLS}")
        for name, given, known in (("motifs", self.motifs, NAMES), ("fan_ins", self.fan_ins, FAN_INS)):
            if not given or len(set(given)) < len(given) or set(given) - set(known):
                raise UsageError(f"{name} = {given!r} of the search space mse_nas, expected some of {known}, each once")
        if self.links and len(self.links) != self.cells:
            raise UsageError(
                f"links = {self.links!r} of the search space mse_nas, expected one per cell of {self.cells}"
            )

    @property
    def sizes(self) -> Genes:
        """How many values each gene has; a gene lies in 0 .. size - 1."""
        block = [len(self.motifs), *[len(KERNELS)] * (BLOCK - 1)]
        links = [1 + places for places in self.links]
        return np.array([*block * self.cells, len(self.fan_ins), *links], dtype=np.int64)

    @property
    def macro(self) -> int:
        """The place of the fan-in's gene; those of the links follow."""
        return self.cells * BLOCK

    def decode(self, genes: Genes) -> Genome:
        """Return the genome of a vector; UsageError where it has another length or a gene out of range."""
        sizes = self.sizes
        if genes.shape != sizes.shape or bool(((genes < 0) | (genes >= sizes)).any()):
            raise UsageError(
                f"a gene vector of shape {genes.shape}, expected {sizes.shape}, every gene in 0 .. size - 1"
            )
        fan_in = self.fan_ins[int(genes[self.macro])]
        cells = []
        for block in genes[: self.macro].reshape(self.cells, BLOCK):
            name = self.motifs[int(block[0])]
            cells.append(MotifCell(name, tuple(KERNELS[int(block[at])] for at in expressed(name, fan_in))))
        return Genome(fan_in, tuple(cells), tuple(map(int, genes[self.macro + 1 :])))

    def encode(self, genome: Genome) -> Genes:
        """Return the vector of ``genome`` with silent genes 0; UsageError where it is not of this space."""
        if len(genome.cells) != self.cells or genome.fan_in not in self.fan_ins:
            raise UsageError(
                f"a genome of {len(genome.cells)} motif cells and fan-in {genome.fan_in}, expected {self.cells} cells "
                f"and a fan-in of {self.fan_ins}"
            )
        links = genome.links or (0,) * len(self.links)
        if len(links) != len(self.links) or any(link > most for link, most in zip(links, self.links, strict=True)):
            raise UsageError(f"links {genome.links} of a genome are not of this space, expected at most {self.links}")
        genes = np.zeros((self.cells, BLOCK), dtype=np.int64)
        for block, cell in zip(genes, genome.cells, strict=True):
            if cell.motif not in self.motifs:
                raise UsageError(f"motif {cell.motif} of a genome is not of this space, expected {self.motifs}")
            block[0] = self.motifs.index(cell.motif)
            block[list(expressed(cell.motif, genome.fan_in))] = [KERNELS.index(kernel) for kernel in cell.kernels]
        return np.array([*genes.ravel(), self.fan_ins.index(genome.fan_in), *links], dtype=np.int64)

    def draw(self, rng: np.random.Generator) -> Genes:
        """Draw a vector, every gene uniformly."""
        return np.asarray(rng.integers(0, self.sizes), dtype=np.int64)

    def random(self, rng: np.random.Generator) -> Genome:
        """Draw a genome, every gene uniformly."""
        return self.decode(self.draw(rng))


def scales_of(space: GenomeSpace, genes: Genes) -> tuple[list[int], list[int], list[int]]:
    """Return the places of a vector's expressed genes by scale: kernels, motifs, and fan-in with links."""
    fan_in = space.fan_ins[int(genes[space.macro])]
    motifs = [number * BLOCK for number in range(space.cells)]
    kernels = [at + place for at in motifs for place in expressed(space.motifs[int(genes[at])], fan_in)]
    return kernels, motifs, list(range(space.macro, len(genes)))


def expressed(motif: str, fan_in: int) -> tuple[int, ...]:
    """Return the places in a block of the kernel genes that ``motif`` reads; a synapse has the same at any fan-in."""
    return tuple(1 + _SLOTS[motif].index(edge.name) for edge in MOTIFS[motif].edges(fan_in))
