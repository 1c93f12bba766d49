"""The simulator: its two ways through time agree, batches do not matter, and inputs are taken as they should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import CLOCK, INPUT, HostMap, LinearMap, Pool, Population, Program, Schedule
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate import simulator
from snnas.hw_sim.simulate.simulator import Trace, host_currents, simulate, simulate_input
from tests.hw_sim.simulate.test_counts import dense, population
from tests.hw_sim.simulate.test_counts import program as program_of
from tests.programs import random_program, reread

LOOPS = st.sampled_from([(), ((1, 1),), ((2, 0),), ((3, 2), (1, 1))])


def drivers(program: Program, samples: int, seed: int, *, frames: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    over_time = (samples, program.timesteps, *program.input_shape)
    if program.input_kind != "analogue":
        return {"spikes_in": rng.random(over_time) < 0.4}
    shape = over_time if frames else (samples, *program.input_shape)
    return {"currents": host_currents(program, rng.random(shape))}


def one_neuron(weights: list[float] | None = None, *, scale: float = 1.0, gain: float = 1.0) -> Program:
    """A neuron without leak, threshold 10, fed by host maps of one weight each; the readout counts its spikes."""
    maps = [LinearMap(kind="conv", weight=np.full((1, 1, 1, 1), w, dtype=np.float32)) for w in weights or [1.0]]
    zero = np.zeros((1, 1, 1), dtype=np.int16)
    program = Program(
        timesteps=4,
        input_shape=(1, 1, 1),
        input_kind="analogue",
        populations=(Population(id="p", shape=(1, 1, 1), dv=0, vth=10, scale=scale, bias=zero),),
        synapses=(),
        host=tuple(HostMap(id=f"h{i}", dst="p", map=m, gain=gain) for i, m in enumerate(maps)),
        readout=summed(src="p", weight=np.array([[1], [1], [-2]], dtype=np.int8), bias=np.array([0, 0, 5]), scale=1.0),
        schedule=Schedule(period=1, depth={"p": 0}),
    )
    program.verify()
    return program


def same(one: Trace, other: Trace, part: slice = slice(None)) -> bool:
    spikes = all(np.array_equal(s[part], other.spikes[name]) for name, s in one.spikes.items())
    return spikes and one.spikes.keys() == other.spikes.keys() and np.array_equal(one.logits[part], other.logits)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), spikes=st.booleans(), frames=st.booleans())
def test_folded_time_and_step_by_step_agree(seed: int, spikes: bool, frames: bool) -> None:
    program = random_program(seed, kind="spikes" if spikes else "analogue")
    given_ = {"currents": {}, "spikes_in": None} | drivers(program, 3, seed, frames=frames)
    folded = simulator._folded(program, 3, **given_)
    stepped = simulator._step_by_step(program, 3, **given_)
    assert folded.keys() == stepped.keys() == {p.id for p in program.populations}
    for p in program.populations:
        assert folded[p.id].shape == (3, program.timesteps, *p.shape)
        assert folded[p.id].dtype == stepped[p.id].dtype == bool
        assert np.array_equal(folded[p.id], stepped[p.id])


def test_random_programs_neither_rest_nor_fire_always() -> None:
    """The comparisons here would say nothing of silent populations."""
    rates = []
    for seed in range(8):
        program = random_program(seed)
        rates += [s.mean() for s in simulate(program, **drivers(program, 3, seed)).spikes.values()]
    assert np.mean([0.0 < r < 1.0 for r in rates]) > 0.7


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), back=LOOPS, spikes=st.booleans(), batch=st.integers(1, 4))
def test_the_batch_size_does_not_matter(seed: int, back: tuple[tuple[int, int], ...], spikes: bool, batch: int) -> None:
    program = random_program(seed, back=back, kind="spikes" if spikes else "analogue")
    rng = np.random.default_rng(seed)
    if spikes:
        x = (rng.random((5, program.timesteps, *program.input_shape)) < 0.4).astype(np.float32)
        whole = simulate(program, spikes_in=x > 0)
    else:
        x = rng.random((5, *program.input_shape)).astype(np.float32)
        whole = simulate(program, currents=host_currents(program, x))
    parts = list(simulate_input(program, x, batch=batch))
    starts = range(0, 5, batch)
    assert len(parts) == len(starts)
    for start, (trace, currents) in zip(starts, parts, strict=True):
        part = slice(start, start + batch)
        assert same(whole, trace, part)
        assert all(np.array_equal(c, host_currents(program, x)[name][part]) for name, c in currents.items())
        assert bool(currents) != spikes


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), back=LOOPS)
def test_a_static_image_is_the_same_frame_each_time(seed: int, back: tuple[tuple[int, int], ...]) -> None:
    program = random_program(seed, back=back)
    x = np.random.default_rng(seed).random((2, *program.input_shape))
    still, moving = (host_currents(program, y) for y in (x, np.repeat(x[:, None], program.timesteps, axis=1)))
    assert {c.shape[1] for c in still.values()} == {1}
    assert {c.shape[1] for c in moving.values()} == {program.timesteps}
    assert same(simulate(program, currents=still), simulate(program, currents=moving))


def test_a_delayed_spike_arrives_one_timestep_later() -> None:
    """The same map, delayed: the loop's neuron adds its own last spike to a current below the threshold."""
    program = one_neuron()
    loop = LinearMap(kind="dense", weight=np.array([[20]], dtype=np.int8))
    synapse = replace(random_program(0, kind="spikes").synapses[0], id="s", src="p", dst="p", map=loop, exponent=0)
    looped = replace(
        program, synapses=(replace(synapse, distance=1),), schedule=Schedule(period=1, depth={"p": 0}, blank=1)
    )
    looped.verify()
    currents = {"p": np.array([6, 6, 0, 0]).reshape(1, 4, 1, 1, 1)}
    assert simulate(program, currents=currents).spikes["p"].ravel().tolist() == [False, True, False, False]
    assert simulate(looped, currents=currents).spikes["p"].ravel().tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("x", "expected"),
    [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (-2.5, -2), (2.4999, 2), (2.5001, 3), (-7.6, -8)],
)
def test_host_currents_round_half_to_even(x: float, expected: int) -> None:
    for program, value in ((one_neuron(), x), (one_neuron(scale=4.0), x / 4), (one_neuron(gain=0.5), x * 2)):
        current = host_currents(program, np.full((1, 1, 1, 1), value))["p"]
        assert current.dtype == np.int64
        assert current.tolist() == [[[[[expected]]]]]


def test_host_maps_are_added_before_rounding() -> None:
    current = host_currents(one_neuron([0.25, 0.25]), np.ones((1, 1, 1, 1)))["p"]
    assert current.item() == 0  # .5 to even; .25 and .25 alone would be 0 as well
    assert host_currents(one_neuron([0.75, 0.75]), np.ones((1, 1, 1, 1)))["p"].item() == 2  # not 1 + 1
    assert host_currents(one_neuron([0.3, 0.3]), np.ones((1, 1, 1, 1)))["p"].item() == 1  # not 0 + 0


def test_host_currents_are_computed_in_float64() -> None:
    """In float32, 2**24 + 1 is 2**24."""
    program = one_neuron([1.0, 1.0])
    big = LinearMap(kind="conv", weight=np.full((1, 1, 1, 1), 2.0**24, dtype=np.float32))
    program = replace(program, host=(program.host[0], replace(program.host[1], map=big)))
    assert host_currents(program, np.ones((1, 1, 1, 1), dtype=np.float32))["p"].item() == 2**24 + 1


def test_the_readout_sums_spikes_and_biases_over_time() -> None:
    trace = simulate(one_neuron(), currents={"p": np.array([11, 5]).reshape(2, 1, 1, 1, 1)})
    assert trace.spikes["p"].sum(axis=1).ravel().tolist() == [4, 1]  # 5 + 5 + 5 exceeds 10 at the third step
    assert trace.logits.dtype == np.int64
    assert trace.logits.tolist() == [[4 * 64, 4 * 64, -8 * 64 + 20], [64, 64, -2 * 64 + 20]]
    assert trace.predictions.tolist() == [0, 0]  # ties to the lowest


def counted(program: Program) -> Program:
    return replace(program, input_kind="counts")


def test_counts_above_one_are_refused() -> None:
    program = counted(random_program(1, kind="spikes"))
    x = np.zeros((2, program.timesteps, *program.input_shape), dtype=np.float32)
    x[0, 0, 0, 0, 0] = 1
    [(trace, currents)] = simulate_input(program, x)
    assert currents == {}
    assert same(simulate(program, spikes_in=x > 0), trace)
    x[1, 0, 1, 2, 3] = 2
    with pytest.raises(UnsupportedError, match=r"an input count of 2: .*clip"):
        list(simulate_input(program, x))
    first = simulate_input(program, x, batch=1)
    next(first)  # the first chunk holds none
    with pytest.raises(UnsupportedError, match="count of 2"):
        next(first)


@pytest.mark.parametrize("back", [(), ((1, 1),)])
def test_a_program_without_a_driver(back: tuple[tuple[int, int], ...]) -> None:
    program = random_program(0, back=back)
    for currents in (None, {}):
        with pytest.raises(UsageError, match="neither currents nor spikes"):
            simulate(program, currents=currents)


@pytest.mark.parametrize("way", [simulator._folded, simulator._step_by_step])
@pytest.mark.parametrize(
    ("du", "states"),
    [  # of an input of 40 weight units at the first timestep: u loses du + 1 of 4096, v nothing
        (0, [2560, 2560 + 2559, 5119 + 2558, 7677 + 2557]),
        (2047, [2560, 3840, 4480, 4800]),
        (4095, [2560, 2560, 2560, 2560]),
    ],
)
def test_a_current_keeps_what_its_decay_leaves(way: Any, du: int, states: list[int]) -> None:
    """Of each whole threshold, the first timestep whose state is above it."""
    currents = {"p": np.array([40, 0, 0, 0]).reshape(1, 4, 1, 1, 1)}
    for vth in range(30, 170):
        program = replace(one_neuron(), populations=(replace(one_neuron().populations[0], du=du, vth=vth),))
        fired = way(program, 1, currents, None)["p"].ravel().tolist()
        assert (fired.index(True) if any(fired) else None) == next((t for t in range(4) if states[t] > vth * 64), None)


@pytest.mark.parametrize("back", [(), ((2, 0),)])
def test_a_program_from_its_file_fires_alike(back: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    """Its names are equal to those that the code has, and are other objects."""
    program = random_program(3, back=back, kind="spikes")
    assert {s.src for s in program.synapses} > ({CLOCK, INPUT} if back else {INPUT})
    driven = drivers(program, 2, 3)
    assert same(simulate(program, **driven), simulate(reread(program, tmp_path), **driven))


def test_samples_run_128_at_a_time() -> None:
    assert [len(trace.logits) for trace, _ in simulate_input(one_neuron(), np.ones((129, 1, 1, 1)))] == [128, 1]


def test_a_bound_of_a_convolutions_sums_counts_its_pools() -> None:
    """The largest output's sum of magnitudes, 2 + 128, times the entries of both windows."""
    weight = np.array([[[[3, -9]]], [[[2, -128]]]], np.int8)
    windows = {"pre": (Pool((2, 2), (1, 1)),), "post": (Pool((1, 3), (1, 1)),)}
    assert simulator._largest_sum(LinearMap(kind="pooled_conv", weight=weight, **windows)) == 130 * 4 * 3
    assert simulator._largest_sum(LinearMap(kind="conv", weight=weight)) == 130


@pytest.mark.parametrize("name", ["a", "input2", "z"])
def test_a_population_reads_its_source_and_not_the_input(name: str) -> None:
    """The first neuron never fires, whatever its name; nor does the second one, which reads it."""
    first = replace(population(name, (1, 1, 1)), vth=1000)
    made = program_of([first, population("b", (1, 1, 1))], [(INPUT, name, dense(1, 1)), (name, "b", dense(1, 1))])
    strong = replace(made, synapses=tuple(replace(s, exponent=5) for s in made.synapses))
    for back in ((), (replace(made.synapses[1], id="back", src="b", dst="b", distance=1),)):
        looped = replace(strong, synapses=(*strong.synapses, *back), schedule=replace(made.schedule, blank=len(back)))
        trace = simulate(looped, spikes_in=np.ones((1, 2, 1, 1, 1), bool))
        assert not any(spikes.any() for spikes in trace.spikes.values())


def test_what_is_below_zero_is_no_spike() -> None:
    made = program_of([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    strong = replace(made, synapses=tuple(replace(s, exponent=5) for s in made.synapses))
    ((trace, _),) = simulate_input(strong, np.array([-1.0, 1.0], np.float32).reshape(1, 2, 1, 1, 1))
    assert trace.spikes["a"].ravel().tolist() == [False, True]
