"""The program: the integer network of one target. What simulators run and what energy is counted on.

Plain frozen data. A program holds *populations* (neurons that share a leak and a threshold), *synapses* (integer
linear maps from one population's spikes to one population's input), a *host stage* (the real-valued linear maps
before the first neuron of an analogue input), a *readout* (what the host makes of spikes over time) and a
*schedule*. Two sources are not populations: ``input`` (spikes from outside) and ``clock`` (one neuron that fires at
every timestep, which carries the biases where the period exceeds 1). The host drives both, at any depth.

Real meaning: population p has a scale s_p, so that the integer ``n`` stands for the current ``n / s_p``; a synapse's
integer weight is ``weight * 2**exponent``. Shapes are (C, H, W); flattening is C-order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snnas.hw_sim import limits
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.readout import Readout

INPUT, CLOCK = "input", "clock"
RESERVED = frozenset({INPUT, CLOCK, "readout"})
HOSTED = (INPUT, CLOCK)  # driven in by the host, one hardware step before each reader

Shape = tuple[int, int, int]
Role = Literal["neuron", "or", "relay"]
Kind = Literal["conv", "dense", "sparse", "pooled_conv"]
InputKind = Literal["analogue", "spikes", "counts"]


@dataclass(frozen=True, slots=True)
class Pool:
    """A sum over windows; padding adds zeros. (An average pool's division is part of the scale.)"""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int] = (0, 0)

    def out_shape(self, shape: Shape) -> Shape:
        c, h, w = shape
        return (
            c,
            window_count(h, self.kernel[0], self.stride[0], self.pad[0]),
            window_count(w, self.kernel[1], self.stride[1], self.pad[1]),
        )


def window_count(size: int, kernel: int, stride: int, pad: int) -> int:
    """How many windows of ``kernel`` fit on ``size`` points with ``pad`` zeros on both sides; 0 where none does."""
    return max(0, (size + 2 * pad - kernel) // stride + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMap:
    """A linear map between two (C, H, W) arrays, applied as pools, then the weights, then pools.

    kind ``conv`` and ``pooled_conv``: weight (O, I/groups, kH, kW), torch's cross-correlation; ``pooled_conv`` has
    pools. ``dense``: weight (O, N). ``sparse``: weight (nnz,) with CSR ``indices`` and ``indptr`` over rows of the
    flattened target. ``post`` pools act after a convolution only.
    """

    kind: Kind
    weight: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    groups: int = 1
    pre: tuple[Pool, ...] = ()
    post: tuple[Pool, ...] = ()
    indices: np.ndarray | None = None
    indptr: np.ndarray | None = None

    def out_shape(self, shape: Shape) -> Shape:
        """The shape that an input of ``shape`` is mapped to; ValueError where the two do not fit."""
        self._check()
        for pool in self.pre:
            shape = _something(pool.out_shape(shape))
        if self.kind in ("conv", "pooled_conv"):
            o, i, kh, kw = self.weight.shape
            if i * self.groups != shape[0] or o % self.groups:
                raise ValueError(f"weight {self.weight.shape} in {self.groups} groups does not fit {shape[0]} channels")
            height = window_count(shape[1], kh, self.stride[0], self.pad[0])
            shape = _something((o, height, window_count(shape[2], kw, self.stride[1], self.pad[1])))
            for pool in self.post:
                shape = _something(pool.out_shape(shape))
        elif self.kind == "dense":
            if self.weight.shape[1] != int(np.prod(shape)):
                raise ValueError(f"weight {self.weight.shape} does not fit {int(np.prod(shape))} inputs")
            shape = (self.weight.shape[0], 1, 1)
        else:
            shape = (self._rows(int(np.prod(shape))), 1, 1)
        return shape

    def _check(self) -> None:
        """What holds whatever the input's shape is."""
        if min((*self.stride, *(n for p in (*self.pre, *self.post) for n in (*p.kernel, *p.stride)))) < 1:
            raise ValueError("strides and pooling windows must be >= 1")
        if self.weight.ndim != {"dense": 2, "sparse": 1}.get(self.kind, 4) or 0 in self.weight.shape[:2]:
            raise ValueError(f"a {self.kind} map cannot have weights of shape {self.weight.shape}")

    def _rows(self, columns: int) -> int:
        """The number of rows of a sparse map, once its arrays are known to be a matrix of so many columns."""
        if self.indices is None or self.indptr is None or self.indptr.size < 2:
            raise ValueError("a sparse map needs indices and indptr")
        if int(self.indptr[0]) != 0 or (np.diff(self.indptr) < 0).any():
            raise ValueError("indptr must start at 0 and not descend")
        if self.indices.size and not 0 <= int(self.indices.min()) <= int(self.indices.max()) < columns:
            raise ValueError(f"indices leave the {columns} inputs")
        if int(self.indptr[-1]) != self.weight.size or self.indices.size != self.weight.size:
            raise ValueError("indptr, indices and weight disagree")
        return self.indptr.size - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Neurons that share a leak, a threshold and a bias exponent.

    dv: leak per hardware step, 0..4095 in 1/4096. vth: 0..131071, spike iff ``v > vth << 6``.
    du: decay of the synaptic current, 0..4095: a step keeps ``(4095 - du) / 4096`` of it; by default nothing.
    bias: int16 mantissas, (C, 1, 1) or (C, H, W), shifted left by ``bias_exponent`` (1/64 of a weight unit).
    scale: integer weight units per unit of real current. role: ``or`` and ``relay`` are overhead, not in SAR.
    taken: what a spike takes from v (soft reset), 1/64 of a weight unit; 0: v becomes 0, as Loihi's does.
    """

    id: str
    shape: Shape
    dv: int
    vth: int
    scale: float
    bias: np.ndarray
    bias_exponent: int = 0
    role: Role = "neuron"
    du: int = limits.NO_MEMORY
    taken: int = 0

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def current_decays(self) -> bool:
        """Whether the synaptic current outlives its timestep."""
        return self.du != limits.NO_MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Synapse:
    """An integer linear map from ``src``'s spikes to ``dst``'s input, at the same timestep or from the last one."""

    id: str
    src: str
    dst: str
    map: LinearMap
    exponent: int = 0
    distance: Literal[0, 1] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMap:
    """A real-valued linear map (float32 weights, computed in float64) from the analogue input to ``dst``'s current.

    distance: timesteps that the host waits before it injects it.
    """

    id: str
    dst: str
    map: LinearMap
    gain: float = 1.0
    distance: int = 0


HALVINGS_MAX = 30  # of a channel's step


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIntegers:
    """How a host that computes in integers sees the input: ``(pixel - zero) * step``, pixel uint8 (``host_stage``).

    finer: of each channel, how many times its step is halved, 0..30; () where all have the same.
    """

    step: float
    zero: int
    finer: tuple[int, ...] = ()

    def steps(self, channels: int) -> np.ndarray:
        """Of each channel, float64 (channels,)."""
        return self.step / 2.0 ** np.asarray(self.finer or (0,) * channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Timestep t of population p is computed at hardware step ``t * period + depth[p]``.

    Every synapse takes one hardware step, so ``period * distance + depth[dst] - depth[src] == 1`` for each synapse
    between populations (relays make it so); ``input`` and ``clock`` are driven one step before their reader.
    ``blank``: timesteps between samples in which the sources of delayed synapses are held silent (1 where the
    period exceeds 1 or a delayed synapse exists, else 0).
    """

    period: int
    depth: dict[str, int]
    blank: int = 0

    @property
    def total_depth(self) -> int:
        """Hardware steps from the first population's step to the last one's, inclusive."""
        return max(self.depth.values(), default=0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The integer network of one target; ``verify`` says whether it is one.

    host_integers: of a host stage that computes in integers; None: in float64.
    """

    timesteps: int
    input_shape: Shape
    input_kind: InputKind
    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    host: tuple[HostMap, ...]
    readout: Readout
    schedule: Schedule
    input_range: tuple[float, float] = (0.0, 1.0)
    host_integers: HostIntegers | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def population(self, name: str) -> Population:
        for p in self.populations:
            if p.id == name:
                return p
        raise KeyError(name)

    def into(self, name: str) -> Iterator[Synapse]:
        """The synapses into a population."""
        return (s for s in self.synapses if s.dst == name)

    def source_shape(self, name: str) -> Shape:
        if name == INPUT:
            return self.input_shape
        return (1, 1, 1) if name == CLOCK else self.population(name).shape

    @property
    def in_order(self) -> list[Population]:
        """Populations by depth: a population's same-timestep sources stand before it."""
        return sorted(self.populations, key=lambda p: self.schedule.depth[p.id])

    @property
    def weight_bits(self) -> int:
        """Bits of a stored weight: ``meta["bits"]``, 8 where it says none. The clock's and the readout's have 8."""
        return self.meta.get("bits", limits.WEIGHT_BITS)

    @property
    def observed(self) -> frozenset[str]:
        """Populations whose scale comes from what samples needed, not from a proof: ``meta["observed"]``.

        Simulators watch their registers and refuse a run in which one overflows.
        """
        return frozenset(self.meta.get("observed", ()))

    @property
    def recurrent(self) -> bool:
        return any(s.distance for s in self.synapses)

    def verify(self) -> None:
        """Raises where the program breaks its own rules or a register's width; says population, value and limit."""
        seen = set(RESERVED)
        for name in [x.id for part in (self.populations, self.synapses, self.host) for x in part]:
            if name in seen:
                raise InvalidFileError(f"program: id {name!r} repeats or is reserved; name each thing once")
            seen.add(name)
        names = {p.id for p in self.populations}
        if self.timesteps < 1 or not names:
            raise InvalidFileError(f"program: {self.timesteps} timesteps, {len(names)} populations; both must be >= 1")
        if set(self.schedule.depth) != names or self.schedule.period < 1 or min(self.schedule.depth.values()) < 0:
            raise InvalidFileError("program: the schedule must name each population once, with period >= 1, depth >= 0")
        if type(self.weight_bits) is not int or self.weight_bits not in limits.WEIGHT_WIDTHS:
            widths = ", ".join(map(str, limits.WEIGHT_WIDTHS))
            raise InvalidFileError(f"program: weights of {str(self.weight_bits)[:40]} bits; expected one of {widths}")
        watched = self.meta.get("observed", [])
        if not isinstance(watched, list) or not all(isinstance(name, str) and name in names for name in watched):
            raise InvalidFileError(f"program: observed is {str(watched)[:40]!r}; expected a list of its populations")
        for p in self.populations:
            _verify_population(p, self.schedule.period)
        for s in self.synapses:
            self._verify_synapse(s, names)
        for h in self.host:
            self._verify_host(h, names)
        given = self.host_integers
        if given is not None:
            self._verify_integers(given)
        self.readout.verify(self.timesteps, {p.id: p.size for p in self.populations})

    def _verify_integers(self, given: HostIntegers) -> None:
        if not (0 < given.step < float("inf") and 0 <= given.zero <= 255 and self.host):
            raise InvalidFileError(
                f"program: its host computes in integers of {given.step:g} from {given.zero}; expected a host stage, a "
                "step > 0 and a zero in 0..255"
            )
        fits = not given.finer or len(given.finer) == self.input_shape[0]
        if not fits or not all(0 <= halvings <= HALVINGS_MAX for halvings in given.finer):
            raise InvalidFileError(
                f"program: steps of its host are halved {str(given.finer)[:60]} times; expected "
                f"0..{HALVINGS_MAX} of each of {self.input_shape[0]} channels, or none"
            )

    def _verify_host(self, h: HostMap, names: set[str]) -> None:
        if h.dst not in names:
            raise InvalidFileError(f"program: host map {h.id} feeds {h.dst}, which is no population")
        if _mapped(h.id, h.map, self.input_shape) != _flat(h.map, self.population(h.dst).shape):
            raise InvalidFileError(f"program: host map {h.id} does not fit population {h.dst}")
        if h.distance < 0:
            raise InvalidFileError(f"program: host map {h.id} has distance {h.distance}; expected timesteps >= 0")

    def _verify_synapse(self, s: Synapse, names: set[str]) -> None:
        if s.dst not in names or s.src not in names | {INPUT, CLOCK}:
            raise InvalidFileError(f"program: synapse {s.id} joins {s.src} and {s.dst}; one of them does not exist")
        if (
            s.map.weight.dtype != np.int8
            or not 0 <= s.exponent <= limits.WEIGHT_EXPONENT_MAX
            or s.distance not in (0, 1)
        ):
            raise UnsupportedError(
                f"synapse {s.id}: {s.map.weight.dtype} weights, exponent {s.exponent}, distance {s.distance}; the "
                f"target takes int8, 0..{limits.WEIGHT_EXPONENT_MAX} and 0 or 1"
            )
        low, high = limits.weight_range(limits.WEIGHT_BITS if s.src == CLOCK else self.weight_bits)
        if s.map.weight.size and not low <= int(s.map.weight.min()) <= int(s.map.weight.max()) <= high:
            raise UnsupportedError(
                f"synapse {s.id}: its weights leave {low}..{high}, what {self.weight_bits} bits hold"
            )
        if s.distance and self.schedule.blank < 1:
            raise InvalidFileError(
                f"program: synapse {s.id} is delayed, so samples need a blank timestep between them; "
                f"schedule.blank is {self.schedule.blank}, expected >= 1"
            )
        dst = self.population(s.dst)
        if _mapped(s.id, s.map, self.source_shape(s.src)) != _flat(s.map, dst.shape):
            raise InvalidFileError(f"program: synapse {s.id} does not map {s.src} onto {s.dst} {dst.shape}")
        if s.src in names:
            depth = self.schedule.depth
            slack = self.schedule.period * s.distance + depth[s.dst] - depth[s.src] - 1
            if slack:
                raise InvalidFileError(
                    f"program: synapse {s.id} has {slack} hardware steps to spare; a relay is missing"
                )


def _something(shape: Shape) -> Shape:
    if min(shape) < 1:
        raise ValueError(f"nothing is left of the map's output: {shape}")
    return shape


def _mapped(name: str, linear: LinearMap, shape: Shape) -> Shape:
    try:
        return linear.out_shape(shape)
    except ValueError as error:
        raise InvalidFileError(f"program: {name}: {error}") from None


def _flat(linear: LinearMap, shape: Shape) -> Shape:
    """Dense and sparse maps write the flattened target."""
    return (int(np.prod(shape)), 1, 1) if linear.kind in ("dense", "sparse") else shape


def _verify_population(p: Population, period: int) -> None:
    if len(p.shape) != 3 or min(p.shape) < 1:
        raise InvalidFileError(f"program: population {p.id} has shape {p.shape}; expected (C, H, W), all >= 1")
    if p.bias.shape not in ((p.shape[0], 1, 1), p.shape):
        raise InvalidFileError(f"program: population {p.id}: bias {p.bias.shape} is neither (C, 1, 1) nor {p.shape}")
    checks = (
        ("leak dv", p.dv, 0, limits.DECAY_MAX),
        ("current decay du", p.du, 0, limits.NO_MEMORY),
        ("threshold vth", p.vth, 0, limits.THRESHOLD_MAX),
        ("soft reset", p.taken, 0, limits.STATE_LIMIT - 1),
        ("bias mantissa", int(np.abs(p.bias.astype(np.int64)).max()), 0, limits.BIAS_MANTISSA_MAX),
        ("bias exponent", p.bias_exponent, 0, limits.BIAS_EXPONENT_MAX),
    )
    for what, value, low, high in checks:
        if not low <= value <= high:
            raise UnsupportedError(
                f"population {p.id}: {what} {value} is outside {low}..{high}; train with smaller weights"
            )
    if period > 1 and p.current_decays:
        raise InvalidFileError(
            f"program: population {p.id} has a current with memory (du {p.du}), which period {period} would add "
            f"{period} times per timestep; expected du {limits.NO_MEMORY}"
        )
    if period > 1 and p.bias.any():
        raise InvalidFileError(
            f"program: population {p.id} has a bias in its register, which period {period} would add {period} times "
            "per timestep; expected zeros and a synapse from the clock"
        )
