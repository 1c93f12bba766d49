"""The paper's CIFAR-10 cell (C = 256 and 512, 32x32, hidden 1024, random weights): mapped and priced."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest

from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.map.fitting import advice
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import HostMap, LinearMap, Population, Program, Role, Schedule, Shape, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.expected import expected_counts


def cell(channels: int, *, hidden: int = 1024, last_pool: bool = False) -> Program:
    """Stem, three LIF-convolutions, max-pool, three more at twice the channels, max-pool, dense, dense.

    last_pool: one max-pool more before the dense layer.
    """
    rng = np.random.default_rng(0)
    populations: list[Population] = []
    synapses: list[Synapse] = []

    def add(shape: Shape, linear: LinearMap | None, role: Role = "neuron") -> None:
        zero = np.zeros((shape[0], 1, 1), np.int16)
        name = f"p{len(populations)}"
        if linear is not None:
            synapses.append(Synapse(id=f"s{name}", src=populations[-1].id, dst=name, map=linear))
        populations.append(Population(id=name, shape=shape, dv=3072, vth=100, scale=1.0, bias=zero, role=role))

    def conv(out: int, into: int) -> LinearMap:
        weight = rng.integers(-127, 128, (out, into, 3, 3), dtype=np.int8)
        return LinearMap(kind="conv", weight=weight, pad=(1, 1))

    def pool(c: int) -> LinearMap:
        return LinearMap(kind="conv", weight=np.full((c, 1, 2, 2), 2, np.int8), stride=(2, 2), groups=c)

    side, into = 32, channels
    stem = LinearMap(kind="conv", weight=rng.normal(size=(channels, 3, 3, 3)).astype(np.float32), pad=(1, 1))
    add((channels, side, side), None)
    for c, layers in ((channels, 2), (2 * channels, 3)):
        for _ in range(layers):
            add((c, side, side), conv(c, into))
            into = c
        side //= 2
        add((c, side, side), pool(c), "or")
    if last_pool:
        side //= 2
        add((into, side, side), pool(into), "or")
    weight = rng.integers(-127, 128, (hidden, into * side * side), dtype=np.int8)
    add((hidden, 1, 1), LinearMap(kind="dense", weight=weight))
    last = rng.integers(-9, 9, (10, hidden)).astype(np.int8)
    made = Program(
        timesteps=5,
        input_shape=(3, 32, 32),
        input_kind="analogue",
        populations=tuple(populations),
        synapses=tuple(synapses),
        host=(HostMap(id="stem", dst="p0", map=stem),),
        readout=summed(src=populations[-1].id, weight=last, bias=np.zeros(10, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={p.id: k for k, p in enumerate(populations)}),
    )
    made.verify()
    return made


def megabytes() -> float:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_an_eighth_of_its_channels_is_priced_from_rates() -> None:
    made = cell(32, hidden=128)
    mapping = map_program(made, load_system())
    assert mapping.fits
    assert 150 < mapping.cores < 250  # neurons alone take 157
    profile = load_profile("loihi1")
    counts = expected_counts(made, mapping, {p.id: 0.1 for p in made.populations})
    bill = price(counts, profile, estimate_latency(counts, profile))
    assert bill.total is not None
    assert bill.total.low < bill.total.nominal < bill.total.high
    dense = sum(s.connections for s in counts.synapses)
    assert counts.synops / counts.samples == pytest.approx(0.1 * 5 * dense, rel=1e-3)


@pytest.mark.slow
def test_the_whole_cell_maps_but_for_its_dense_layer() -> None:
    made, start = cell(256), time.process_time()
    mapping = map_program(made, load_system())
    assert time.process_time() - start < 180  # 30 s of CPU time
    assert megabytes() < 4096
    [misfit] = mapping.misfits
    assert (misfit.resource, misfit.used, misfit.limit) == ("synapse_bytes", 8 * 512 * 8 * 8, 131072)
    channels, bits, _ = advice(made, mapping)
    assert "at most 256 of its 512 channels, or max-pool its 8x8 input by 2" in channels
    assert "not enough" in bits


@pytest.mark.slow
def test_with_one_max_pool_more_the_whole_cell_fits_and_is_priced() -> None:
    made = cell(256, last_pool=True)
    mapping = map_program(made, load_system())
    assert mapping.fits
    assert mapping.chips == 768
    profile = load_profile("loihi1")
    counts = expected_counts(made, mapping, {p.id: 0.1 for p in made.populations})
    bill = price(counts, profile, estimate_latency(counts, profile))
    assert bill.total is not None
    assert bill.total.nominal > 0
    assert megabytes() < 4096
