"""Probe programs: small generated networks whose counts differ in one thing at a time.

What a neuron does is settled by its bias alone: it fires at every timestep, stays below its threshold, or has none and
is idle until a spike arrives. Synaptic weights are too small to change that, so a probe does on every board what it did
in the simulator, and a synop, an update or a message more or less is a choice of its recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from snnas.hw_sim.program import INPUT, HostMap, LinearMap, Population, Program, Schedule, Shape, Synapse
from snnas.hw_sim.readout import summed

Link = Literal["none", "line", "star"]
Kind = Literal["conv", "dense", "sparse"]

THRESHOLD, DECAY = 7_500, 2048  # of every neuron; far above what all its synapses together bring
FIRING, RESTING, EXPONENT = 4_000, 40, 7  # mantissas of biases: above the threshold at once, and never
FAN = 8  # sources of a neuron in a sparse link
CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a probe is made of."""

    populations: int
    """Populations of equal shape, 1 or more."""
    shape: Shape
    """(C, H, W) of each."""
    link: Link
    """none: only the input is joined to the first. line: each to the next. star: the first to all others."""
    kind: Kind
    """The form of the synapses."""
    firing: float
    """Share of neurons that fire at every timestep, in 0..1."""
    resting: float
    """Share of the others that a bias holds below the threshold, in 0..1: active, but silent."""
    rate: float
    """Share of the inputs that spike at a timestep, in 0..1."""
    timesteps: int
    """Timesteps of an inference."""
    hosted: bool = False
    """Whether the first population gets its input from a layer on the host in place of spikes."""
    seed: int = 0
    """Of what is drawn: which neurons fire, which inputs spike."""


def build(recipe: Recipe) -> Program:
    """The program of a recipe; equal recipes give equal programs."""
    rng = np.random.default_rng(recipe.seed)
    names = [f"p{k}" for k in range(recipe.populations)]
    populations = tuple(_population(name, recipe, rng) for name in names)
    pairs = {"none": [], "line": list(pairwise(names)), "star": [(names[0], name) for name in names[1:]]}[recipe.link]
    depth = {name: k if recipe.link == "line" else int(k > 0 and recipe.link == "star") for k, name in enumerate(names)}
    joined = [] if recipe.hosted else [(INPUT, names[0], "conv")]
    joined += [(src, dst, recipe.kind) for src, dst in pairs]
    synapses = tuple(
        Synapse(id=f"s{k}", src=src, dst=dst, map=_linear(kind, recipe.shape, rng))
        for k, (src, dst, kind) in enumerate(joined)
    )
    channels, size = recipe.shape[0], int(np.prod(recipe.shape))
    weight = rng.normal(0, 1e-3, (channels, channels, 3, 3)).astype(np.float32)
    host = (HostMap(id="h0", dst=names[0], map=LinearMap(kind="conv", weight=weight, pad=(1, 1))),)
    readout = summed(
        src=names[-1], weight=_signs((CLASSES, size), rng), bias=np.zeros(CLASSES, dtype=np.int64), scale=1.0
    )
    program = Program(
        timesteps=recipe.timesteps,
        input_shape=recipe.shape,
        input_kind="analogue" if recipe.hosted else "spikes",
        populations=populations,
        synapses=synapses,
        host=host if recipe.hosted else (),
        readout=readout,
        schedule=Schedule(period=1, depth=depth),
    )
    program.verify()
    return program


def sample(recipe: Recipe) -> np.ndarray:
    """The one input that a probe is run on: (1, T, C, H, W) of 0 and 1, or (1, C, H, W) of a hosted one."""
    rng = np.random.default_rng([recipe.seed, 1])
    if recipe.hosted:
        return rng.random((1, *recipe.shape)).astype(np.float32)
    return (rng.random((1, recipe.timesteps, *recipe.shape)) < recipe.rate).astype(np.float32)


def pool(count: int, seed: int, *, small: bool, hosted: bool) -> list[Recipe]:
    """Recipes to choose among, drawn from ``seed``.

    small: for a board that runs them as C, in tens of kilobytes. hosted: some with a layer on the host.
    """
    rng = np.random.default_rng(seed)
    shapes: list[Shape] = [(4, 4, 4), (4, 8, 8)] if small else [(4, 8, 8), (16, 8, 8), (15, 8, 8)]
    widths = (1, 2, 3, 4) if small else (1, 2, 4, 8, 16, 24, 48)
    found = []
    for k in range(count):
        link, kind = rng.choice(["none", "line", "star"]), rng.choice(["conv", "dense", "sparse"])
        populations, shape = int(rng.choice(widths)), shapes[int(rng.integers(len(shapes)))]
        if kind == "dense" and link != "none":  # a megabyte each at full size
            populations, shape = min(populations, 4), shapes[0]
        firing = float(rng.choice([0.0, 0.02, 0.1, 0.5, 1.0]))
        found.append(
            Recipe(
                populations=populations,
                shape=shape,
                link=link,
                kind=kind,
                firing=firing,
                resting=float(rng.choice([0.0, 1.0])),
                rate=float(rng.choice([0.0, 0.1, 1.0])),
                timesteps=int(rng.choice([4, 16])),
                hosted=hosted and k % 3 == 0,
                seed=int(rng.integers(1 << 31)),
            )
        )
    return found


def _population(name: str, recipe: Recipe, rng: np.random.Generator) -> Population:
    drawn = rng.random(recipe.shape)
    quiet = rng.random(recipe.shape) < recipe.resting
    bias = np.where(drawn < recipe.firing, FIRING, np.where(quiet, RESTING, 0)).astype(np.int16)
    return Population(
        id=name, shape=recipe.shape, dv=DECAY, vth=THRESHOLD, scale=1.0, bias=bias, bias_exponent=EXPONENT
    )


def _linear(kind: str, shape: Shape, rng: np.random.Generator) -> LinearMap:
    size = int(np.prod(shape))
    if kind == "conv":
        return LinearMap(kind="conv", weight=_signs((shape[0], 1, 3, 3), rng), pad=(1, 1), groups=shape[0])
    if kind == "dense":
        return LinearMap(kind="dense", weight=_signs((size, size), rng))
    offsets = rng.choice(size, FAN, replace=False)
    sources = np.sort((np.arange(size)[:, None] + offsets) % size, axis=1)
    return LinearMap(
        kind="sparse",
        weight=_signs((size * FAN,), rng),
        indices=sources.reshape(-1).astype(np.int32),
        indptr=np.arange(0, size * FAN + 1, FAN, dtype=np.int32),
    )


def _signs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights of 2 and -2: even, so that Lava's mixed-sign weights keep them."""
    return np.where(rng.random(shape) < 0.5, -2, 2).astype(np.int8)
