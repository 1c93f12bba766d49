"""Prices: published checks, linearity, what is unpriced, and which profiles are refused; latency beside it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.energy.latency import Latency, estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import UNITS, Band, Profile, load_profile
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.counts import CoreCount, Counts, PopulationCount, SourceCount, SynapseCount
from tests.hw_sim.simulate.test_counts import (
    TINY,
    count,
    dense,
    population,
    program,
    random_program,
    random_spikes,
    silent,
)

NAMES = ("loihi1", "loihi1_davies2018", "loihi1_board2019", "loihi1_calibrated", "analytic45_int8")


def published() -> Counts:
    """Counts of a published run of two convolutions and a dense layer, 16 timesteps and 3 to drain.

    630058 synops (51290 of them dense), 73758 updates (65287 active), 10183 spikes, 23445 messages, 6750 hops.
    """
    synapses = (("c", "conv", 630058 - 51290), ("d", "dense", 51290))
    return Counts(
        samples=1,
        timesteps=16,
        period=1,
        blank=0,
        depth=3,
        host_macs=0,
        host_comparisons=0,
        system="loihi1",
        chips=1,
        chips_used=1,
        misfits=(),
        populations=(
            PopulationCount(
                id="a",
                role="neuron",
                neurons=3882,
                spikes=(10183, *[0] * 15),
                active=65287,
                idle=3882 * 16 - 65287 + 3882 * 3,  # the split of fill and drain was not published
                fill_active=0,
                fill_idle=0,
            ),
        ),
        synapses=tuple(
            SynapseCount(id=i, src="a", dst="a", kind=k, connections=1, synops=n)  # type: ignore[arg-type]
            for i, k, n in synapses
        ),
        sources=(SourceCount(id="a", spikes=10183, injected=0, messages=23445, hops_ew=0, hops_ns=6750, crossings=0),),
        cores=(CoreCount(compartments=1000, synops=(0,) * 19, active=(0,) * 19, messages=(0,) * 19),),
        sample_spikes=(10183,),
        sample_synops=(630058,),
    )


def test_the_paper_s_table_reproduces_the_published_bill() -> None:
    bill = price(published(), load_profile("loihi1_davies2018"), None)
    by_item = {line.item: line.energy.nominal for line in bill.lines}
    assert by_item == pytest.approx(
        {
            "synop_conv": 578768 * 23.6e-6,
            "synop_dense": 51290 * 23.6e-6,
            "update_active": 65287 * 81e-6,
            "update_idle": 8471 * 52e-6,
            "message": 23445 * 1.7e-6,
            "hop_ns": 6750 * 4e-6,
        }
    )
    assert bill.dynamic is not None
    assert bill.dynamic.nominal == pytest.approx(20.7, rel=0.01)
    assert dict(bill.unpriced) == {"spike_generation": 10183, "floor_idle": 1, "floor_run": 1}
    assert bill.encode == Band(low=0.0, nominal=0.0, high=0.0)
    assert bill.floor is None
    assert (bill.evidence, bill.partial) == ("simulated", True)


def test_the_other_profiles_reproduce_theirs() -> None:
    calibrated = price(published(), load_profile("loihi1_calibrated"), None)
    assert calibrated.dynamic is not None
    assert calibrated.dynamic.nominal == pytest.approx(24.23, rel=1e-3)
    assert calibrated.evidence == "calibrated"
    analytic = price(published(), load_profile("analytic45_int8"), None)
    assert analytic.total is not None
    assert analytic.total.nominal == pytest.approx(0.019, rel=0.01)
    assert {"update_active", "update_idle", "spike_generation", "message"} <= {item for item, _ in analytic.unpriced}
    assert analytic.banner.startswith("compute only")


def fixed(us: float) -> Latency:
    band = Band(low=us, nominal=us, high=us)
    return Latency(steps=1, step_us=band, inference_us=band, throughput=band, evidence="simulated")


def test_the_measured_floor() -> None:
    board = load_profile("loihi1_board2019")
    milliseconds = fixed(1e3)  # 1 mW over 1 ms is 1 uJ
    bill = price(published(), board, milliseconds)
    floor = {line.item: line.energy.nominal for line in bill.lines if line.part == "floor"}
    assert floor["idle"] == pytest.approx(29.5)
    assert sum(floor.values()) == pytest.approx(76.4)
    wide = price(published(), load_profile("loihi1"), milliseconds).floor
    assert wide == Band(low=pytest.approx(29.5), nominal=pytest.approx(76.4), high=pytest.approx(104 + 46.9))
    chips = replace(published(), chips=8, chips_used=3)
    many = price(chips, board, milliseconds).floor
    assert many is not None
    assert many.nominal == pytest.approx(8 * 29.5 + 3 * 46.9)


def test_an_encoder_is_billed_by_its_comparisons() -> None:
    encoding = replace(published(), host_comparisons=2000)
    priced = price(encoding, load_profile("analytic45_int8"), None).encode
    assert priced == Band(
        low=pytest.approx(2000 * 0.03e-6), nominal=pytest.approx(2000 * 0.9e-6), high=pytest.approx(2000 * 0.9e-6)
    )
    assert ("host_comparison", 2000.0) in price(encoding, load_profile("loihi1"), fixed(963.0)).unpriced


def test_total_is_the_sum_of_the_priced_parts() -> None:
    bill = price(replace(published(), host_macs=7), load_profile("loihi1"), fixed(963.0))
    assert bill.encode is None
    assert ("host_mac", 7.0) in bill.unpriced
    assert bill.dynamic is not None
    assert bill.floor is not None
    assert bill.total == bill.dynamic + bill.floor
    assert bill.total.low <= bill.total.nominal <= bill.total.high
    data = json.loads(json.dumps(bill.to_json()))
    assert data["total"]["nominal"] == bill.total.nominal
    assert data["partial"] is True


def test_a_silent_net_costs_idle_updates_and_the_floor() -> None:
    made = program([population("a", (4, 1, 1))], [(INPUT, "a", dense(4, 1))])
    c = count(made, silent(made))
    profile = load_profile("loihi1")
    bill = price(c, profile, estimate_latency(c, profile))
    assert {line.item for line in bill.lines} == {"update_idle", "idle", "run"}
    assert bill.unpriced == ()
    assert bill.dynamic is not None
    assert bill.dynamic.nominal == pytest.approx((4 + 2) * (2 + 1) * 52e-6)


def test_the_host_s_spikes_are_encode_and_unpriced() -> None:
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    spikes = silent(made)
    spikes[INPUT][0, 0] = True
    bill = price(count(made, spikes), load_profile("loihi1"), None)
    assert bill.encode is None
    assert dict(bill.unpriced)["input_spike"] == 1


def test_what_does_not_fit_gets_no_joule() -> None:
    with pytest.raises(UnsupportedError, match="b needs 9 cores"):
        price(replace(published(), misfits=("b needs 9 cores",)), load_profile("loihi1"), None)


def scaled(profile: Profile, section: str, factor: float) -> Profile:
    constants = {
        key: replace(c, value=c.value * factor, low=c.low * factor, high=c.high * factor)
        if key.startswith(section)
        else c
        for key, c in profile.constants.items()
    }
    return replace(profile, constants=constants)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.01, 100), name=st.sampled_from(NAMES))
def test_the_price_is_linear_and_additive_and_monotone(seed: int, factor: float, name: str) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    mapping = map_program(made, TINY)
    spikes = random_spikes(made, rng, batch=3)
    profile = load_profile(name)

    def total(p: Profile, s: dict[str, np.ndarray]) -> float:
        bill = price(count(made, s, mapping), p, None)
        return bill.total.nominal if bill.total is not None else 0.0

    whole = total(profile, spikes)
    assert total(scaled(profile, "energy", factor), spikes) == pytest.approx(factor * whole)
    parts = [total(profile, {n: s[i : i + 1] for n, s in spikes.items()}) for i in range(3)]
    assert sum(parts) / 3 == pytest.approx(whole)
    more = spikes | {INPUT: spikes[INPUT] | (rng.random(spikes[INPUT].shape) < 0.3)}
    assert total(profile, more) >= whole * (1 - 1e-12)


def test_latency_by_hand() -> None:
    profile = load_profile("loihi1_davies2018")
    cores = (
        CoreCount(compartments=10, synops=(100, 0), active=(4, 0), messages=(3, 0)),
        CoreCount(compartments=20, synops=(0, 0), active=(0, 0), messages=(0, 0)),
    )
    c = replace(published(), samples=2, timesteps=1, depth=1, cores=cores)
    latency = estimate_latency(c, profile)
    assert latency is not None
    first = 2 * 8.4 + 8 * 5.3 + 50 * 3.5 + 1.5 * 2.1  # the mean of two samples, on the first core
    second = 20 * 5.3
    nominal = (first + second + 2 * 465) * 1e-3
    assert latency.inference_us.nominal == pytest.approx(nominal)
    assert latency.inference_us.high == pytest.approx(1.25 * nominal)
    assert latency.inference_us.low == pytest.approx(0.75 * (first + second + 2 * 113) * 1e-3)
    assert latency.steps == 2
    assert latency.step_us.nominal == pytest.approx(nominal / 2)
    busiest = (first + 10 * 5.3) / 2 + 465  # the first core's mean step
    assert latency.throughput.nominal == pytest.approx(1e9 / busiest, rel=1e-12)
    assert latency.throughput.low == pytest.approx(1e9 / (1.25 * busiest), rel=1e-12)
    assert latency.throughput.high == pytest.approx(1e9 / (0.75 * (busiest - 465 + 113)), rel=1e-12)
    blanks = [estimate_latency(replace(c, timesteps=3, blank=blank, period=2), profile) for blank in (0, 1)]
    assert blanks[0] is not None
    assert blanks[1] is not None
    assert blanks[0].throughput.nominal * 3 == pytest.approx(blanks[1].throughput.nominal * 4)  # a timestep more
    assert estimate_latency(c, load_profile("analytic45_int8")) is None


def test_latency_bands_and_more_cores() -> None:
    rng = np.random.default_rng(0)
    made = random_program(rng)
    spikes = random_spikes(made, rng, batch=2)
    profile = load_profile("loihi1")
    packed = estimate_latency(count(made, spikes), profile)
    spread = estimate_latency(count(made, spikes, map_program(made, TINY)), profile)
    assert packed is not None
    assert spread is not None
    for latency in (packed, spread):
        for band in (latency.step_us, latency.inference_us, latency.throughput):
            assert 0 < band.low < band.nominal < band.high
    assert spread.inference_us.nominal < packed.inference_us.nominal


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profiles_are_whole(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert all(c.unit == UNITS[key] and c.source for key, c in profile.constants.items())


def test_unknown_and_refused_profiles() -> None:
    with pytest.raises(UnsupportedError, match="no per-operation constants"):
        load_profile("loihi2")
    with pytest.raises(UsageError, match="loihi1_board2019"):
        load_profile("truenorth")
    with pytest.raises(UsageError, match="cannot be read"):
        load_profile("./none.toml")


CONSTANT = """[energy.synop]
value = 2
low = 1.0
high = 3.5
unit = "pJ"
node = "7 nm"
volt = 0.7
year = 2024
basis = "measured"
source = "my bench"
"""


def test_a_user_s_own_file(tmp_path: Path) -> None:
    file = tmp_path / "loihi2.toml"
    file.write_text(CONSTANT)
    profile = load_profile(str(file))
    assert (profile.name, profile.constants["energy.synop"].band) == ("loihi2", Band(low=1.0, nominal=2, high=3.5))
    assert price(published(), profile, None).evidence == "measured"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("value = 2", "value = nan", "energy.synop.value is 'nan'"),
        ("value = 2", "value = inf", "number in"),
        ("value = 2", "value = -1", "number in"),
        ("value = 2", "value = true", "number in"),
        ("value = 2", f"value = 1{'0' * 400}", "64 bits"),
        ("value = 2", 'value = "2"', "number in"),
        ("low = 1.0", "low = 2.5", "must ascend"),
        ("high = 3.5", "high = 1.5", "must ascend"),
        ('"pJ"', '"nJ"', "expected pJ"),
        ('"measured"', '"guessed"', "basis"),
        ("year = 2024", "year = 2024.5", "a whole number"),
        ('source = "my bench"', "", "source are missing"),
        ("energy.synop", "energy.magic", "energy.magic is unknown"),
        ("energy.synop", "power.synop", "unknown"),
        ("energy.synop", "joules.synop", "no section"),
        ("[energy.synop]", 'scope = "all_in"\n[energy.synop]', "all-in"),
        ("[energy.synop]", "version = true\n[energy.synop]", "version"),
        (CONSTANT, "", "no constant"),
        (CONSTANT, "energy = 3", "no section"),
        (CONSTANT, "[energy]\nsynop = 3", "expected a table"),
        (CONSTANT, "[[[[", "no TOML"),
    ],
)
def test_bad_constants_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(CONSTANT.replace(old, new))
    with pytest.raises(InvalidFileError, match=re.escape(says)) as raised:
        load_profile(str(file))
    assert "\n" not in str(raised.value)
    assert "mine.toml" in str(raised.value)


def test_the_default_system_and_profile_agree() -> None:
    assert load_system().name == "loihi1"
    assert {"power.idle", "power.run", "time.barrier"} <= set(load_profile("loihi1").constants)
