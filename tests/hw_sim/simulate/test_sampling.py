"""Energies of single samples, and counts expected from rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.energy.compare_ann import dense_macs, program_macs
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.program import INPUT, LinearMap
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.expected import SAMPLES, expected_counts
from snnas.hw_sim.simulate.sampling import SampleCounter, latency_spread
from snnas.hw_sim.simulate.simulator import Trace
from tests.hw_sim.simulate.test_counts import (
    TINY,
    conv,
    dense,
    population,
    program,
    random_program,
    random_spikes,
    unrolled,
)
from tests.studies.growth import counted_work


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_energies_of_samples_average_to_the_bill(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    mapping = map_program(made, TINY)
    spikes = random_spikes(made, rng, batch=4)
    trace = Trace({p.id: spikes[p.id] for p in made.populations}, np.zeros((4, 2), dtype=np.int64))
    plain, sampled = Counter(made, mapping), SampleCounter(made, mapping)
    plain.add(trace, spikes_in=spikes[INPUT])
    sampled.add(trace, spikes_in=spikes[INPUT])
    counts = sampled.result()
    assert counts == plain.result()
    assert sum(sampled.active) == sum(p.active + p.fill_active for p in counts.populations)
    for name in ("loihi1", "loihi1_calibrated"):
        profile = load_profile(name)
        counts = replace(counts, misfits=())
        bill = price(counts, profile, None)
        each = sampled.dynamic_energy(counts, profile)
        assert bill.dynamic is not None
        assert each.shape == (4,)
        assert each.mean() == pytest.approx(bill.dynamic.nominal)


def test_remembering_each_sample_is_no_pass_per_sample() -> None:
    """Calls and bytes, not seconds. A counter per sample, as it once was: 64 times the calls, 9 times the bytes."""
    joins = [(INPUT, "a", conv(4, 2, 3, pad=1)), ("a", "b", conv(4, 4, 3, pad=1))]
    made = program([population("a", (4, 12, 12)), population("b", (4, 12, 12))], joins, input_shape=(2, 12, 12))
    mapping, rng = map_program(made, TINY), np.random.default_rng(0)

    def work(kind: type[Counter], batch: int) -> tuple[float, float]:
        spikes = random_spikes(made, rng, batch=batch)
        trace = Trace({p.id: spikes[p.id] for p in made.populations}, np.zeros((batch, 2), dtype=np.int64))
        calls, written = counted_work(lambda: kind(made, mapping).add(trace, spikes_in=spikes[INPUT]))
        return calls, written

    calls, written = work(SampleCounter, 64)
    assert calls == work(SampleCounter, 8)[0]
    plain_calls, plain_written = work(Counter, 64)
    assert plain_calls < calls < 3 * plain_calls
    assert plain_written < written < 3 * plain_written


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_the_latency_of_single_samples_is_no_less_on_average_than_that_of_the_mean_load(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    mapping, profile = map_program(made, TINY), load_profile("loihi1")
    spikes = random_spikes(made, rng, batch=5)
    trace = Trace({p.id: spikes[p.id] for p in made.populations}, np.zeros((5, 2), dtype=np.int64))
    counter, each = Counter(made, mapping), []
    counter.add(trace, spikes_in=spikes[INPUT])
    for k in range(5):
        one = Counter(made, mapping)
        one.add(
            Trace({n: s[k : k + 1] for n, s in trace.spikes.items()}, trace.logits[:1]),
            spikes_in=spikes[INPUT][k : k + 1],
        )
        latency = estimate_latency(one.result(), profile)
        assert latency is not None
        each.append(latency.inference_us.nominal)
    spread = latency_spread(made, mapping, [(trace, spikes[INPUT], None)], profile)
    of_mean_load = estimate_latency(counter.result(), profile)
    assert spread is not None
    assert of_mean_load is not None
    assert (spread.mean, spread.samples) == (pytest.approx(np.mean(each)), 5)
    assert spread.p95 == pytest.approx(np.percentile(each, 95))
    assert spread.mean >= of_mean_load.inference_us.nominal * (1 - 1e-12)
    assert latency_spread(made, mapping, [], profile) is None
    assert latency_spread(made, mapping, [(trace, spikes[INPUT], None)], load_profile("analytic45_int8")) is None


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6))
def test_expected_counts_equal_a_full_run(seed: int) -> None:
    """At a rate of 1 every neuron spikes at every timestep, so what is expected must be what is counted."""
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    mapping = map_program(made, replace(TINY, compartments=int(rng.integers(10, 60))))
    ones = {name: np.ones_like(s) for name, s in random_spikes(made, rng, batch=1).items()}
    counter = Counter(made, mapping)
    counter.add(Trace({p.id: ones[p.id] for p in made.populations}, np.zeros((1, 2), np.int64)), spikes_in=ones[INPUT])
    counted = counter.result()
    rates = {p.id: 1.0 for p in made.populations} | {INPUT: 1.0}
    expected = expected_counts(made, mapping, rates)
    assert [s.synops for s in expected.synapses] == [s.synops * SAMPLES for s in counted.synapses]
    assert (expected.steps, expected.spikes) == (counted.steps, counted.spikes * SAMPLES)
    mine, theirs = {s.id: s for s in expected.sources}, {s.id: s for s in counted.sources}
    for name, s in mine.items():
        for what in ("spikes", "messages", "hops_ew", "hops_ns", "crossings"):
            assert getattr(s, what) == getattr(theirs[name], what) * SAMPLES, (name, what)
    assert [c.messages for c in expected.cores] == [tuple(SAMPLES * n for n in c.messages) for c in counted.cores]
    assert sum(sum(c.synops) for c in expected.cores) == expected.synops
    half = expected_counts(made, mapping, dict.fromkeys(rates, 0.5))
    assert half.spikes == pytest.approx(expected.spikes / 2)
    latency = estimate_latency(half, load_profile("loihi1"))
    assert latency is not None
    assert latency.inference_us.nominal > 0


def test_a_missing_or_impossible_rate_is_named() -> None:
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))])
    mapping = map_program(made, TINY)
    with pytest.raises(UsageError, match="input has None"):
        expected_counts(made, mapping, {"a": 0.1})
    with pytest.raises(UsageError, match=r"a has 1\.5"):
        expected_counts(made, mapping, {"a": 1.5, INPUT: 0.1})


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_dense_macs_are_the_entries_of_the_unrolled_matrices(seed: int) -> None:
    made = random_program(np.random.default_rng(seed))
    wires = unrolled(made)
    for s in made.synapses:
        if s.map.kind != "pooled_conv":
            assert dense_macs([(s.map, made.source_shape(s.src))]) == wires[s.id][3].sum()


def test_gates_and_clocks_multiply_nothing() -> None:
    pool = LinearMap(kind="conv", weight=np.full((2, 1, 2, 2), 2, np.int8), stride=(2, 2), groups=2)
    made = program(
        [population("a", (2, 4, 4)), population("o", (2, 2, 2), role="or"), population("b", (3, 1, 1))],
        [(INPUT, "a", conv(2, 1, 1)), ("a", "o", pool), ("o", "b", dense(3, 8))],
        input_shape=(1, 4, 4),
    )
    assert program_macs(made) == 2 * 16 + 3 * 8 + 2 * 3
