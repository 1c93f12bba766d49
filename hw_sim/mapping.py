"""Places a program on the cores of a chip: which neurons share a core, what each core uses, and what does not fit.

Greedy and deterministic. Every population is cut into boxes (channels x rows x columns) until each box fits a core
alone; then the boxes are packed in depth order, each into the first recent core with room. Synapses live with their
targets. A box's cost is its neurons (compartments), the synaptic memory and incoming axons that ``wiring`` counts, and
out_axons: per neuron and target box, 1 slot, or 2 for a population axon (nengo-loihi's pop32). Boxes that share a core
are charged separately, so axons are an upper bound.

The readout: its dense synapses and one accumulating compartment per class sit on a core like a last population
(``READOUT``); the compartments never fire, the host reads and sums them. ``input`` and ``clock`` are driven by the
host and use no core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hw_sim.errors import InvalidFileError
from hw_sim.program import Program, Shape
from hw_sim.tables import read_table, shipped
from hw_sim.wiring import READOUT, Box, Wiring, box_size, box_slices, wirings

RESOURCES = ("compartments", "synapse_bytes", "in_axons", "out_axons")
RECENT_CORES = 16  # how far back the packer looks for room


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A chip and the sizes in which it was built. Limits are per core; cores per chip; chips ascending."""

    name: str
    compartments: int
    synapse_bytes: int
    in_axons: int
    out_axons: int
    cores: int
    tile_cores: int
    mesh_rows: int
    chips: tuple[int, ...]

    def position(self, core: int) -> tuple[int, int, int]:
        """(chip, column, row) of a core's tile; tiles fill column by column."""
        chip, local = divmod(core, self.cores)
        column, row = divmod(local // self.tile_cores, self.mesh_rows)
        return chip, column, row


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
class Mapping:
    """Where everything is.

    usage[core][resource] = (used, limit). chips: of the smallest system that holds the cores, or of the largest where
    none does; chips_used: how many of them hold a core of ours. misfits: the largest per population and resource.
    """

    system: System
    slices: tuple[Slice, ...]
    usage: tuple[dict[str, tuple[int, int]], ...]
    chips: int
    chips_used: int
    misfits: tuple[Misfit, ...]

    @property
    def cores(self) -> int:
        return len(self.usage)

    @property
    def fits(self) -> bool:
        return not self.misfits

    def of(self, population: str) -> list[Slice]:
        """The slices of a population."""
        return [s for s in self.slices if s.population == population]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {**asdict(self), "cores": self.cores, "fits": self.fits}


def map_program(program: Program, system: System) -> Mapping:
    """The placement of a program. What does not fit is in ``misfits``; nothing is raised for it."""
    joined = list(wirings(program).values())
    boxes = _cut_all(program, system, joined)
    usage: list[dict[str, int]] = []
    slices: list[Slice] = []
    misfits: list[Misfit] = []
    for name, shape in _shapes(program).items():
        slots = _slots_per_neuron(name, shape, joined, system, boxes)
        for box in boxes[name]:
            need = _need(name, box, joined, system, slots)
            over = [Misfit(place=name, resource=r, used=need[r], limit=getattr(system, r)) for r in RESOURCES]
            misfits += [m for m in over if m.used > m.limit]
            core = _room(usage, need, system)
            for r in RESOURCES:
                usage[core][r] += need[r]
            slices.append(Slice(population=name, core=core, box=box))
    chips_used = -(-len(usage) // system.cores)
    chips = next((n for n in system.chips if n >= chips_used), system.chips[-1])
    if chips_used > chips:
        misfits.append(Misfit(place="program", resource="cores", used=len(usage), limit=chips * system.cores))
    return Mapping(
        system=system,
        slices=tuple(slices),
        usage=tuple({r: (u[r], getattr(system, r)) for r in RESOURCES} for u in usage),
        chips=chips,
        chips_used=chips_used,
        misfits=tuple(_worst(misfits)),
    )


def _room(usage: list[dict[str, int]], need: dict[str, int], system: System) -> int:
    """The first recent core with room for ``need``, or a new one."""
    for core in range(max(0, len(usage) - RECENT_CORES), len(usage)):
        if all(usage[core][r] + need[r] <= getattr(system, r) for r in RESOURCES):
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
    return {p.id: p.shape for p in program.in_order} | {READOUT: (len(program.readout.weight), 1, 1)}


def _cut_all(program: Program, system: System, joined: list[Wiring]) -> dict[str, list[Box]]:
    """Boxes that fit a core alone, as far as cutting helps.

    Cutting a target adds axons to its sources, hence the loop. It ends because boxes only get smaller, or because
    there are more of them than cores anywhere.
    """
    shapes = _shapes(program)
    boxes: dict[str, list[Box]] = {n: [(0, s[0], 0, s[1], 0, s[2])] for n, s in shapes.items()}
    most = system.cores * system.chips[-1]
    changed = True
    while changed and sum(map(len, boxes.values())) <= most:
        changed = False
        for name in reversed(boxes):  # targets first: their cuts decide their sources' axons
            fan = _slots_per_neuron(name, shapes[name], joined, system, boxes)
            cut: list[Box] = []
            for box in boxes[name]:
                parts = list(_cut(box, _need(name, box, joined, system, fan), system))
                changed |= len(parts) > 1
                cut += parts
            boxes[name] = cut
    return boxes


def _cut(box: Box, need: dict[str, int], system: System) -> Iterator[Box]:
    """The box in one piece where it fits (or is one neuron), else cut along one axis.

    Memory is cut by channels, because a kernel is stored per output channel on each core; everything else by rows or
    columns, because a neuron then reaches few boxes of its targets.
    """
    ratio = {r: need[r] / getattr(system, r) for r in RESOURCES}
    resource = "synapse_bytes" if ratio["synapse_bytes"] > 1 else max(ratio, key=lambda r: ratio[r])
    sizes = [box[2 * a + 1] - box[2 * a] for a in range(3)]
    if ratio[resource] <= 1 or max(sizes) == 1:
        yield box
        return
    spatial = max((1, 2), key=lambda a: sizes[a])
    axis = 0 if (resource == "synapse_bytes" or sizes[spatial] == 1) and sizes[0] > 1 else spatial
    wanted = ratio[resource] if axis == 0 else max(min(ratio[resource], 2), math.sqrt(ratio[resource]))
    edges = np.linspace(box[2 * axis], box[2 * axis + 1], min(sizes[axis], math.ceil(wanted)) + 1).astype(int).tolist()
    for low, high in pairwise(edges):
        part = list(box)
        part[2 * axis : 2 * axis + 2] = [low, high]
        yield (part[0], part[1], part[2], part[3], part[4], part[5])


def _slots_per_neuron(
    name: str, shape: Shape, joined: list[Wiring], system: System, boxes: dict[str, list[Box]]
) -> np.ndarray:
    """Out-axon slots of each neuron of a population, (C, H, W)."""
    slots = np.zeros(shape, dtype=np.int64)
    for w in joined:
        if w.src == name:
            for box in boxes[w.dst]:
                slots[w.reached(box)] += 2 if w.population_axons(system.in_axons) else 1
    return slots


def _need(name: str, box: Box, joined: list[Wiring], system: System, slots: np.ndarray) -> dict[str, int]:
    into = [w for w in joined if w.dst == name]
    return {
        "compartments": box_size(box),
        "synapse_bytes": sum(w.memory(box) for w in into),
        "in_axons": sum(w.in_axons(box, system.in_axons) for w in into),
        "out_axons": int(slots[box_slices(box)].sum()),
    }


def load_system(name: str = "loihi1") -> System:
    """A system by name or path. InvalidFileError says which limit is missing or no count."""
    path = shipped(name, "systems")
    table = read_table(path)
    limits = table.get("limits")
    per_core = ("cores", "tile_cores", "mesh_rows", *RESOURCES)
    found = {}
    for key in per_core:
        entry = limits.get(key) if isinstance(limits, dict) else None
        value = entry.get("value") if isinstance(entry, dict) else None
        if type(value) is not int or value < 1:
            raise InvalidFileError(f"{path}: limits.{key}.value is {value!r}; expected a whole number >= 1")
        found[key] = value
    entry = table.get("chips")
    chips = entry.get("value") if isinstance(entry, dict) else None
    if not isinstance(chips, list) or not chips or any(type(n) is not int or n < 1 for n in chips):
        raise InvalidFileError(f"{path}: chips.value is {chips!r}; expected a list of whole numbers >= 1")
    return System(name=str(table.get("name", path.stem)), chips=tuple(sorted(chips)), **found)
