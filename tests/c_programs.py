"""Programs that try what C has to get right: every map in one, registers that wrap, every readout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnas.hw_sim.limits import weight_range
from snnas.hw_sim.program import CLOCK, INPUT, InputKind, LinearMap, Pool, Population, Program, Shape
from snnas.hw_sim.readout import Reading, Readout
from tests.programs import Builder, random_program

SAME = {"stride": (1, 1), "pad": (1, 1)}


def every_map(seed: int, input_shape: Shape, bits: int = 8, channels: int = 5) -> Program:
    """A population behind each kind of map from the input, and each kind of map from one of them."""
    rng = np.random.default_rng(seed)
    b = Builder(rng, input_shape)
    low, high = weight_range(bits)

    def weights(*shape: int) -> np.ndarray:
        return b.weights(*shape).clip(low, high).astype(np.int8)

    def maps(shape: Shape) -> list[LinearMap]:
        c, h, w = shape
        filled = np.sort(rng.integers(0, 4, 11))
        small, wide = Pool((2, 2), (2, 2)), Pool((3, 2), (1, 2), (1, 0))
        return [
            LinearMap(kind="conv", weight=weights(channels, c, 3, 3), **SAME),
            LinearMap(kind="conv", weight=weights(8, c, 3, 2), stride=(2, 1), pad=(0, 1)),
            LinearMap(kind="conv", weight=weights(2 * c, 1, 3, 3), groups=c, **SAME),
            LinearMap(kind="conv", weight=weights(1, c, h, w)),
            LinearMap(kind="conv", weight=weights(2, c, 2, 2)),
            LinearMap(kind="dense", weight=weights(7, c * h * w)),
            LinearMap(
                kind="sparse",
                weight=weights(4 * 11),
                indices=np.concatenate([rng.permutation(c * h * w)[:11] for _ in range(4)]).astype(np.int32),
                indptr=np.array([0, 11 + filled[0], 11 + filled[0], 3 * 11, 4 * 11], np.int32),
            ),
            LinearMap(kind="pooled_conv", weight=weights(channels, c, 3, 3), pre=(small, wide), **SAME),
            LinearMap(kind="pooled_conv", weight=weights(channels, c, 3, 3), post=(wide, small), **SAME),
            LinearMap(kind="pooled_conv", weight=weights(2, c, 1, 1), pre=(wide,), post=(small,)),
            LinearMap(kind="pooled_conv", weight=weights(3 * c, 1, 2, 2), groups=c, pre=(wide,), post=(wide,)),
        ]

    names = []
    for m in maps(input_shape):
        names.append(b.population(m.out_shape(input_shape), 0, vth=int(rng.integers(20, 60))))
        b.join(INPUT, names[-1], m, exponent=int(rng.integers(0, 2)), distance=len(names) % 3 == 0)
    for k, m in enumerate(maps(b.shape(names[0]))):
        target = b.population(m.out_shape(b.shape(names[0])), 1, vth=int(rng.integers(20, 60)))
        b.join(names[0], target, m)
        if k == 5:
            other = b.random_map(b.shape(names[6]), b.shape(target))
            b.join(names[6], target, replace(other, weight=other.weight.clip(low, high)))
            last = target
    base = random_program(0, layers=1, kind="spikes")
    return replace(
        base,
        timesteps=4,
        input_shape=input_shape,
        populations=tuple(b.populations),
        synapses=tuple(b.synapses),
        schedule=replace(base.schedule, depth=b.depth, blank=1),
        readout=replace(base.readout, readings=(Reading(src=last, weight=b.weights(3, 7)),)),
        meta={"bits": bits},
    )


def random_variant(seed: int) -> Program:
    """A layered program: analogue or spikes, recurrent or not, soft resets, currents with memory, few bits, shifts."""
    back = ((3, 1),) if seed % 3 == 0 else ((2, 0), (3, 3)) if seed % 3 == 1 else ()
    kind: InputKind = "analogue" if seed % 2 else "spikes"
    p = random_program(seed, back=back, kind=kind)
    rng = np.random.default_rng(seed)
    if seed % 5 == 2:
        p = of_neurons(p, lambda q: replace(q, taken=int(rng.integers(100, 6000))))
    if seed % 7 == 3 and not back:
        p = of_neurons(p, lambda q: replace(q, du=int(rng.integers(1000, 4000))))
    if seed % 4 == 3:
        p = in_bits(p, int(rng.choice([4, 6])))
    if seed % 6 == 1:
        p = replace(p, synapses=tuple(replace(s, exponent=int(rng.integers(0, 8))) for s in p.synapses))
    return p


def of_neurons(p: Program, change: object) -> Program:
    """Relays and ORs are left as they are."""
    changed: list[Population] = [change(q) if q.role == "neuron" else q for q in p.populations]  # type: ignore[operator]
    return replace(p, populations=tuple(changed))


def in_bits(p: Program, bits: int) -> Program:
    low, high = weight_range(bits)
    small = [
        s if s.src == CLOCK else replace(s, map=replace(s.map, weight=s.map.weight.clip(low, high))) for s in p.synapses
    ]
    return replace(p, synapses=tuple(small), meta={**p.meta, "bits": bits})


def overflowing(seed: int, memory: bool) -> Program:
    """Feed-forward, with inputs far beyond 16 bits, so that u wraps and v clips. memory: of the current."""
    p = random_program(seed, kind="spikes")
    size, shape = int(np.prod(p.input_shape)), p.populations[0].shape
    rng = np.random.default_rng(seed)
    weight = rng.choice(np.array([-128, 127], np.int8), (int(np.prod(shape)), size), p=[0.3, 0.7])
    first = next(s for s in p.synapses if s.src == INPUT)
    huge = replace(first, map=LinearMap(kind="dense", weight=weight), exponent=7)
    p = replace(p, synapses=tuple(huge if s is first else s for s in p.synapses), timesteps=6)
    return of_neurons(p, lambda q: replace(q, du=1500)) if memory else p


def read_otherwise(p: Program, read: str, seed: int) -> Program:
    """The same with a readout that remembers: two populations, one of them late."""
    rng = np.random.default_rng(seed)
    steps = p.timesteps
    first, last = p.populations[0], p.populations[-1]
    readings = [Reading(src=q.id, weight=rng.integers(-128, 128, (3, q.size)).astype(np.int8)) for q in (first, last)]
    readout = Readout(
        readings=(readings[0], replace(readings[1], distance=1)),
        bias=rng.integers(-9000, 9000, (steps, 3)),
        response=rng.integers(-50, 900, (steps, 3)),
        scale=3.0,
        read=read,  # type: ignore[arg-type]
    )
    return replace(p, readout=readout)


def samples(p: Program, count: int = 4, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).random((count, p.timesteps, *p.input_shape)).astype(np.float32)
    return x if p.input_kind == "analogue" else (x < 0.4).astype(np.float32)
