"""The host stage: what the linear layers before the first neuron make of an analogue input, in weight units.

In floats (the default): float64, rounded half to even. In integers, as a property of the program (``HostIntegers``):

    q = clip(round-half-even(x / step) + zero, 0, 255)          uint8: a pixel
    w = round-half-even(weight * gain * scale * step * 2^shift)  int16
    current = floor((sum of w (q - zero) + 2^(shift - 1)) / 2^shift)

``step`` is a channel's own: the grid's, halved as often as the channel's values are small beside another's.
All sums of a population share one shift: the largest with which every weight fits 16 bits and no sum 32, whatever the
pixels are. So a microcontroller multiplies 16 by 16 bits, adds up in 32, and rounds half up, once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import HALVINGS_MAX, HostIntegers, HostMap, LinearMap, Population, Program
from snnas.hw_sim.readout import late

HOST_CURRENT = 1 << 31
PIXEL_MAX = 255
PIXELS_FEW = 16
WEIGHT_MAX = (1 << 15) - 1
SUM_MAX = (1 << 31) - 1
SHIFT_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerStage:
    """What the host computes for a population. maps: with int64 weights that fit 16 bits, before the shift."""

    shift: int
    maps: tuple[tuple[HostMap, LinearMap], ...]

    def rounded(self, sums: np.ndarray) -> np.ndarray:
        """Sums to currents: half up."""
        return (sums + (1 << self.shift >> 1)) >> self.shift


def integers_of(input_range: tuple[float, float], finer: tuple[int, ...] = ()) -> HostIntegers:
    """The grid of 256 pixels on a range of real values; 0 is one of them, whatever the range is.

    Where a channel's is finer the range is as wide below 0 as above, for its values may lie on the other side.
    """
    low, high = min(input_range[0], 0.0), max(input_range[1], 0.0)
    if finer and low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    step = (high - low) / PIXEL_MAX or 1.0
    return HostIntegers(step=step, zero=int(np.rint(-low / step)), finer=finer)


def finer_of(input_range: tuple[float, float], seen: Sequence[np.ndarray]) -> tuple[int, ...]:
    """By channel of the samples, (B, C, H, W) or by frames: how often its step is halved; () where none is.

    As often as leaves room for twice their largest magnitude within that of the range. One channel has the range's
    step: nothing is small beside it.
    """
    parts = [np.moveaxis(x, x.ndim - 3, 0).reshape(x.shape[x.ndim - 3], -1) for x in seen if x.size]
    if not parts or len(parts[0]) == 1:
        return ()
    largest, most = (
        np.max([np.maximum(part.max(1), -part.min(1)) for part in parts], axis=0),
        max(map(abs, input_range)),
    )
    found = tuple(_halvings(most / (2 * float(value))) if value > 0 else 0 for value in largest)
    return found if any(found) else ()


def _halvings(room: float) -> int:
    """How often a step is halved in a range that is ``room`` times as wide as what has to fit."""
    return min(HALVINGS_MAX, math.floor(math.log2(room))) if room >= 1 else 0


def with_integers(program: Program, seen: Sequence[np.ndarray] = ()) -> Program:
    """The program with a host stage in integers; UnsupportedError where 16-bit weights cannot hold it.

    seen: samples that say how large a channel's values are; beyond twice that they are cut off.
    """
    finer = finer_of(program.input_range, seen)
    made = replace(program, host_integers=integers_of(program.input_range, finer))
    integer_stages(made)
    return made


def integer_stages(program: Program) -> dict[str, IntegerStage]:
    """By population. UnsupportedError names the one whose weights or sums no shift brings into range."""
    assert program.host_integers is not None
    names = dict.fromkeys(h.dst for h in program.host)
    return {name: integer_stage(program, program.population(name)) for name in names}


def pixels(program: Program, x: np.ndarray) -> np.ndarray:
    """Real values as the uint8 that the integer host stage takes, same shape."""
    given = program.host_integers
    assert given is not None
    step = given.steps(program.input_shape[0])[:, None, None] if given.finer else given.step
    whole = np.rint(x.astype(np.float64) / step) + given.zero
    return np.asarray(np.nan_to_num(whole).clip(0, PIXEL_MAX), np.uint8)


def coarse_channels(program: Program, x: np.ndarray) -> dict[int, int]:
    """Channels of x, (B, C, H, W) or by frames, of which pixels leave fewer than PIXELS_FEW values: {channel: values}.

    Most of its values lie close together beside its largest ones.
    """
    given, channels = pixels(program, x), x.ndim - 3
    left = {c: len(np.unique(given.take(c, axis=channels))) for c in range(x.shape[channels])}
    return {c: n for c, n in left.items() if n < PIXELS_FEW <= len(np.unique(x.take(c, axis=channels)))}


def cut_channels(program: Program, x: np.ndarray) -> list[int]:
    """Channels of x, (B, C, H, W) or by frames, that reach beyond the first or the last pixel by more than rounding."""
    given = program.host_integers
    assert given is not None
    rows = np.moveaxis(x, x.ndim - 3, 0).reshape(x.shape[x.ndim - 3], -1)
    whole = np.rint(rows.astype(np.float64) / given.steps(len(rows))[:, None]) + given.zero
    return [int(c) for c in np.flatnonzero((whole < -1).any(1) | (whole > PIXEL_MAX + 1).any(1))]


def host_currents(
    program: Program, x: np.ndarray, stages: Mapping[str, IntegerStage] | None = None
) -> dict[str, np.ndarray]:
    """The integer currents that the host injects: {population: int64 (B, T or 1, C, H, W)} in weight units.

    x: (B, C, H, W), a static input, or (B, T, C, H, W), a frame per timestep. Bit-exactness starts here.
    stages: ``integer_stages`` of the program, for whoever computes chunk by chunk; computed where not given.
    UnsupportedError for a current that 32 bits cannot hold, as golden.npz keeps it.
    """
    frames = x[:, None] if x.ndim == 4 else x
    if program.host_integers is not None:
        given = pixels(program, frames).astype(np.int64) - program.host_integers.zero
        return _in_integers(program, given, stages or integer_stages(program))
    real: dict[str, np.ndarray] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        for h in program.host:
            current = _applied(program, h, h.map, frames) * h.gain
            real[h.dst] = real[h.dst] + current if h.dst in real else current
        whole = {name: np.rint(current * program.population(name).scale) for name, current in real.items()}
    for name, current in whole.items():
        if not (np.abs(current) < HOST_CURRENT).all():
            raise UnsupportedError(
                f"the host injects a current beyond {HOST_CURRENT} into {name}; correct the gain of its host map, or "
                f"the scale of the samples"
            )
    return {name: current.astype(np.int64) for name, current in whole.items()}


def held_back(current: np.ndarray, distance: int, timesteps: int) -> np.ndarray:
    """(B, T or 1, ...) injected ``distance`` timesteps late: then a still one has frames, too."""
    return (
        late(np.broadcast_to(current, (len(current), timesteps, *current.shape[2:])), distance) if distance else current
    )


def _applied(program: Program, h: HostMap, linear: LinearMap, frames: np.ndarray) -> np.ndarray:
    """What a map brings, float64 (B, T or 1, C, H, W)."""
    b, t = frames.shape[:2]
    flat = frames.reshape(b * t, *frames.shape[2:]).astype(np.float64)
    current = apply(linear, flat, program.population(h.dst).shape)
    return held_back(current.reshape(b, t, *current.shape[1:]), h.distance, program.timesteps)


def _in_integers(program: Program, given: np.ndarray, stages: Mapping[str, IntegerStage]) -> dict[str, np.ndarray]:
    found = {}
    for name, stage in stages.items():
        parts = [_applied(program, h, linear, given).astype(np.int64) for h, linear in stage.maps]  # exact below 2^53
        found[name] = stage.rounded(sum(parts[1:], parts[0]))
    return found


def integer_stage(program: Program, p: Population) -> IntegerStage:
    """Of a population that the host drives; UnsupportedError where no shift brings its weights and sums into range."""
    assert program.host_integers is not None
    maps = [h for h in program.host if h.dst == p.id]
    steps = program.host_integers.steps(program.input_shape[0])
    real = [_by_channel(h.map, program.input_shape, h.gain * p.scale * steps) for h in maps]
    largest = max((float(np.abs(w).max(initial=0.0)) for w in real), default=0.0)
    refused = f"population {p.id}: its host stage does not fit integers"
    mend = "`snnas export --host float` leaves it to a host that computes in floats"
    if not largest <= WEIGHT_MAX:
        reason = f"a weight is {largest:.4g} weight units a pixel, beyond {WEIGHT_MAX}"
        raise UnsupportedError(f"{refused}: {reason}; {mend}")
    for shift in range(SHIFT_MAX, -1, -1):
        if largest * (1 << shift) > WEIGHT_MAX:
            continue
        linears = [replace(h.map, weight=np.rint(w * (1 << shift)).astype(np.int64)) for h, w in
                   zip(maps, real, strict=True)]  # fmt: skip
        most = sum(_most(linear, program.input_shape, p) for linear in linears)
        if most + (1 << shift >> 1) <= SUM_MAX:
            return IntegerStage(shift=shift, maps=tuple(zip(maps, linears, strict=True)))
    raise UnsupportedError(f"{refused}: its sums may pass 32 bits; {mend}")


def _by_channel(linear: LinearMap, source: tuple[int, int, int], factors: np.ndarray) -> np.ndarray:
    """The map's weights, float64, each times the factor of the channel of ``source`` that it sees."""
    weight = linear.weight.astype(np.float64)
    for pool in linear.pre:
        source = pool.out_shape(source)
    size = source[1] * source[2]
    if linear.kind == "sparse":
        assert linear.indices is not None
        return weight * factors[linear.indices // size]
    if linear.kind == "dense":
        return weight * np.repeat(factors, size)
    o, i = weight.shape[:2]
    group = np.arange(o)[:, None] // (o // linear.groups)
    return np.asarray(weight * factors[group * i + np.arange(i)][:, :, None, None])


def _most(linear: LinearMap, source: tuple[int, int, int], p: Population) -> int:
    """The largest magnitude of a sum, partial ones included, over all pixels."""
    every = replace(linear, weight=np.abs(linear.weight))
    return int(apply(every, np.full((1, *source), float(PIXEL_MAX)), p.shape).max(initial=0.0))
