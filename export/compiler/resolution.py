"""The bits that quantisation has really left the weights of a population.

A weight has the bits that were asked for only where its scale lets the largest weight of its synapse use them. The
scale is one for the whole population, and what holds it down (a register that may not overflow, a synapse with much
larger weights) leaves a synapse few steps, or in the end none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Link
from snnas.export.compiler.signed_sums import signed_sums
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import CLOCK, Population, Program, Shape, Synapse

FEW_BITS = 4  # below, steps are so coarse that it is said
FELT = 0.01  # of a threshold; a synapse that cannot move the membrane by so much may round to nothing
MEND = "calibrate on samples (--data, --calibration), bring its weights nearer to those of the others, or set them to 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Of the weights into a population, the clock's left out; of the synapse that has least, largest and bits.

    bits: that the largest weight takes, its sign included. largest: magnitude, in steps. values: how many different
    integers there are, over all synapses. zeros: the share of the graph's weights other than 0 that became 0.
    exact: whether no weight was rounded; then few bits are all that the weights need.
    """

    bits: int
    largest: int
    values: int
    zeros: float
    exact: bool

    @property
    def few(self) -> bool:
        """Whether rounding has left less than is sound."""
        return self.bits < FEW_BITS and not self.exact

    def text(self, asked: int) -> str:
        """In words; asked: the bits of a weight of the program."""
        return (
            f"{self.bits} of {asked} bits left: largest weight {self.largest}, {self.values} different, "
            f"{self.zeros:.0%} rounded to 0"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def resolution(p: Population, links: Iterable[Link], synapses: Sequence[Synapse]) -> Resolution | None:
    """None for a gate, and where no synapse but the clock's or a host map leads into it."""
    real = {k.id: k.map.weight for k in links}
    pairs = [(s, real[s.id]) for s in synapses if s.src != CLOCK and s.id in real and real[s.id].any()]
    if p.role != "neuron" or not pairs:
        return None
    least = min((s for s, _ in pairs), key=lambda s: _bits(s.map.weight))
    meant = sum(int(np.count_nonzero(w)) for _, w in pairs)
    lost = sum(int(((s.map.weight == 0) & (w != 0)).sum()) for s, w in pairs)
    off = (np.abs(s.map.weight * ((1 << s.exponent) / p.scale) - w).max() / np.abs(w).max() for s, w in pairs)
    return Resolution(
        bits=_bits(least.map.weight),
        largest=int(np.abs(least.map.weight.astype(np.int64)).max()),
        values=np.unique(np.concatenate([s.map.weight.reshape(-1) for s, _ in pairs])).size,
        zeros=lost / meant,
        exact=bool(max(off) < 1e-4),
    )


def resolutions(links: Sequence[Link], program: Program) -> dict[str, Resolution]:
    """Of each population that has one."""
    found = {
        p.id: resolution(p, [k for k in links if k.dst == p.id], list(program.into(p.id))) for p in program.populations
    }
    return {name: r for name, r in found.items() if r is not None}


def refuse_silence(
    p: Population, links: Sequence[tuple[Link, Shape]], synapses: Sequence[Synapse], *, felt: float, bits: int
) -> None:
    """UnsupportedError for a synapse of which nothing is left though all of it together would be felt.

    links: with the shape of each source. felt: the least current, of every timestep, that moves the membrane by
    ``FELT`` of its threshold. bits: of a weight.
    """
    stored = {s.id: s for s in synapses}
    for k, shape in links:
        if k.id not in stored or stored[k.id].map.weight.any():
            continue
        low, high = signed_sums(k.map, shape, p.shape)
        if max(float(high.max()), -float(low.min())) >= felt:
            top = float(np.abs(k.map.weight).max())
            raise UnsupportedError(
                f"population {p.id}: every weight from {k.src} rounds to 0: the largest is {top:.3g}, a step "
                f"{1 / p.scale:.3g}; {MEND}" + (", or give more --bits" if bits < limits.WEIGHT_BITS else "")
            )


def _bits(weight: np.ndarray) -> int:
    """That two's complement takes: -128..127 are 8."""
    return max(int(weight.max(initial=0)), -1 - int(weight.min(initial=-1))).bit_length() + 1
