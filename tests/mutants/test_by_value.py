"""Values that mutants of the campaign once got wrong unseen (``campaign``): each test says what, by value."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler import schedule as scheduling
from snnas.export.compiler.ranges import prove
from snnas.hw_sim.energy.latency import Latency, estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import BASES, Band, Constant, load_profile
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.linear import convolve
from snnas.hw_sim.map.mapping import UNLIMITED, map_program
from snnas.hw_sim.program import CLOCK, INPUT, InputKind
from snnas.hw_sim.simulate import simulator
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import _check_memory, simulate_input
from tests.hw_sim.simulate.test_counts import TINY, conv, count, dense, population, program, silent
from tests.programs import random_program, recorded, reread


@pytest.mark.parametrize(("delayed", "needed"), [(False, 3 * 7 * (13 + 8 + 16 * 13)), (True, 3 * 7 * (13 + 8))])
def test_memory_is_a_byte_per_spike_and_the_largest_input_twice(
    delayed: bool, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 samples of 7 timesteps of 13 and 8 neurons; where time folds into the batch, 16 bytes of the larger besides."""
    made = program(
        [population("a", (13, 1, 1)), population("b", (8, 1, 1))],
        [(INPUT, "a", dense(13, 1)), ("a", "b", dense(8, 13))],
        timesteps=7,
        delayed=(("b", "b", dense(8, 8)),) if delayed else (),
        blank=int(delayed),
    )
    assert made.recurrent == delayed
    there = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": needed}
    monkeypatch.setattr(os, "sysconf", there.__getitem__)
    _check_memory(made, 3)
    there["SC_PHYS_PAGES"] = needed - 1
    with pytest.raises(UnsupportedError, match="3 samples of 7 timesteps of 21 neurons"):
        _check_memory(made, 3)
    there |= {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 3_260_000}
    with pytest.raises(UnsupportedError, match=rf"take {needed / 21:,.1f} GB in .* has 3\.3 GB"):
        _check_memory(made, 1_000_000_000 // 7)
    batch = 10**15 // 7
    with pytest.raises(UnsupportedError, match=rf"take {batch * (needed // 3) / 1e9:,.1f} GB in"):
        _check_memory(made, batch)
    there |= {"SC_PAGE_SIZE": 10**9, "SC_PHYS_PAGES": 10**10}
    with pytest.raises(UnsupportedError, match=r"has 10,000,000,000\.0 GB"):
        _check_memory(made, 10**18)


@pytest.mark.parametrize(("largest", "roads"), [((1 << 24) - 1, ["float32"]), (1 << 24, [])])
def test_a_convolution_takes_half_the_memory_while_float32_holds_its_sums(
    largest: int, roads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both roads give the same integers; which one is taken is a matter of memory."""
    taken: list[str] = []

    def convolved(x: np.ndarray, *rest: object) -> np.ndarray:
        taken.append(x.dtype.name)
        return convolve(x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(simulator, "_largest_sum", lambda linear: largest)
    monkeypatch.setattr(simulator, "convolve", convolved)
    made = program([population("a", (2, 1, 1))], [(INPUT, "a", conv(2, 1, 1))])
    list(simulate_input(made, np.ones((1, 2, 1, 1, 1), np.float32)))
    assert taken == roads


def test_a_spike_is_a_spike_whatever_number_it_has() -> None:
    """Of an input of counts, one above 1 is refused; where the input is spikes, anything above 0 is one."""
    made = program([population("a", (2, 1, 1))], [(INPUT, "a", dense(2, 1))])
    assert made.input_kind == "spikes"
    x = np.array([0, 3, 1, 0], np.float32).reshape(2, 2, 1, 1, 1)
    ((trace, _),) = simulate_input(made, x)
    ((plain, _),) = simulate_input(made, np.minimum(x, 1))
    assert (trace.spikes["a"] == plain.spikes["a"]).all()
    with pytest.raises(UnsupportedError, match="an input count of 3"):
        list(simulate_input(replace(made, input_kind="counts"), x))


def test_only_what_is_observed_is_watched() -> None:
    """127 * 2^9 is beyond a's 16 bits: refused where the range is merely observed, wrapped as on a chip elsewhere."""
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    (synapse,) = made.synapses
    large = replace(synapse, exponent=9, map=replace(synapse.map, weight=np.full((1, 1), 127, np.int8)))
    made, x = replace(made, synapses=(large,)), np.ones((1, 2, 1, 1, 1), np.float32)
    ((trace, _),) = simulate_input(made, x)
    assert trace.spikes["a"].all()
    with pytest.raises(UnsupportedError, match=r"population a: .* reaches 65024"):
        list(simulate_input(replace(made, meta={"observed": ["a"]}), x))


def test_so_many_relay_neurons_are_too_many() -> None:
    assert scheduling.MAX_RELAY_NEURONS == 16_777_216


@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_a_program_from_its_file_is_the_same(kind: InputKind, tmp_path: Path) -> None:
    """Its names are equal to those that the code has, and are other objects."""
    made = random_program(4, back=((2, 0),), kind=kind)
    again = reread(made, tmp_path)
    assert {s.src for s in made.synapses} > ({CLOCK, INPUT} if kind == "spikes" else {CLOCK})
    assert {p.role for p in made.populations} == {"neuron", "or", "relay"}
    counts = []
    for each in (made, again):
        golden, trace = recorded(each, 3)
        counter = Counter(each, map_program(each, TINY))
        counter.add(trace, spikes_in=golden.get("input.spikes"))
        counts.append(counter.result())
    assert counts[0] == counts[1]
    assert map_program(made, TINY).usage == map_program(again, TINY).usage
    assert [(r.status, dict(r.registers)) for r in prove(made).values()] == [
        (r.status, dict(r.registers)) for r in prove(again).values()
    ]


@pytest.mark.parametrize("seed", range(4))
def test_every_step_of_a_pipeline_that_fills_or_drains_is_counted(seed: int) -> None:
    made = random_program(seed, back=((2, 0),))
    _, trace = recorded(made, 3)
    counter = Counter(made, map_program(made, TINY))
    counter.add(trace)
    counts = counter.result()
    assert any(p.fill_active and p.fill_idle for p in counts.populations)
    for p in counts.populations:
        assert p.fill_active + p.fill_idle == p.neurons * 3 * counts.depth
        assert p.active + p.idle == p.neurons * 3 * counts.period * (counts.timesteps + counts.blank)


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_spikes_of_another_size_are_not_counted(more: int, axis: int) -> None:
    """More samples or timesteps than the others', or another number of neurons."""
    made = program([population("a", (3, 1, 1)), population("b", (2, 1, 1))],
                   [(INPUT, "a", dense(3, 1)), ("a", "b", dense(2, 3))], timesteps=2)  # fmt: skip
    spikes = silent(made, batch=2)
    count(made, spikes)
    shape = list(spikes["b"].shape)
    shape[axis] += more
    with pytest.raises(UsageError, match="counts: b has spikes"):
        count(made, spikes | {"b": np.zeros(shape, bool)})


def test_a_mapping_says_the_bits_that_it_is_of() -> None:
    made = program([population("a", (2, 1, 1))], [(INPUT, "a", dense(2, 1))])
    assert map_program(made, TINY).weight_bits == 8
    assert map_program(made, TINY, weight_bits=4).weight_bits == 4


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_has_no_limit_is_not_used_to_a_share(beyond: int) -> None:
    """One core, so that its share is the mean; a resource that nobody limits has none."""
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))])
    mapping = map_program(made, replace(TINY, compartments=int(str(UNLIMITED + beyond)), in_axons=UNLIMITED - 1))
    assert mapping.cores == 1
    found = mapping.utilisation
    assert (found["compartments"].limit, found["compartments"].mean, found["compartments"].highest) == (None,) * 3
    assert found["in_axons"].limit == UNLIMITED - 1
    used = mapping.usage[0]["synapse_bytes"][0] / 4096
    assert found["synapse_bytes"].mean == found["synapse_bytes"].highest == used > 0


def test_without_a_floor_the_latency_is_no_evidence_of_a_bill() -> None:
    made = program([population("a", (2, 1, 1))], [(INPUT, "a", dense(2, 1))])
    whole = load_profile("loihi1")
    still = replace(whole, constants={k: c for k, c in whole.constants.items() if not k.startswith("power.")})
    one = Band(low=1.0, nominal=1.0, high=1.0)
    worst = Latency(steps=3, step_us=one, inference_us=one, throughput=one, evidence=BASES[-1])
    counts = count(made, silent(made))
    assert price(counts, whole, worst).evidence == BASES[-1]
    assert price(counts, still, worst).evidence == price(counts, still, None).evidence != BASES[-1]


def test_one_core_back_to_back_takes_its_share_of_the_steps() -> None:
    """No other core to wait for: a sample takes T of the steps that one alone takes, drained ones left out."""
    made = program([population("aa", (2, 1, 1))], [(INPUT, "aa", dense(2, 1))], timesteps=3)
    counts = count(made, silent(made))
    assert len(counts.cores) == 1
    latency = estimate_latency(counts, load_profile("loihi1"))
    assert latency is not None
    share, alone = counts.period * (counts.timesteps + counts.blank) / counts.steps, latency.inference_us
    assert latency.throughput.nominal == pytest.approx(1e6 / (alone.nominal * share))
    assert latency.throughput.low == pytest.approx(1e6 / (alone.high * share))
    assert latency.throughput.high == pytest.approx(1e6 / (alone.low * share))
    assert latency.throughput.nominal % 1


def test_a_messages_time_counts_where_a_profile_has_one() -> None:
    counts = count(made := program([population("aa", (2, 1, 1))], [(INPUT, "aa", dense(2, 1))]), silent(made))
    profile = load_profile("loihi1")
    message = replace(profile.constants["time.barrier"], basis=BASES[-1])

    def evidence(**times: Constant) -> str:
        kept = {k: c for k, c in profile.constants.items() if k != "time.message"}
        latency = estimate_latency(counts, replace(profile, constants=kept | times))
        assert latency is not None
        return latency.evidence

    assert evidence() != BASES[-1]
    assert evidence(**{"time.message": message}) == BASES[-1]


def test_messages_take_no_time_where_a_profile_has_none() -> None:
    made = program([population("aa", (2, 1, 1))], [(INPUT, "aa", dense(2, 1))])
    counts = count(made, {name: np.ones_like(fired) for name, fired in silent(made).items()})
    assert any(sum(core.messages) for core in counts.cores)
    profile = load_profile("loihi1")
    kept = {k: c for k, c in profile.constants.items() if k != "time.message"}
    free = replace(profile.constants["time.barrier"], low=0.0, value=0.0, high=0.0)
    assert estimate_latency(counts, replace(profile, constants=kept)) == estimate_latency(
        counts, replace(profile, constants=kept | {"time.message": free})
    )
