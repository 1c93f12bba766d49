"""Inputs chosen to drive one neuron's registers as far as they go: what proofs of ranges are tried with.

A neuron is attacked by itself, with spike trains of its whole fan-in that nothing upstream need be able to send; its
weights are read off the synapse by the adjoint of the map, so that an error in the bounds' forward sums is not
repeated here. At each timestep every train takes one of several currents, each made by spikes: all excitatory sources,
all inhibitory ones, none, a random part of either, and random spikes of some density. What it takes depends on its
strategy: always the same, greedily the one that lifts or lowers the membrane most, or a climb that stays below the
threshold until the last timestep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.compiler.ranges import LIMITS, leaked
from snnas.export.compiler.signed_sums import Ends
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.linear import pad_hw
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Pool, Population, Program, Shape

STRATEGIES = ("most", "least", "any", "turns", "lift", "lower", "climb", "sink")
MOST, LEAST = 0, 1  # among the currents that a train may take
EXACT = 1 << 24  # float32 holds sums of whole numbers up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class FanIn:
    """What reaches K neurons. now, late: int64 (K, F), one weight per source of this and of the last timestep.

    clock, late_clock: int64 (K,). host: float64 (K, H), per analogue input; values: what those may be.
    """

    now: np.ndarray
    late: np.ndarray
    clock: np.ndarray
    late_clock: np.ndarray
    host: np.ndarray
    values: tuple[float, float]


def fan_in(program: Program, p: Population, neurons: np.ndarray) -> FanIn:
    """Of the neurons with these flat indices, (K,)."""
    sources: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    clocks = [np.zeros(len(neurons), np.int64) for _ in range(2)]
    for s in program.into(p.id):
        rows = weights_of(s.map, program.source_shape(s.src), p.shape, neurons).astype(np.int64) << s.exponent
        if s.src == CLOCK:
            clocks[s.distance] += rows[:, 0]
        else:
            sources[s.distance][s.src] = sources[s.distance].get(s.src, 0) + rows
    host = np.zeros((len(neurons), 1))
    for h in program.host:
        if h.dst == p.id:
            host = host + weights_of(h.map, program.source_shape(INPUT), p.shape, neurons) * h.gain
    now, late = (_gathered(list(found.values()), len(neurons)) for found in sources)
    return FanIn(
        now=now, late=late, clock=clocks[0], late_clock=clocks[1], host=_packed(host), values=program.input_range
    )


def _gathered(rows: list[np.ndarray], neurons: int) -> np.ndarray:
    return _packed(np.concatenate(rows, axis=1)) if rows else np.zeros((neurons, 0), np.int64)


def _packed(rows: np.ndarray) -> np.ndarray:
    """Without the sources that reach nothing: the weights of each row moved to the left."""
    widest = int((rows != 0).sum(axis=1).max(initial=0))
    order = np.argsort(rows == 0, axis=1, kind="stable")[:, :widest]
    return np.take_along_axis(rows, order, axis=1)


def weights_of(linear: LinearMap, source: Shape, target: Shape, neurons: np.ndarray) -> np.ndarray:
    """The weights with which each source reaches the given neurons: float64 (K, sources)."""
    weight = linear.weight.astype(np.float64)
    if linear.kind == "dense":
        return np.asarray(weight[neurons])
    out = np.zeros((len(neurons), int(np.prod(source))))
    if linear.kind == "sparse":
        assert linear.indices is not None
        assert linear.indptr is not None
        for k, neuron in enumerate(neurons):
            part = slice(linear.indptr[neuron], linear.indptr[neuron + 1])
            np.add.at(out[k], linear.indices[part], weight[part])
        return out
    shapes = [source]
    for pool in linear.pre:
        shapes.append(pool.out_shape(shapes[-1]))
    convolved = LinearMap(kind="conv", weight=linear.weight, stride=linear.stride, pad=linear.pad, groups=linear.groups)
    after = [convolved.out_shape(shapes[-1])]
    for pool in linear.post:
        after.append(pool.out_shape(after[-1]))
    back = np.zeros((len(neurons), *target))
    back.reshape(len(neurons), -1)[np.arange(len(neurons)), neurons] = 1
    for pool, shape in zip(reversed(linear.post), reversed(after[:-1]), strict=True):
        back = _pool_back(back, pool, shape)
    back = _conv_back(back, weight, linear, shapes[-1])
    for pool, shape in zip(reversed(linear.pre), reversed(shapes[:-1]), strict=True):
        back = _pool_back(back, pool, shape)
    return back.reshape(len(neurons), -1)


def _conv_back(y: np.ndarray, weight: np.ndarray, linear: LinearMap, shape: Shape) -> np.ndarray:
    """The adjoint of a convolution. y: (K, O, H', W') -> (K, *shape)."""
    o, i, kh, kw = weight.shape
    groups, (sh, sw), (h, w) = linear.groups, linear.stride, y.shape[2:]
    out = pad_hw(np.zeros((len(y), *shape)), linear.pad)
    split = y.reshape(len(y), groups, o // groups, h, w)
    kernel = weight.reshape(groups, o // groups, i, kh, kw)
    for a in range(kh):
        for b in range(kw):
            part = np.einsum("kgohw,goi->kgihw", split, kernel[..., a, b], optimize=True)
            out[:, :, a : a + sh * (h - 1) + 1 : sh, b : b + sw * (w - 1) + 1 : sw] += part.reshape(len(y), -1, h, w)
    return _cropped(out, linear.pad, shape)


def _pool_back(y: np.ndarray, pool: Pool, shape: Shape) -> np.ndarray:
    h, w = y.shape[2:]
    out = pad_hw(np.zeros((len(y), *shape)), pool.pad)
    for a in range(pool.kernel[0]):
        for b in range(pool.kernel[1]):
            rows = slice(a, a + pool.stride[0] * (h - 1) + 1, pool.stride[0])
            columns = slice(b, b + pool.stride[1] * (w - 1) + 1, pool.stride[1])
            out[:, :, rows, columns] += y
    return _cropped(out, pool.pad, shape)


def _cropped(x: np.ndarray, pad: tuple[int, int], shape: Shape) -> np.ndarray:
    return x[:, :, pad[0] : pad[0] + shape[1], pad[1] : pad[1] + shape[2]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack reached. ends: of a, u and v per neuron, (K,). beyond: trains that left the bounds."""

    ends: dict[str, Ends]
    beyond: int


def attack(
    program: Program,
    p: Population,
    neurons: np.ndarray,
    bounds: Mapping[str, Ends],
    *,
    trains: int,
    rng: np.random.Generator,
) -> Outcome:
    """Runs ``trains`` trains on each of the neurons (flat indices, (K,)). bounds: as ``neuron_bounds`` gives them."""
    fan = fan_in(program, p, neurons)
    shape = len(neurons), trains
    strategy = rng.permuted(np.resize(np.arange(len(STRATEGIES)), shape), axis=1)
    bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
    bias = np.broadcast_to(bias, p.shape).reshape(-1)[neurons][:, None, None]
    u, v = np.zeros((2, *shape, 1), np.int64)
    seen: dict[str, Ends] = {}
    for t in range(program.timesteps):
        a = _currents(fan, p.scale, trains, first=t == 0, rng=rng)
        pushed = kernels.decay(u, p.du + 1) + (a << limits.STATE_SHIFT)
        reached = leaked(v, p.dv, program.schedule.period) + kernels.wrap_current(pushed) + bias
        chosen = _choice(strategy, reached, p.vth << limits.STATE_SHIFT, t, program.timesteps, rng)[..., None]
        a, pushed, reached = (np.take_along_axis(x, chosen, axis=2) for x in (a, pushed, reached))
        for name, values in (("a", a), ("u", pushed), ("v", reached)):
            low, high = seen.get(name, (values, values))
            seen[name] = np.minimum(low, values), np.maximum(high, values)
        u = kernels.wrap_current(pushed)
        v = reached.clip(-LIMITS["v"], LIMITS["v"])
        v = kernels.after_spikes(v, v > p.vth << limits.STATE_SHIFT, p.taken)
    beyond = np.zeros(shape, bool)
    for name, (low, high) in seen.items():
        least, most = (end.reshape(-1)[neurons][:, None] for end in bounds[name])
        beyond |= (low[..., 0] < least) | (high[..., 0] > most)
    ends = {name: (low.min(axis=(1, 2)), high.max(axis=(1, 2))) for name, (low, high) in seen.items()}
    return Outcome(ends, int(beyond.sum()))


def _currents(fan: FanIn, scale: float, trains: int, *, first: bool, rng: np.random.Generator) -> np.ndarray:
    """The currents that each train may take at a timestep: int64 (K, trains, choices), MOST and LEAST before others."""
    late = fan.late[:, :0] if first else fan.late  # nothing was sent before the first timestep
    rows = np.concatenate([fan.now, late], axis=1)
    up, down = np.maximum(rows, 0), np.minimum(rows, 0)
    most, least = (np.broadcast_to(part.sum(axis=1)[:, None], (len(rows), trains)) for part in (up, down))
    fires = rng.random((len(rows), trains, rows.shape[1]), np.float32) < rng.random((len(rows), trains, 1), np.float32)
    some_up, some_down = (_added(fires, part) for part in (up, down))
    zero = np.zeros_like(some_up)
    spikes = [most, least, zero, some_up, some_down, some_up + some_down, most + some_down, least + some_up]
    bright, dark, any_ = _driven(fan, scale, trains, rng)
    host = [bright, dark, any_, bright, dark, any_, bright, dark]
    clock = (fan.clock if first else fan.clock + fan.late_clock)[:, None]
    return np.stack([a + b + clock for a, b in zip(spikes, host, strict=True)], axis=2)


def _added(fires: np.ndarray, rows: np.ndarray) -> np.ndarray:
    exact = "f4" if int(np.abs(rows).sum(axis=1).max(initial=0)) < EXACT else "f8"
    sums: np.ndarray = np.matmul(fires.astype(exact), rows.astype(exact)[:, :, None])
    return sums[..., 0].astype(np.int64)


def _driven(fan: FanIn, scale: float, trains: int, rng: np.random.Generator) -> list[np.ndarray]:
    """What the host injects for the input that gives the most, for that which gives the least, and for any."""
    low, high = fan.values
    drawn = low + (high - low) * rng.random((len(fan.host), trains, fan.host.shape[1]))
    row = fan.host[:, None, :]
    inputs = np.where(row > 0, high, low), np.where(row > 0, low, high), drawn
    return [np.broadcast_to(np.rint((row * x).sum(axis=2) * scale).astype(np.int64), drawn.shape[:2]) for x in inputs]


def _choice(
    strategy: np.ndarray, reached: np.ndarray, threshold: int, t: int, timesteps: int, rng: np.random.Generator
) -> np.ndarray:
    """Which of the currents each train takes, by what its membrane would reach: (K, trains)."""
    last, least = t == timesteps - 1, np.iinfo(np.int64).min
    below = np.where(reached <= threshold, reached, least)
    climbing = np.where((below > least).any(axis=2), below.argmax(axis=2), reached.argmin(axis=2))
    most, fewest = np.full(strategy.shape, MOST), np.full(strategy.shape, LEAST)
    taken = {
        "most": most,
        "least": fewest,
        "any": rng.integers(0, reached.shape[2], strategy.shape),
        "turns": fewest if t % 2 else most,
        "lift": reached.argmax(axis=2),
        "lower": reached.argmin(axis=2),
        "climb": most if last else climbing,
        "sink": most if last else fewest,
    }
    return np.choose(strategy, [taken[name] for name in STRATEGIES])
