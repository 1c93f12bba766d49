"""Places a program on the cores of a chip: which neurons share a core, what each core uses, and what does not fit.

Greedy and deterministic. Every population is cut into boxes (channels x rows x columns) until each box fits a core
alone; then the boxes are packed in depth order, each into the first recent core with room. Synapses live with their
targets. A box's cost:

compartments: its neurons. synapse_bytes: for each source list of n weights, nengo-loihi's ``bits_per_axon``: blocks
of at most 64 weights, each ``n * bits + 10`` header bits rounded up to a word of 64 bits; bits are 8 for a dense list
(contiguous targets) and 8 + 10 index bits elsewhere. Dense and sparse maps store one list per source neuron; a
convolution's kernel is stored **once per core**, one list per input channel and group, because all positions share
it (a lower bound: real mappings repeat lists at borders, up to fourfold; nengo-loihi docs/tips). A ``pooled_conv``
is stored as its effective kernel. in_axons: a convolution takes a *population axon* per source pixel (the channel
rides along as the atom); dense and sparse maps take one axon per source neuron, or population axons where that
exceeds the limit (the number of atoms is not limited here). out_axons: per neuron and target box, 1 slot, or 2 for a
population axon (nengo-loihi's pop32). Boxes that share a core are charged separately, so axons are an upper bound.

The readout: its dense synapses and one accumulating compartment per class sit on a core like a last population
(``READOUT``); the compartments never fire, the host reads and sums them. ``input`` and ``clock`` are driven by the
host and use no core.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hw_sim.errors import InvalidFileError, UsageError
from hw_sim.program import LinearMap, Program, Shape

READOUT = "@readout"  # the accumulators' name beside the populations'
RESOURCES = ("compartments", "synapse_bytes", "in_axons", "out_axons")
WEIGHT_BITS, INDEX_BITS, HEADER_BITS, BLOCK, WORD = 8, 10, 10, 64, 64
RECENT_CORES = 16  # how far back the packer looks for room
TABLE_BYTES_MAX = 1 << 20

Box = tuple[int, int, int, int, int, int]  # channels c0:c1, rows h0:h1, columns w0:w1
Index = tuple[np.ndarray, ...]  # indexes a (C, H, W) array


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
        return _slices(self.box)


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


class Wiring:
    """What a synapse joins, by its support: zero weights count, nothing is unrolled. Shapes are (C, H, W)."""

    def __init__(self, linear: LinearMap, src: str, dst: str, src_shape: Shape, dst_shape: Shape) -> None:
        self.map, self.src, self.dst, self.src_shape, self.dst_shape = linear, src, dst, src_shape, dst_shape
        self.is_conv = linear.kind in ("conv", "pooled_conv")
        if self.is_conv:
            self.rows, self.columns = (_support(linear, src_shape, axis) for axis in (0, 1))

    def population_axons(self, system: System) -> bool:
        return self.is_conv or math.prod(self.src_shape) > system.in_axons

    def reached(self, box: Box) -> Index:
        """The source neurons with a synapse into the box, as an index of a (C, H, W) array."""
        if self.is_conv:
            out, into = self.map.weight.shape[0] // self.map.groups, self.map.weight.shape[1]
            channels = np.arange(box[0] // out * into, -(-box[1] // out) * into)
            rows, columns = self.rows[box[2] : box[3]].any(axis=0), self.columns[box[4] : box[5]].any(axis=0)
            return np.ix_(channels, np.flatnonzero(rows), np.flatnonzero(columns))
        if self.map.kind == "dense":
            return np.ix_(*(np.arange(n) for n in self.src_shape))
        return np.unravel_index(np.unique(self._columns(box)), self.src_shape)

    def in_axons(self, box: Box, system: System) -> int:
        """Entries in the core's table of incoming axons."""
        index = self.reached(box)
        if not self.population_axons(system):
            return int(np.broadcast(*index).size)
        if index[0].ndim == 1:
            return int(np.unique(index[1] * self.src_shape[2] + index[2]).size)
        return int(index[1].size * index[2].size)

    def memory(self, box: Box) -> int:
        """Bytes of synaptic memory on the box's core."""
        if self.map.kind == "dense":
            return math.prod(self.src_shape) * int(list_bytes(_size(box), WEIGHT_BITS))
        if self.map.kind == "sparse":
            return int(list_bytes(np.bincount(self._columns(box)), WEIGHT_BITS + INDEX_BITS).sum())
        o, into = self.map.weight.shape[:2]
        o //= self.map.groups
        per_group = [min(box[1], (g + 1) * o) - max(box[0], g * o) for g in range(box[0] // o, -(-box[1] // o))]
        window = math.prod(_effective_kernel(self.map, axis) for axis in (0, 1))
        return int(into * list_bytes(np.array(per_group) * window, WEIGHT_BITS + INDEX_BITS).sum())

    def arrivals(self, spikes: np.ndarray) -> np.ndarray:
        """Synaptic events per target neuron: spikes bool (N, C, H, W) -> exact float32 counts, for ``spread``.

        (N, groups, H', W') of a convolution, (N, 1, 1, 1) of a dense map, (N, *dst_shape) of a sparse one.
        """
        n, (c, h, w) = len(spikes), self.src_shape
        if self.is_conv:
            groups = self.map.groups
            summed = spikes.reshape(n, groups, c // groups, h, w).sum(axis=2, dtype=np.float32)
            out: np.ndarray = self.rows.astype(np.float32) @ summed @ self.columns.T.astype(np.float32)
            return out
        flat = spikes.reshape(n, -1)
        if self.map.kind == "dense":
            return np.asarray(flat.sum(axis=1, dtype=np.float32)).reshape(n, 1, 1, 1)
        assert self.map.indices is not None
        assert self.map.indptr is not None
        out = np.zeros((n, self.map.indptr.size - 1), dtype=np.float32)
        filled = np.flatnonzero(np.diff(self.map.indptr))
        chunk = max(1, (1 << 24) // max(1, self.map.indices.size))  # keeps the gathered rows below 64 MiB
        for start in range(0, n if filled.size else 0, chunk):
            gathered = flat[start : start + chunk, self.map.indices].astype(np.float32)
            out[start : start + chunk, filled] = np.add.reduceat(gathered, self.map.indptr[filled], axis=1)
        return out.reshape(n, *self.dst_shape)

    def spread(self, counts: np.ndarray) -> np.ndarray:
        """What ``arrivals`` gave (or a sum of it), one value per target neuron: (N, *dst_shape)."""
        if 1 < counts.shape[1] < self.dst_shape[0]:
            counts = np.repeat(counts, self.dst_shape[0] // counts.shape[1], axis=1)
        return np.broadcast_to(counts, (len(counts), *self.dst_shape))

    def _columns(self, box: Box) -> np.ndarray:
        """The source of every weight of a sparse map in the box's rows."""
        assert self.map.indices is not None
        assert self.map.indptr is not None
        rows = np.zeros(self.dst_shape, dtype=bool)
        rows[_slices(box)] = True
        return np.asarray(self.map.indices[np.repeat(rows.ravel(), np.diff(self.map.indptr))])


def list_bytes(n: Any, bits: int) -> Any:
    """Bytes of lists of ``n`` weights (an int or an array) at ``bits`` each; an empty list takes none."""
    full, rest = np.divmod(n, BLOCK)
    last = np.where(rest > 0, -(-(rest * bits + HEADER_BITS) // WORD), 0)
    return (full * -(-(BLOCK * bits + HEADER_BITS) // WORD) + last) * (WORD // 8)


def wirings(program: Program) -> dict[str, Wiring]:
    """The wiring of every synapse by its id, and of the readout."""
    joined = {
        s.id: Wiring(s.map, s.src, s.dst, program.source_shape(s.src), program.population(s.dst).shape)
        for s in program.synapses
    }
    r = program.readout
    dense = LinearMap(kind="dense", weight=r.weight)
    joined[READOUT] = Wiring(dense, r.src, READOUT, program.source_shape(r.src), (len(r.weight), 1, 1))
    return joined


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
                slots[w.reached(box)] += 2 if w.population_axons(system) else 1
    return slots


def _need(name: str, box: Box, joined: list[Wiring], system: System, slots: np.ndarray) -> dict[str, int]:
    into = [w for w in joined if w.dst == name]
    return {
        "compartments": _size(box),
        "synapse_bytes": sum(w.memory(box) for w in into),
        "in_axons": sum(w.in_axons(box, system) for w in into),
        "out_axons": int(slots[_slices(box)].sum()),
    }


def _size(box: Box) -> int:
    return math.prod(box[2 * a + 1] - box[2 * a] for a in range(3))


def _slices(box: Box) -> tuple[slice, slice, slice]:
    return slice(box[0], box[1]), slice(box[2], box[3]), slice(box[4], box[5])


def _factors(linear: LinearMap, axis: int) -> list[tuple[int, int, int]]:
    """(kernel, stride, pad) of the pools and the convolution along a spatial axis, in the order they act."""
    conv = (linear.weight.shape[2 + axis], linear.stride[axis], linear.pad[axis])
    pre, post = ([(p.kernel[axis], p.stride[axis], p.pad[axis]) for p in pools] for pools in (linear.pre, linear.post))
    return [*pre, conv, *post]


def _support(linear: LinearMap, shape: Shape, axis: int) -> np.ndarray:
    """(outputs, inputs) bool along a spatial axis: which positions are joined. A convolution's support is separable."""
    touches: np.ndarray = np.eye(shape[1 + axis], dtype=bool)
    for kernel, stride, pad in _factors(linear, axis):
        padded = np.pad(touches, ((pad, pad), (0, 0)))
        touches = np.asarray(sliding_window_view(padded, kernel, axis=0)[::stride].any(axis=2))
    return touches


def _effective_kernel(linear: LinearMap, axis: int) -> int:
    """The window of inputs that one output sees, away from borders."""
    size, jump = 1, 1
    for kernel, stride, _ in _factors(linear, axis):
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size


def read_table(path: Path) -> dict[str, Any]:
    """A TOML file of constants. InvalidFileError where it is no such file, UsageError where it does not exist."""
    try:
        with path.open("rb") as file:
            data = file.read(TABLE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file that exists") from None
    if len(data) > TABLE_BYTES_MAX:
        raise InvalidFileError(f"{path}: more than {TABLE_BYTES_MAX} bytes; a table of constants is smaller")
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8 and overlong numbers
        raise InvalidFileError(f"{path}: no TOML ({str(error).splitlines()[0]}); mend its syntax") from None


def shipped(name: str, folder: str) -> Path:
    """A named table that comes with the package, or the path of a user's own file (``*.toml`` or with a slash)."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return Path(name)
    home = Path(__file__).parent / folder
    known = sorted(p.stem for p in home.glob("*.toml"))
    if name not in known:
        raise UsageError(f"{name!r} is none of {', '.join(known)} in {folder}; name one, or the path of a .toml file")
    return home / f"{name}.toml"


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
