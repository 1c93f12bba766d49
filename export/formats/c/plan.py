"""What of a program becomes C, and how: populations in order, synapses between them, widths, and the static memory.

The chip's schedule is not needed: populations run in the order of their depths within a timestep. A relay passes on
what its source sends, so it vanishes: what it fed reads the source itself, as many timesteps late. A population's
neurons lie in (H, W, C) order, so that what one spike brings to a pixel's channels lies side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnas.export.compiler.ranges import host_of, input_bounds, neuron_bounds
from snnas.hw_sim import limits
from snnas.hw_sim.entries import Matrix, columns_in
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Population, Program, Shape, Synapse

NARROW = limits.CURRENT_MAX  # two neurons' inputs share a word
SAFE = 1 << 18  # 64 of it, a state and a bias stay far within 32 bits, and one turn brings u back
ROWS = 4  # weights that are unpacked together


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the synaptic inputs of a population's neurons lie in memory."""

    shape: Shape
    """C, H, W."""
    stride: int
    """Places of a pixel: its channels, and what fills them up to whole rows."""

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]

    @property
    def places(self) -> int:
        """All of them, whole rows."""
        return up(self.pixels * self.stride, ROWS)

    @property
    def aligned(self) -> bool:
        """Whether each pixel begins a row."""
        return self.stride % ROWS == 0 or self.pixels == 1

    @property
    def order(self) -> np.ndarray:
        """(N,): which (C, H, W) index stands at each (H, W, C) one."""
        return of_pixels(self.shape)

    def placed(self, values: np.ndarray) -> np.ndarray:
        """(..., C, H, W) to (..., places), zeros between them."""
        c, h, w = self.shape
        moved = np.moveaxis(values.reshape(*values.shape[:-3], c, h * w), -2, -1)
        out = np.zeros((*values.shape[:-3], self.pixels, self.stride), values.dtype)
        out[..., :c] = moved
        flat = out.reshape(*values.shape[:-3], -1)
        return np.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, self.places - flat.shape[-1])])

    def place(self, index: np.ndarray) -> np.ndarray:
        """Where the neurons of these (C, H, W) indices stand."""
        c, pixel = np.divmod(index, self.pixels)
        return pixel * self.stride + c


def layout(shape: Shape) -> Layout:
    """A few channels (1 or 2) are not filled up: it would take several times the memory."""
    c, h, w = shape
    return Layout(shape=shape, stride=c if h * w == 1 or c < ROWS - 1 else up(c, ROWS))


def up(number: int, to: int) -> int:
    return -(-number // to) * to


def of_pixels(shape: Shape) -> np.ndarray:
    c, h, w = shape
    return np.arange(c * h * w).reshape(c, h * w).T.ravel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A synapse as C runs it."""

    index: int
    """Of all of them."""
    id: str
    src: int
    """Index of a unit, or -1: the input."""
    map: LinearMap
    exponent: int
    """Beyond the one that all connections of its unit share."""
    distance: int
    """Timesteps, those of vanished relays included."""
    bits: int
    """Of a stored weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A population as C runs it."""

    index: int
    population: Population
    layout: Layout
    connections: tuple[Connection, ...]
    constants: tuple[tuple[int, np.ndarray], ...]
    """What the clock adds: from which timestep, and int64 (C, H, W) in weight units."""
    hosted: bool
    """Whether the host injects a current."""
    narrow: bool
    """Whether 16 bits are proved to hold it."""
    shift: int
    """Exponent that all its connections share: what they gather counts so often."""
    lanes: int
    """Synaptic inputs in one word: 2 where 16 bits are proved, 1 of 32 bits, 0: one of 64 bits."""
    clips: bool
    """Whether v may reach the clip."""
    turns: bool
    """Whether u may wrap."""
    reach: int
    """The largest |v| that a leak can meet."""
    forgets: bool
    """Whether nothing is ever left of v at the next timestep: no state."""
    leaks: int
    """Of a timestep."""
    history: int = 0
    """Timesteps that its spikes are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A program on its way to C."""

    program: Program
    units: tuple[Unit, ...]
    """In the order in which they run."""
    readings: tuple[tuple[int, Matrix, int], ...]
    """Of the readout: the unit, weights int8 (classes, N) of (H, W, C) neurons, timesteps late."""
    input_history: int
    bits: dict[int, int]
    """Where the spikes of a unit (-1: the input) begin in the shared words, if they are not kept."""
    shared: int
    """How many words these take, by liveness."""

    @property
    def hosted(self) -> tuple[Unit, ...]:
        """Units with an injected current, in the order of a frame."""
        return tuple(u for u in self.units if u.hosted)

    @property
    def integers(self) -> bool:
        """Whether the host stage is part of the C."""
        return self.program.host_integers is not None

    @property
    def currents(self) -> int:
        """How many currents are injected."""
        return sum(u.population.size for u in self.hosted)

    @property
    def current(self) -> str:
        """The C type of one: 16 bits where a frame holds them, or where they are proved to suffice."""
        return "int16_t" if not self.integers or all(u.narrow for u in self.hosted) else "int32_t"

    @property
    def frame(self) -> int:
        """Values of a frame: currents, or what stands at the input."""
        takes_currents = self.program.input_kind == "analogue" and not self.integers
        return self.currents if takes_currents else int(np.prod(self.program.input_shape))

    def source(self, index: int) -> Shape:
        return self.program.input_shape if index < 0 else self.units[index].population.shape


def words(neurons: int) -> int:
    """Words that hold a bit of each neuron."""
    return up(neurons, 32) // 32


def held(neurons: int) -> int:
    """Words that their spikes take in memory: windows are read two words at a time, up to one beyond the last."""
    return words(neurons) + 1


def plan(program: Program) -> Plan:
    """Of a verified program."""
    relays = {p.id: s for p in program.populations if (s := _passes_on(program, p)) is not None}

    def origin(name: str) -> tuple[str, int]:
        if name not in relays:
            return name, 0
        before, late = origin(relays[name].src)
        return before, late + relays[name].distance

    order = [p for p in program.in_order if p.id not in relays]
    at = {p.id: k for k, p in enumerate(order)} | {INPUT: -1}
    history = dict.fromkeys(range(-1, len(order)), 0)
    units, count = [], 0
    for p in order:
        connections, constants = [], []
        for s in program.into(p.id):
            src, late = origin(s.src)
            if src == CLOCK:
                constants.append((s.distance + late, _of_clock(s, p)))
                continue
            connection = Connection(
                index=count,
                id=s.id,
                src=at[src],
                map=s.map,
                exponent=s.exponent,
                distance=s.distance + late,
                bits=program.weight_bits,
            )
            connections.append(connection)
            count += 1
            history[at[src]] = max(history[at[src]], connection.distance)
        units.append(_unit(program, p, at[p.id], tuple(connections), tuple(constants)))
    readings = []
    for r in program.readout.readings:
        src, late = origin(r.src)
        readings.append((at[src], columns_in(r.weight, of_pixels(program.population(src).shape)), r.distance + late))
    units = [replace(u, history=history[u.index]) for u in units]
    bits, shared = _shared(program, units, [u for u, _, _ in readings], history)
    return Plan(
        program=program,
        units=tuple(units),
        readings=tuple(readings),
        input_history=history[-1],
        bits=bits,
        shared=shared,
    )


def _passes_on(program: Program, p: Population) -> Synapse | None:
    """The one synapse into a relay that fires when, and only when, its source does; None for anything else."""
    into = list(program.into(p.id))
    if p.role != "relay" or len(into) != 1 or p.bias.any() or any(h.dst == p.id for h in program.host):
        return None
    (s,) = into
    m = s.map
    one = m.kind == "conv" and m.groups == p.shape[0] and m.weight.shape == (p.shape[0], 1, 1, 1)
    plain = one and m.stride == (1, 1) and m.pad == (0, 0)
    reset = p.taken == 0 and not p.current_decays
    fires = plain and bool(((m.weight.astype(np.int64) << s.exponent) > p.vth).all())
    small = plain and int(m.weight.max()) << s.exponent <= NARROW
    return s if plain and reset and fires and small and s.src != CLOCK else None


def _of_clock(s: Synapse, p: Population) -> np.ndarray:
    return apply(s.map, np.ones((1, 1, 1, 1)), p.shape)[0].astype(np.int64) << s.exponent


def _unit(
    program: Program,
    p: Population,
    index: int,
    connections: tuple[Connection, ...],
    constants: tuple[tuple[int, np.ndarray], ...],
) -> Unit:
    ends = {name: (int(low.min()), int(high.max())) for name, (low, high) in neuron_bounds(program, p).items()}
    largest = {name: max(high, -low) for name, (low, high) in ends.items()}
    clip = limits.STATE_LIMIT - 1
    proved = largest["a"] <= NARROW and p.id not in program.observed
    # What the host and the clock bring is added afterwards, so that what is gathered before must fit as well.
    driven = [(s, program.source_shape(s.src)) for s in program.into(p.id) if s.src != CLOCK]
    low, high = input_bounds(p, driven, (), program.input_shape, program.input_range)
    gathered = max(int(high.max()), -int(low.min()))
    gate = p.dv == limits.DECAY_MAX and not p.taken and p.vth << limits.STATE_SHIFT <= limits.DECAY_MAX
    clips = not (proved and largest["v"] <= clip)
    shift = min((c.exponent for c in connections), default=0)
    connections = tuple(replace(c, exponent=c.exponent - shift) for c in connections)
    return Unit(
        index=index,
        shift=shift,
        population=p,
        layout=layout(p.shape),
        connections=connections,
        constants=constants,
        hosted=any(h.dst == p.id for h in program.host),
        narrow=_injected(program, p) <= NARROW,
        lanes=2 if proved and gathered <= NARROW else 1 if max(largest["a"], gathered) <= SAFE else 0,
        clips=clips,
        turns=not (proved and largest["u"] < limits.STATE_LIMIT),
        reach=clip if clips else largest["v"],
        forgets=gate and proved and ends["v"][0] >= -limits.DECAY_MAX and not clips,
        leaks=program.schedule.period,
    )


def _injected(program: Program, p: Population) -> int:
    """The largest magnitude of a current that the host may inject."""
    host, values = host_of(program, p)
    low, high = input_bounds(p, (), host, program.input_shape, values)
    return max(int(high.max()), -int(low.min()))


def _shared(
    program: Program, units: list[Unit], read: list[int], history: dict[int, int]
) -> tuple[dict[int, int], int]:
    """Places of the spikes that are needed within their timestep alone: the first gap that is free while they live."""
    size = {u.index: held(u.population.size) for u in units} | {-1: held(int(np.prod(program.input_shape)))}
    last = {k: k for k in size}
    for u in units:
        for c in u.connections:
            last[c.src] = max(last[c.src], u.index)
    last |= dict.fromkeys(read, len(units))
    wanted = [k for k in sorted(size) if not history[k] and (k >= 0 or program.input_kind != "analogue")]
    placed: dict[int, int] = {}
    for k in wanted:
        others = sorted((placed[o], placed[o] + size[o]) for o in placed if last[o] >= k)
        start = 0
        for begin, end in others:
            if start + size[k] <= begin:
                break
            start = max(start, end)
        placed[k] = start
    return placed, max((placed[k] + size[k] for k in placed), default=0)
