"""``Program.verify``: each rule is broken once, and the message names the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim import limits
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UnsupportedError
from snnas.hw_sim.program import CLOCK, INPUT, HostMap, LinearMap, Pool, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from tests.programs import Builder, drive, random_program

Change = Callable[[Program], Program]


def made() -> Program:
    """a (2, 6, 4) -conv-> b (4, 3, 2) -sparse-> c (5, 1, 1), and a dense self-loop of b; the host drives a."""
    b = Builder(np.random.default_rng(0), input_shape=(2, 6, 4))
    for depth, (name, shape) in enumerate({"a": (2, 6, 4), "b": (4, 3, 2), "c": (5, 1, 1)}.items()):
        zero = np.zeros((shape[0], 1, 1), dtype=np.int16)
        b.add(Population(id=name, shape=shape, dv=700, vth=40, scale=50.0, bias=zero), depth)
    drive(b, "a", "analogue")
    b.join("a", "b", LinearMap(kind="conv", weight=b.weights(4, 1, 3, 3), stride=(2, 2), pad=(1, 1), groups=2))
    sparse = LinearMap(
        kind="sparse",
        weight=b.weights(3),
        indices=np.array([0, 23, 4], dtype=np.int32),
        indptr=np.array([0, 1, 1, 2, 3, 3], dtype=np.int32),
    )
    b.join("b", "c", sparse)
    b.join("b", "b", LinearMap(kind="dense", weight=b.weights(24, 24)), distance=1)
    return Program(
        timesteps=3,
        input_shape=b.input_shape,
        input_kind="analogue",
        populations=tuple(b.populations),
        synapses=tuple(b.synapses),
        host=tuple(b.host),
        readout=summed(src="c", weight=b.weights(3, 5), bias=np.zeros(3, dtype=np.int64), scale=1.0),
        schedule=Schedule(period=1, depth=b.depth, blank=1),
    )


GOOD = made()
CONV, SPARSE, DENSE = (s.map for s in GOOD.synapses)


def whole(**fields: Any) -> Change:
    return lambda p: replace(p, **fields)


def population(place: int, **fields: Any) -> Change:
    return lambda p: replace(p, populations=_changed(p.populations, place, fields))


def synapse(place: int, **fields: Any) -> Change:
    return lambda p: replace(p, synapses=_changed(p.synapses, place, fields))


def linear(place: int, **fields: Any) -> Change:
    return lambda p: synapse(place, map=replace(p.synapses[place].map, **fields))(p)


def host(**fields: Any) -> Change:
    return lambda p: replace(p, host=_changed(p.host, 0, fields))


def readout(**fields: Any) -> Change:
    return lambda p: replace(p, readout=replace(p.readout, **fields))


def reading(**fields: Any) -> Change:
    return lambda p: readout(readings=_changed(p.readout.readings, 0, fields))(p)


def schedule(**fields: Any) -> Change:
    return lambda p: replace(p, schedule=replace(p.schedule, **fields))


def _changed(items: tuple[Any, ...], place: int, fields: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(replace(item, **fields) if i == place else item for i, item in enumerate(items))


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


INVALID: dict[str, tuple[Change, str]] = {
    "two populations of one id": (population(1, id="a"), "id 'a'"),
    "a synapse with a population's id": (synapse(0, id="c"), "id 'c'"),
    "two synapses of one id": (synapse(1, id="s0"), "id 's0'"),
    "a population called input": (population(0, id=INPUT), "id 'input'"),
    "a synapse called clock": (synapse(0, id=CLOCK), "id 'clock'"),
    "a host map with a population's id": (host(id="a"), "id 'a'"),
    "a host map with a synapse's id": (host(id="s1"), "id 's1'"),
    "a host map called input": (host(id=INPUT), "id 'input'"),
    "two host maps of one id": (lambda p: replace(p, host=p.host * 2), "id 'h0'"),
    "no timestep": (whole(timesteps=0), "0 timesteps"),
    "no population": (whole(populations=()), "0 populations"),
    "a population without a depth": (schedule(depth={"a": 0, "b": 1}), "schedule"),
    "a depth of nothing": (schedule(depth={"a": 0, "b": 1, "c": 2, "d": 3}), "schedule"),
    "period 0": (schedule(period=0), "schedule"),
    "a negative depth": (schedule(depth={"a": -1, "b": 0, "c": 1}), "schedule"),
    "a flat population": (population(2, shape=(5,)), r"population c has shape \(5,\)"),
    "an empty population": (population(2, shape=(5, 0, 1)), r"population c has shape \(5, 0, 1\)"),
    "a bias per row": (population(1, bias=np.zeros((1, 3, 1), dtype=np.int16)), r"population b: bias \(1, 3, 1\)"),
    "a synapse to nowhere": (synapse(0, dst="d"), "synapse s0 joins a and d"),
    "a synapse to the clock": (synapse(0, dst=CLOCK), "synapse s0 joins a and clock"),
    "a synapse from nowhere": (synapse(0, src="d"), "synapse s0 joins d and b"),
    "a delayed synapse without a blank": (schedule(blank=0), "synapse s2.*blank"),
    "a synapse onto another shape": (linear(0, stride=(1, 1)), r"synapse s0 does not map a onto b \(4, 3, 2\)"),
    "a dense map of too few rows": (linear(2, weight=DENSE.weight[:-1]), "synapse s2 does not map b onto b"),
    "a missing relay": (schedule(depth={"a": 0, "b": 1, "c": 3}), "synapse s1 has 1 hardware steps"),
    "a source too late": (schedule(depth={"a": 1, "b": 1, "c": 2}), "synapse s0 has -1 hardware steps"),
    "a stride of 0": (linear(0, stride=(0, 2)), "s0: strides"),
    "a pool's stride of 0": (linear(0, kind="pooled_conv", pre=(Pool((1, 1), (1, 0)),)), "s0: strides"),
    "an empty pool": (linear(0, kind="pooled_conv", post=(Pool((0, 1), (1, 1)),)), "s0: strides"),
    "a flat kernel": (linear(0, weight=CONV.weight[0]), "s0: a conv map cannot"),
    "a dense map of no rows": (linear(2, weight=DENSE.weight[:0]), "s2: a dense map cannot"),
    "a sparse map of two axes": (linear(1, weight=SPARSE.weight[None]), "s1: a sparse map cannot"),
    "a sparse map of nothing": (
        linear(1, weight=np.zeros(0, np.int8), indices=ints(), indptr=ints(0, 0, 0, 0, 0, 0)),
        "s1: a sparse map cannot",
    ),
    "another number of groups": (linear(0, groups=1), "s0: weight.*1 groups does not fit 2 channels"),
    "channels that groups do not share": (linear(0, weight=CONV.weight[:3]), "s0: weight.*2 groups"),
    "a dense map of too few columns": (linear(2, weight=DENSE.weight[:, 1:]), "s2: weight .* does not fit 24 inputs"),
    "a window beyond the input": (linear(0, pad=(0, 0), pre=(Pool((5, 1), (1, 1)),)), "s0: nothing is left"),
    "no indices": (linear(1, indices=None), "s1: a sparse map needs"),
    "no indptr": (linear(1, indptr=None), "s1: a sparse map needs"),
    "no rows": (linear(1, indptr=ints(0)), "s1: a sparse map needs"),
    "indptr from 1": (linear(1, indptr=ints(1, 1, 1, 2, 3, 3)), "s1: indptr must start at 0"),
    "a descending indptr": (linear(1, indptr=ints(0, 2, 1, 2, 3, 3)), "s1: indptr must .* not descend"),
    "an index beyond the source": (linear(1, indices=ints(0, 24, 4)), "s1: indices leave the 24 inputs"),
    "a negative index": (linear(1, indices=ints(0, -1, 4)), "s1: indices leave the 24 inputs"),
    "an indptr that ends early": (linear(1, indptr=ints(0, 1, 1, 2, 2, 2)), "s1: indptr, indices and weight"),
    "an index too few": (linear(1, indices=ints(0, 23)), "s1: indptr, indices and weight"),
    "a host map to nowhere": (host(dst="d"), "host map h0 feeds d"),
    "a host map to another shape": (host(dst="b"), "host map h0 does not fit population b"),
    "a host map of another input": (whole(input_shape=(3, 6, 4)), "h0: weight.*3 channels"),
    "a readout of nothing": (reading(src="d"), "readout.*population d"),
    "a readout of the clock": (reading(src=CLOCK), "readout.*population clock"),
    "a flat readout": (reading(weight=np.zeros(5, dtype=np.int8)), r"readout's weight \(5,\)"),
    "a readout of too many columns": (reading(weight=np.zeros((3, 6), dtype=np.int8)), r"readout's weight \(3, 6\)"),
    "a readout's bias without timesteps": (readout(bias=np.zeros(3, dtype=np.int64)), r"readout's bias is \(3,\)"),
    "a readout's bias too few": (readout(bias=np.zeros((1, 2), np.int64)), "does not fit population c and 2 classes"),
    "a readout of no population": (readout(readings=()), "reads no population"),
    "a readout's response of other timesteps": (readout(response=np.ones((2, 1), np.int64)), r"response is \(2, 1\)"),
    "a readout from before": (reading(distance=-1), "distance below"),
    "a readout of int16": (reading(weight=np.zeros((3, 5), dtype=np.int16)), "readout needs int8"),
}

UNSUPPORTED: dict[str, tuple[Change, str]] = {
    "a negative leak": (population(0, dv=-1), "population a: leak dv -1"),
    "a leak of all": (population(0, dv=4096), "population a: leak dv 4096"),
    "a negative threshold": (population(1, vth=-1), "population b: threshold vth -1"),
    "a wide threshold": (population(1, vth=131072), "population b: threshold vth 131072"),
    "a wide bias": (population(2, bias=np.full((5, 1, 1), 4096, np.int16)), "population c: bias mantissa 4096"),
    "a wide negative bias": (population(2, bias=np.full((5, 1, 1), -32768, np.int16)), "c: bias mantissa 32768"),
    "a negative bias exponent": (population(0, bias_exponent=-1), "population a: bias exponent -1"),
    "a wide bias exponent": (population(0, bias_exponent=8), "population a: bias exponent 8"),
    "weights of int16": (linear(0, weight=CONV.weight.astype(np.int16)), "synapse s0: int16 weights"),
    "a negative exponent": (synapse(1, exponent=-1), "synapse s1: .*exponent -1"),
    "a wide exponent": (synapse(1, exponent=8), "synapse s1: .*exponent 8"),
    "a distance of 2": (synapse(2, distance=2), "synapse s2: .*distance 2"),
}


def refused(program: Program, error: type[SnnasError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        program.verify()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_program(name: str) -> None:
    change, message = INVALID[name]
    refused(change(GOOD), InvalidFileError, message)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_no_register_holds(name: str) -> None:
    change, message = UNSUPPORTED[name]
    refused(change(GOOD), UnsupportedError, message)


@pytest.mark.parametrize(
    "change",
    [
        population(0, dv=0, vth=0, bias=np.full((2, 1, 1), -4095, np.int16)),
        population(0, dv=4095, vth=131071, bias=np.full((2, 6, 4), 4095, np.int16), bias_exponent=7),
        synapse(0, exponent=7),
        lambda p: replace(p, host=()),
    ],
)
def test_the_ends_of_the_registers_are_in(change: Change) -> None:
    GOOD.verify()
    change(GOOD).verify()


def test_a_delayed_synapse_of_any_source_needs_a_blank() -> None:
    one = LinearMap(kind="dense", weight=np.ones((5, 1), dtype=np.int8))
    for source, weight in ((CLOCK, one), (INPUT, replace(one, weight=np.ones((5, 48), dtype=np.int8)))):
        late = Synapse(id="late", src=source, dst="c", map=weight, distance=1)
        program = replace(GOOD, synapses=(*GOOD.synapses[:2], late))
        program.verify()
        refused(schedule(blank=0)(program), InvalidFileError, "synapse late.*blank")
        schedule(blank=0)(replace(program, synapses=(*GOOD.synapses[:2], replace(late, distance=0)))).verify()


@pytest.mark.parametrize("period", [2, 3])
def test_a_longer_period_takes_its_biases_from_the_clock(period: int) -> None:
    program = random_program(3, back=((period - 1, 0),))
    assert program.schedule.period == period
    program.verify()
    bias = program.populations[1].bias.copy()
    bias.flat[-1] = -1
    refused(population(1, bias=bias)(program), InvalidFileError, f"population p1 .*period {period}.*clock")
    assert not GOOD.populations[1].bias.any()
    population(1, bias=np.ones((4, 1, 1), np.int16))(GOOD).verify()  # period 1


def test_several_host_maps_may_feed_one_population() -> None:
    twin = replace(GOOD.host[0], id="h1")
    assert isinstance(twin, HostMap)
    replace(GOOD, host=(*GOOD.host, twin)).verify()


@pytest.mark.parametrize("back", [(), ((1, 1),), ((2, 0), (3, 2))])
@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_random_programs_are_programs(back: tuple[tuple[int, int], ...], kind: Any) -> None:
    for seed in range(5):
        program = random_program(seed, back=back, kind=kind)
        program.verify()
        assert program.recurrent == bool(back)
        depths = [program.schedule.depth[p.id] for p in program.in_order]
        assert depths == sorted(depths)
        assert program.schedule.total_depth == depths[-1] + 1
        assert max(p.vth for p in program.populations) <= limits.THRESHOLD_MAX
