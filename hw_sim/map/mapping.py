"""Places a program on the cores of a chip: which neurons share a core, what each core uses, and what does not fit.

Greedy and deterministic. Every population is cut into boxes (channels x rows x columns) until each box fits a core
alone (``tiling``); then the boxes are packed in depth order, each into the first recent core with room, and the cores
change places so that messages take fewer hops (``placement``). Synapses live with their targets. A box's cost is its
neurons (compartments), the synaptic memory and incoming axons that ``wiring`` counts, and out_axons: per neuron and
target box, 1 slot, or 2 for a population axon (nengo-loihi's pop32). Boxes that share a core are charged separately,
so axons are an upper bound.

One neuron's whole fan-in lies on its core: a core cannot add up currents that were formed on another, so a neuron
whose synapses exceed a core's memory is a misfit, not a cut.

The readout: its dense synapses and one accumulating compartment per class sit on a core like a last population
(``READOUT``); the compartments never fire, the host reads and sums them. ``input`` and ``clock`` are driven by the
host and use no core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.map import placement
from snnas.hw_sim.map.placement import Hops, Rates
from snnas.hw_sim.map.system import RESOURCES, UNLIMITED, System
from snnas.hw_sim.map.system import load_system as load_system
from snnas.hw_sim.map.tiling import cut_all, need_of, slots_per_neuron
from snnas.hw_sim.map.wiring import READOUT, Box, Wiring, box_slices, wirings
from snnas.hw_sim.program import Program, Shape

RECENT_CORES = 16  # how far back the packer looks for room


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A box of a population on a core."""

    population: str
    core: int
    box: Box

    @property
    def where(self) -> tuple[slice, slice, slice]:
        return box_slices(self.box)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What exceeds a limit: where, which resource, how much of it."""

    place: str
    resource: str
    used: int
    limit: int

    def __str__(self) -> str:
        over = self.used - self.limit
        return f"{self.place} needs {self.used} {self.resource}, {over} more than the {self.limit} there are"


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """One resource over all cores. limit None: unpublished. binds: cores on which it is the fullest of all."""

    limit: int | None
    mean: float | None
    highest: float | None
    used: int
    binds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Where everything is.

    usage[core][resource] = (used, limit). chips: of the smallest system that holds the cores, or of the largest where
    none does; chips_used: how many of them hold a core of ours. misfits: the largest per population and resource.
    hops: what changing places saved; None where there are too many cores to search.
    """

    system: System
    slices: tuple[Slice, ...]
    usage: tuple[dict[str, tuple[int, int]], ...]
    chips: int
    chips_used: int
    misfits: tuple[Misfit, ...]
    hops: Hops | None = None
    weight_bits: int = WEIGHT_BITS

    @property
    def cores(self) -> int:
        return len(self.usage)

    @property
    def fits(self) -> bool:
        return not self.misfits

    @property
    def utilisation(self) -> dict[str, Utilisation]:
        """Per resource: used / limit over the cores, and how many cores it binds."""
        fullest = Counter(max(u, key=lambda r: u[r][0] / u[r][1]) for u in self.usage)
        found = {}
        for r in RESOURCES:
            shares = [u[r][0] / u[r][1] for u in self.usage]
            limit = getattr(self.system, r)
            known = limit < UNLIMITED
            found[r] = Utilisation(
                limit=limit if known else None,
                mean=sum(shares) / max(1, len(shares)) if known else None,
                highest=max(shares, default=0.0) if known else None,
                used=sum(u[r][0] for u in self.usage),
                binds=fullest[r],
            )
        return found

    @property
    def binds(self) -> str:
        """The resource that is the fullest on most cores."""
        found = self.utilisation
        return max(RESOURCES, key=lambda r: found[r].binds)

    def of(self, population: str) -> list[Slice]:
        """The slices of a population."""
        return [s for s in self.slices if s.population == population]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {**asdict(self), "cores": self.cores, "fits": self.fits}


def map_program(
    program: Program, system: System, *, rates: Rates | None = None, weight_bits: int | None = None
) -> Mapping:
    """The placement of a program. What does not fit is in ``misfits``; nothing is raised for it.

    rates: {population: spikes per neuron and timestep}, which weight the hops. weight_bits: to ask what fewer
    would take; None: as the program has them.
    """
    joined = list(wirings(program, weight_bits).values())
    shapes = _shapes(program)
    boxes = cut_all(shapes, system, joined)
    usage: list[dict[str, int]] = []
    slices: list[tuple[str, int, Box]] = []
    misfits: list[Misfit] = []
    for name, shape in shapes.items():
        slots = slots_per_neuron(name, shape, joined, system, boxes)
        into = [w for w in joined if w.dst == name]
        for box in boxes[name]:
            need = need_of(box, into, system, slots)
            over = [Misfit(place=name, resource=r, used=need[r], limit=getattr(system, r)) for r in RESOURCES]
            misfits += [m for m in over if m.used > m.limit]
            core = _room(usage, need, system)
            for r in RESOURCES:
                usage[core][r] += need[r]
            slices.append((name, core, box))
    chips_used = -(-len(usage) // system.cores)
    chips = next((n for n in system.chips if n >= chips_used), system.chips[-1])
    if chips_used > chips:
        misfits.append(Misfit(place="program", resource="cores", used=len(usage), limit=chips * system.cores))
    place, hops = _place(joined, slices, shapes, len(usage), system, rates)
    settled = dict(zip(place, usage, strict=True))
    return Mapping(
        system=system,
        slices=tuple(Slice(population=name, core=place[core], box=box) for name, core, box in slices),
        usage=tuple({r: (settled[core][r], getattr(system, r)) for r in RESOURCES} for core in range(len(usage))),
        chips=chips,
        chips_used=chips_used,
        misfits=tuple(_worst(misfits)),
        hops=hops,
        weight_bits=weight_bits or program.weight_bits,
    )


def _place(
    joined: list[Wiring],
    slices: list[tuple[str, int, Box]],
    shapes: dict[str, Shape],
    cores: int,
    system: System,
    rates: Rates | None,
) -> tuple[list[int], Hops | None]:
    """The place of each core, and the hops that it saves."""
    if cores > placement.MAX_CORES:
        return list(range(cores)), None
    parts: dict[str, list[tuple[int, Box]]] = {name: [] for name in shapes}
    for name, core, box in slices:
        parts[name].append((core, box))
    messages = placement.traffic(joined, parts, shapes, cores, rates)
    place, hops = placement.improve(messages, system.position, rates is not None)
    return [int(p) for p in place], hops


def _room(usage: list[dict[str, int]], need: dict[str, int], system: System) -> int:
    """The first recent core with room for ``need``, or a new one."""
    limits = [(r, getattr(system, r) - need[r]) for r in RESOURCES]
    for core in range(max(0, len(usage) - RECENT_CORES), len(usage)):
        used = usage[core]
        if all(used[r] <= left for r, left in limits):
            return core
    usage.append(dict.fromkeys(RESOURCES, 0))
    return len(usage) - 1


def _worst(misfits: list[Misfit]) -> Iterator[Misfit]:
    """One misfit per place and resource: the largest."""
    worst: dict[tuple[str, str], Misfit] = {}
    for m in misfits:
        key = m.place, m.resource
        worst[key] = max(worst.get(key, m), m, key=lambda x: x.used)
    yield from worst.values()


def _shapes(program: Program) -> dict[str, Shape]:
    """Every population in depth order, then the readout."""
    return {p.id: p.shape for p in program.in_order} | {READOUT: (program.readout.classes, 1, 1)}
