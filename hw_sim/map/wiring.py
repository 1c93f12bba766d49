"""What a program's synapses join and what a core pays for them: synaptic memory, axons, events; nothing is unrolled.

A target's neurons are asked for by boxes (channels x rows x columns). A box's cost:

memory: for each source list of n weights, nengo-loihi's ``bits_per_axon``: blocks of at most 64 weights, each
``n * bits + 10`` header bits rounded up to a word of 64 bits; bits are those of a weight (the program's; the clock's
and the readout's have 8), and 10 index bits more except in a dense list (contiguous targets). Dense and sparse maps
store one list per source neuron; a convolution's kernel is stored **once per core**, one list per input channel and
group, because all positions share it (a lower bound: real mappings repeat lists at borders, up to fourfold; nengo-loihi
docs/tips). A ``pooled_conv`` is stored as its effective kernel.

in_axons: a convolution takes a *population axon* per source pixel (the channel rides along as the atom); dense and
sparse maps take one axon per source neuron, or population axons where that exceeds the limit (the number of atoms is
not limited here).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from snnas.hw_sim.entries import Entries, Matrix
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.linear import factors, support
from snnas.hw_sim.program import CLOCK, LinearMap, Program, Shape

READOUT = "@readout"  # the accumulators' name beside the populations'
INDEX_BITS, HEADER_BITS, BLOCK, WORD = 10, 10, 64, 64

Box = tuple[int, int, int, int, int, int]  # channels c0:c1, rows h0:h1, columns w0:w1
Index = tuple[np.ndarray, ...]  # indexes a (C, H, W) array


def box_size(box: Box) -> int:
    """The neurons in a box."""
    return math.prod(box[2 * a + 1] - box[2 * a] for a in range(3))


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """A box as an index of a (C, H, W) array."""
    return slice(box[0], box[1]), slice(box[2], box[3]), slice(box[4], box[5])


class Wiring:
    """What a synapse joins, by its support: zero weights count, nothing is unrolled. Shapes are (C, H, W)."""

    def __init__(
        self, linear: LinearMap, src: str, dst: str, src_shape: Shape, dst_shape: Shape, bits: int = WEIGHT_BITS
    ) -> None:
        self.map, self.src, self.dst, self.src_shape, self.dst_shape = linear, src, dst, src_shape, dst_shape
        self.bits = bits
        self.is_conv = linear.kind in ("conv", "pooled_conv")
        # A large cell asks a million times; a convolution's windows depend on rows and columns, its memory on channels.
        self._seen: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._kept: dict[tuple[int, ...], int] = {}
        if self.is_conv:
            self.rows, self.columns = (support(linear, src_shape, axis) for axis in (0, 1))

    def population_axons(self, limit: int) -> bool:
        """Whether an incoming axon stands for a pixel and not for a neuron, on cores with ``limit`` of them."""
        return self.is_conv or math.prod(self.src_shape) > limit

    def reached(self, box: Box) -> Index:
        """The source neurons with a synapse into the box, as an index of a (C, H, W) array."""
        if self.is_conv:
            return np.ix_(np.arange(*self._channels(box)), *self._windows(box))
        if self.map.kind == "dense":
            return np.ix_(*(np.arange(n) for n in self.src_shape))
        return np.unravel_index(np.unique(self._columns(box)), self.src_shape)

    def add(self, counts: np.ndarray, boxes: Iterable[Box], value: int) -> None:
        """Add ``value`` to the counts (C, H, W) of all that is ``reached``, once for each box."""
        if not self.is_conv:
            for box in boxes:
                counts[self.reached(box)] += value
            return
        # Boxes that differ in their channels alone reach the same.
        alike = Counter((self._channels(box), (0, 0, *box[2:])) for box in boxes)
        for (channels, window), times in alike.items():
            rows, columns = self._windows(window)
            if all(len(at) and at[0] + len(at) - 1 == at[-1] for at in (rows, columns)):  # no gaps: a view
                counts[slice(*channels), rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += times * value
            else:
                counts[np.ix_(np.arange(*channels), rows, columns)] += times * value

    def in_axons(self, box: Box, limit: int) -> int:
        """Entries in the core's table of incoming axons, which holds ``limit``."""
        if self.is_conv:
            return math.prod(map(len, self._windows(box)))
        by_pixel, pixels = self.population_axons(limit), math.prod(self.src_shape[1:])
        if self.map.kind == "dense":
            return pixels if by_pixel else math.prod(self.src_shape)
        columns = self._columns(box)
        return len(np.unique(columns % pixels if by_pixel else columns))

    def _channels(self, box: Box) -> tuple[int, int]:
        """The first channel of the source that a convolution's box sees, and the one behind the last."""
        out, into = self.map.weight.shape[0] // self.map.groups, self.map.weight.shape[1]
        return box[0] // out * into, -(-box[1] // out) * into

    def _windows(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The rows and the columns of the source that a convolution's box sees."""
        if (found := self._seen.get(box[2:])) is None:
            rows, columns = self.rows[box[2] : box[3]].any(axis=0), self.columns[box[4] : box[5]].any(axis=0)
            found = self._seen[box[2:]] = np.flatnonzero(rows), np.flatnonzero(columns)
        return found

    def memory(self, box: Box) -> int:
        """Bytes of synaptic memory on the box's core."""
        if self.map.kind == "dense":
            return math.prod(self.src_shape) * int(list_bytes(box_size(box), self.bits))
        if self.map.kind == "sparse":
            return int(list_bytes(np.bincount(self._columns(box)), self.bits + INDEX_BITS).sum())
        if (found := self._kept.get(box[:2])) is None:
            o, into = self.map.weight.shape[:2]
            o //= self.map.groups
            per_group = [min(box[1], (g + 1) * o) - max(box[0], g * o) for g in range(box[0] // o, -(-box[1] // o))]
            window = math.prod(_effective_kernel(self.map, axis) for axis in (0, 1))
            found = int(into * list_bytes(np.array(per_group) * window, self.bits + INDEX_BITS).sum())
            self._kept[box[:2]] = found
        return found

    def connections(self, box: Box) -> int:
        """Synapses into the box, edge-aware."""
        if self.map.kind == "dense":
            return math.prod(self.src_shape) * box_size(box)
        if self.map.kind == "sparse":
            return int(self._columns(box).size)
        rows, columns = self.rows[box[2] : box[3]].sum(), self.columns[box[4] : box[5]].sum()
        return int((box[1] - box[0]) * (self.src_shape[0] // self.map.groups) * rows * columns)

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
        rows[box_slices(box)] = True
        return np.asarray(self.map.indices[np.repeat(rows.ravel(), np.diff(self.map.indptr))])


def list_bytes(n: Any, bits: int) -> Any:
    """Bytes of lists of ``n`` weights (an int or an array) at ``bits`` each; an empty list takes none."""
    full, rest = np.divmod(n, BLOCK)
    last = np.where(rest > 0, -(-(rest * bits + HEADER_BITS) // WORD), 0)
    return (full * -(-(BLOCK * bits + HEADER_BITS) // WORD) + last) * (WORD // 8)


def wirings(program: Program, bits: int | None = None) -> dict[str, Wiring]:
    """The wiring of every synapse by its id, and of the readout: ``READOUT`` of its first reading, ``READOUT1`` ...

    bits: of every stored weight, to ask what fewer would save; None: as the program has them.
    """
    wide, narrow = bits or WEIGHT_BITS, bits or program.weight_bits
    joined = {}
    for s in program.synapses:
        shapes = program.source_shape(s.src), program.population(s.dst).shape
        joined[s.id] = Wiring(s.map, s.src, s.dst, *shapes, wide if s.src == CLOCK else narrow)
    classes = (program.readout.classes, 1, 1)
    for k, r in enumerate(program.readout.readings):
        shape = program.source_shape(r.src)
        joined[f"{READOUT}{k or ''}"] = Wiring(_as_map(r.weight), r.src, READOUT, shape, classes, wide)
    return joined


def _as_map(matrix: Matrix) -> LinearMap:
    """A readout's matrix as a synapse's."""
    if isinstance(matrix, Entries):
        return LinearMap(kind="sparse", weight=matrix.values, indices=matrix.indices, indptr=matrix.indptr)
    return LinearMap(kind="dense", weight=matrix)


def readout_depth(program: Program) -> int:
    """The hardware step of a timestep on which the readout has all its input."""
    return 1 + max(program.schedule.depth[name] for name in program.readout.sources)


def _effective_kernel(linear: LinearMap, axis: int) -> int:
    """The window of inputs that one output sees, away from borders."""
    size, jump = 1, 1
    for kernel, stride, _ in factors(linear, axis):
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size
