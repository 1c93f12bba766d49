"""Random valid programs, for tests: layered graphs with skips, relays, an OR population, every synapse kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.program import (
    CLOCK,
    INPUT,
    HostMap,
    InputKind,
    LinearMap,
    Pool,
    Population,
    Program,
    Schedule,
    Shape,
    Synapse,
    window_count,
)
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.simulator import Trace, host_currents, simulate


@dataclass
class Builder:
    """Collects populations and synapses; ``at`` supplies the relays that a synapse needs to arrive in time."""

    rng: np.random.Generator
    input_shape: Shape
    clocked: bool = False  # the period exceeds 1: biases are clock synapses
    populations: list[Population] = field(default_factory=list)
    synapses: list[Synapse] = field(default_factory=list)
    host: list[HostMap] = field(default_factory=list)
    depth: dict[str, int] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        if name == INPUT:
            return self.input_shape
        return next(p.shape for p in self.populations if p.id == name)

    def population(self, shape: Shape, depth: int, *, dv: int | None = None, vth: int | None = None) -> str:
        name = f"p{len(self.populations)}"
        bias_shape = shape if self.rng.random() < 0.5 else (shape[0], 1, 1)
        bias = self.rng.integers(-900, 1500, bias_shape).astype(np.int16)
        population = Population(
            id=name,
            shape=shape,
            dv=int(self.rng.choice([0, 700, 2048, 3072])) if dv is None else dv,
            vth=int(self.rng.integers(30, 120)) if vth is None else vth,
            scale=50.0,
            bias=np.zeros_like(bias) if self.clocked else bias,
            bias_exponent=int(self.rng.integers(0, 3)),
        )
        self.add(population, depth)
        if self.clocked:
            weight = self.rng.integers(-15, 25, (population.size, 1)).astype(np.int8)
            self.join(CLOCK, name, LinearMap(kind="dense", weight=weight), exponent=int(self.rng.integers(0, 2)))
        return name

    def add(self, population: Population, depth: int) -> None:
        self.populations.append(population)
        self.depth[population.id] = depth

    def gate(self, source: str, shape: Shape, linear: LinearMap, role: str) -> str:
        """A memoryless neuron one step after its source: a relay or an OR."""
        name = f"{role}{len(self.populations)}"
        zero = np.zeros((shape[0], 1, 1), dtype=np.int16)
        self.add(
            Population(id=name, shape=shape, dv=4095, vth=1, scale=1.0, bias=zero, role=role),  # type: ignore[arg-type]
            self.depth[source] + 1,
        )
        self.join(source, name, linear)
        return name

    def at(self, source: str, depth: int) -> str:
        """``source`` itself or the relay of it that lies at ``depth``."""
        if source == INPUT:
            return source
        chain = self.chains.setdefault(source, [source])
        c = self.shape(source)[0]
        while self.depth[chain[-1]] < depth:
            identity = LinearMap(kind="conv", weight=np.full((c, 1, 1, 1), 2, dtype=np.int8), groups=c)
            chain.append(self.gate(chain[-1], self.shape(source), identity, "relay"))
        return next(name for name in chain if self.depth[name] == depth)

    def join(self, src: str, dst: str, linear: LinearMap, exponent: int = 0, distance: int = 0) -> None:
        self.synapses.append(
            Synapse(
                id=f"s{len(self.synapses)}",
                src=src,
                dst=dst,
                map=linear,
                exponent=exponent,
                distance=1 if distance else 0,
            )
        )

    def weights(self, *shape: int) -> np.ndarray:
        """Both signs, odd values and the extremes of int8 among them."""
        weight = self.rng.integers(-45, 45, shape)
        extreme = self.rng.random(shape) < 0.03
        return np.where(extreme, self.rng.choice([-128, 127], shape), weight).astype(np.int8)

    def random_map(self, source: Shape, target: Shape) -> LinearMap:
        """Any kind of map that takes ``source`` to ``target``."""
        choices = ["dense", "sparse"]
        same, half = source[1:] == target[1:], all(s == 2 * t for s, t in zip(source[1:], target[1:], strict=True))
        if same or half:
            choices += ["conv", "conv", "pooled_conv"]
        kind = self.rng.choice(choices)
        n, m = int(np.prod(source)), int(np.prod(target))
        if kind == "dense":
            return LinearMap(kind="dense", weight=self.weights(m, n))
        if kind == "sparse":
            filled = self.rng.random((m, n)) < 0.2
            filled[m // 2] = False  # an empty row
            indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
            indices = np.nonzero(filled)[1]
            return LinearMap(
                kind="sparse",
                weight=self.weights(len(indices)),
                indices=indices.astype(np.int32),
                indptr=indptr.astype(np.int32),
            )
        groups = int(np.gcd(source[0], target[0])) if self.rng.random() < 0.3 else 1
        stride = (1, 1) if same or kind == "pooled_conv" else (2, 2)
        weight = self.weights(target[0], source[0] // groups, 3, 3)
        pre: tuple[Pool, ...] = ()
        post: tuple[Pool, ...] = ()
        if kind == "pooled_conv":
            window = Pool((3, 3), (1, 1), (1, 1)) if same else Pool((2, 2), (2, 2))
            pre, post = ((window,), ()) if self.rng.random() < 0.5 else ((), (window,))
        return LinearMap(
            kind="pooled_conv" if kind == "pooled_conv" else "conv",
            weight=weight,
            stride=stride,
            pad=(1, 1),
            groups=groups,
            pre=pre,
            post=post,
        )

    def or_pool(self, source: str) -> str:
        c, h, w = self.shape(source)
        ones = LinearMap(kind="conv", weight=np.full((c, 1, 2, 2), 2, dtype=np.int8), stride=(2, 2), groups=c)
        return self.gate(source, (c, window_count(h, 2, 2, 0), window_count(w, 2, 2, 0)), ones, "or")


def random_program(
    seed: int, *, back: tuple[tuple[int, int], ...] = (), layers: int = 4, kind: InputKind = "analogue"
) -> Program:
    """A program of ``layers`` populations, an OR pool and the relays between them.

    back: delayed synapses as (source, target) among the layers; the period follows from them.
    """
    rng = np.random.default_rng(seed)
    b = Builder(rng, input_shape=(2, 6, 4))
    names: list[str] = []
    # Layer i sits at depth i, after the OR pool one deeper: the depths are known before the period is needed.
    place = [i if i <= layers // 2 else i + 1 for i in range(layers)]
    period = max((place[s] - place[d] + 1 for s, d in back), default=1)
    b.clocked = period > 1
    for i in range(layers):
        pooled = i > layers // 2
        shape = (int(rng.integers(2, 5)), *((3, 2) if pooled else (6, 4)))
        names.append(b.population(shape, place[i]))
        sources = set(rng.choice(names[:i], size=min(i, 2), replace=False).tolist()) if i else set()
        after_pool = i == layers // 2 + 1
        if i and not after_pool and all(place[names.index(s)] < place[i] - 1 for s in sources):
            sources.add(names[i - 1])
        if after_pool:
            pool = b.or_pool(names[layers // 2])
            b.join(pool, names[i], b.random_map(b.shape(pool), shape))
        for source in sorted(sources):
            b.join(b.at(source, place[i] - 1), names[i], b.random_map(b.shape(source), shape))
        if i == 0 or (i == 1 and rng.random() < 0.5):
            drive(b, names[i], kind)
    for s, d in back:
        source = b.at(names[s], period + place[d] - 1)
        b.join(source, names[d], b.random_map(b.shape(source), b.shape(names[d])), distance=1)
    last = b.shape(names[-1])
    return Program(
        timesteps=int(rng.integers(1 if not back else 2, 5)),
        input_shape=b.input_shape,
        input_kind=kind,
        populations=tuple(b.populations),
        synapses=tuple(b.synapses),
        host=tuple(b.host),
        readout=summed(
            src=names[-1],
            weight=b.weights(3, int(np.prod(last))),
            bias=rng.integers(-500, 500, 3).astype(np.int64),
            scale=20.0,
        ),
        schedule=Schedule(period=period, depth=b.depth, blank=1 if back else 0),
        meta={"seed": seed, "note": "µ-test"},
    )


def reread(program: Program, folder: Path) -> Program:
    """The program as its file gives it: equal, but every name is an object of its own."""
    write_program(folder / "program.npz", program)
    return read_program(folder / "program.npz")


def drive(b: Builder, name: str, kind: InputKind) -> None:
    """What reaches a population from outside: a host current, or spikes through a synapse."""
    if kind == "analogue":
        shape = b.shape(name)
        weight = b.rng.normal(0.3, 0.6, (shape[0], b.input_shape[0], 3, 3)).astype(np.float32)
        b.host.append(HostMap(id=f"h{len(b.host)}", dst=name, map=LinearMap(kind="conv", weight=weight, pad=(1, 1))))
    else:
        b.join(INPUT, name, b.random_map(b.input_shape, b.shape(name)))


def recorded(
    program: Program, samples: int, seed: int = 0, *, frames: bool = False
) -> tuple[dict[str, np.ndarray], Trace]:
    """A golden record of ``samples`` random samples, as arrays by name, and the simulator's trace."""
    rng = np.random.default_rng(seed)
    golden: dict[str, np.ndarray] = {}
    if program.input_kind == "analogue":
        shape = (samples, program.timesteps, *program.input_shape) if frames else (samples, *program.input_shape)
        currents = host_currents(program, rng.random(shape).astype(np.float32))
        trace = simulate(program, currents=currents)
        golden.update({f"currents.{name}": c.astype(np.int32) for name, c in currents.items()})
    else:
        spikes = rng.random((samples, program.timesteps, *program.input_shape)) < 0.4
        trace = simulate(program, spikes_in=spikes)
        golden["input.spikes"] = spikes.astype(np.uint8)
    for name, s in trace.spikes.items():
        golden[f"spikes.{name}"] = np.packbits(s.reshape(*s.shape[:2], -1), axis=-1)
    golden["logits"] = trace.logits
    golden["labels"] = trace.predictions.astype(np.int64)
    return golden, trace
