"""Bounds of registers: held by whatever is sent, reached by something, and broken by a program that overflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.observed_ranges import Recording, observe, prove_or_observe
from snnas.export.compiler.ranges import (
    LIMITS,
    Bound,
    Range,
    _after_reset,
    _host_bounds,
    bound_of,
    host_of,
    input_bounds,
    neuron_bounds,
    prove,
    verify_ranges,
)
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import integer_stage, with_integers
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import CLOCK, INPUT, HostMap, LinearMap, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.simulator import host_currents, simulate
from tests.programs import Builder, random_program
from tests.studies.adversary import attack, weights_of
from tests.studies.ranges import cuba_chain

LOOPS = st.sampled_from([(), ((1, 1),), ((3, 1),), ((2, 0), (3, 3))])
TIGHT = 2  # where synapses of one source run side by side, bounds are at most so many times what is reached


def proved(seed: int, back: tuple[tuple[int, int], ...], spikes: bool) -> Program:
    program = random_program(seed, back=back, kind="spikes" if spikes else "analogue")
    assume(all(r.status == "proved" for r in prove(program).values()))
    return program


@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10_000), back=LOOPS, spikes=st.booleans())
def test_no_train_gets_beyond_the_bounds_and_some_reach_them(
    seed: int, back: tuple[tuple[int, int], ...], spikes: bool
) -> None:
    program = proved(seed, back, spikes)
    for p in program.populations:
        bounds, neurons = neuron_bounds(program, p), np.arange(min(p.size, 40))
        outcome = attack(program, p, neurons, bounds, trains=16, rng=np.random.default_rng(seed))
        assert outcome.beyond == 0
        sources = [(s.src, s.distance) for s in program.into(p.id)]
        exact = len(set(sources)) == len(sources)
        late = any(distance for _, distance in sources) and program.timesteps == 1
        for register in "au":
            for mine, limit in zip(outcome.ends[register], bounds[register], strict=True):
                there = limit.reshape(-1)[neurons]
                assert late or (np.abs(there) <= TIGHT * np.abs(mine) + 64).all()
                assert late or not exact or (there == mine).all()
        gap = bounds["v"][1].reshape(-1)[neurons] - outcome.ends["v"][1]
        assert late or not exact or gap.max() <= p.vth << limits.STATE_SHIFT


@settings(max_examples=15, derandomize=True)
@given(seed=st.integers(0, 10_000), back=LOOPS, part=st.sampled_from([1, 3]))
def test_a_soft_reset_leaves_what_it_does_not_take(seed: int, back: tuple[tuple[int, int], ...], part: int) -> None:
    program = random_program(seed, back=back, kind="spikes")
    soft = tuple(replace(p, taken=(p.vth << 6) // part) for p in program.populations)
    program = replace(program, populations=soft)
    ranges, rng = prove(program), np.random.default_rng(seed)
    for p in program.populations:
        if ranges[p.id].status == "proved":
            bounds = neuron_bounds(program, p)
            assert attack(program, p, np.arange(p.size), bounds, trains=16, rng=rng).beyond == 0
    one_by_hand = replace(one([30, -20], bias=0), populations=(replace(one([30]).populations[0], taken=300),))
    below = replace(one([11], bias=0), populations=(replace(one([11], bias=0).populations[0], taken=2000),))
    assert ends(below, "v")[0] == -1019  # 641 at least when it fires, -1359 then, of which a quarter leaks
    # 3840 > 640: 3540 is left, 2655 leaks to the next timestep, and so on
    assert ends(one_by_hand, "v")[1] == (((3840 + 40 - 300) * 3 // 4 + 3880) - 300) * 3 // 4 + 3880


@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_currents_that_decay_are_followed_step_by_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = compile_graph(cuba_chain(rng), timesteps=7, input_kind="spikes")
    assert any(s.src == CLOCK for s in program.synapses)
    for p in program.populations:
        assert p.current_decays
        bounds, neurons = neuron_bounds(program, p), rng.integers(0, p.size, 20)
        outcome = attack(program, p, neurons, bounds, trains=16, rng=rng)
        assert outcome.beyond == 0
        for register, end in (("u", 0), ("u", 1), ("v", 0)):  # the same sources at every step: reached to the last unit
            assert (bounds[register][end].reshape(-1)[neurons] == outcome.ends[register][end]).all()


@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10_000), back=LOOPS, spikes=st.booleans())
def test_what_a_run_holds_lies_within_the_bounds(seed: int, back: tuple[tuple[int, int], ...], spikes: bool) -> None:
    program = proved(seed, back, spikes)
    rng = np.random.default_rng(seed)
    shape = (6, program.timesteps, *program.input_shape)
    x = (rng.random(shape) < rng.random((6, 1, 1, 1, 1))).astype(np.float32)
    currents, spikes_in = ({}, x > 0) if spikes else (host_currents(program, x), None)
    run = Recording(
        trace=simulate(program, currents=currents, spikes_in=spikes_in), currents=currents, spikes_in=spikes_in
    )
    for name, found in prove(program).items():
        for register, seen in observe(program, name, run).items():
            bound = found.registers[register]
            assert bound.low <= seen.low <= seen.high <= bound.high


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_the_adversary_reads_the_weights_that_the_simulator_applies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = [((3, 6, 4), (2, 6, 4)), ((4, 6, 4), (2, 3, 2))][seed % 2]
    linear = Builder(rng, input_shape=source).random_map(source, target)
    neurons = np.arange(int(np.prod(target)))
    spikes = rng.random((5, *source)) < 0.5
    sums = spikes.reshape(5, -1) @ weights_of(linear, source, target, neurons).T
    assert (sums.reshape(5, *target) == apply(linear, spikes, target)).all()


def one(weights: list[int], *, vth: int = 10, dv: int = 1024, bias: int = 40, du: int = 4095, T: int = 3) -> Program:
    """One neuron behind spikes."""
    linear = LinearMap(kind="dense", weight=np.array([weights], np.int8))
    return Program(
        timesteps=T,
        input_shape=(len(weights), 1, 1),
        input_kind="spikes",
        populations=(
            Population(
                id="p",
                shape=(1, 1, 1),
                dv=dv,
                vth=vth,
                scale=1.0,
                bias=np.full((1, 1, 1), bias, np.int16),
                bias_exponent=0,
                du=du,
            ),
        ),
        synapses=(Synapse(id="s", src=INPUT, dst="p", map=linear, exponent=1),),
        host=(),
        readout=summed(src="p", weight=np.ones((1, 1), np.int8), bias=np.zeros(1, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={"p": 0}),
    )


def ends(program: Program, register: str) -> tuple[int, int]:
    found = prove(program)["p"].registers[register]
    return found.low, found.high


def test_one_neuron_by_hand() -> None:
    program = one([30, 3, -20])
    assert ends(program, "a") == (-40, 66)
    assert ends(program, "u") == (-40 * 64, 66 * 64)
    # v after t = 0: -2520; then trunc(-2520 * .75) = -1890 - 2520 = -4410; then trunc(-3307.5) = -3307 - 2520 = -5827
    # upwards: it held 640, the threshold, of which 480 is left
    assert ends(program, "v") == (-5827, 480 + 66 * 64 + 40)


def test_leaks_come_on_every_hardware_step_of_a_timestep() -> None:
    program = replace(one([-20], bias=0), schedule=Schedule(period=2, depth={"p": 0}))
    # -2560, which leaks to -1920 and -1440; -4000, to -3000 and -2250; -4810
    assert ends(program, "v") == (-4810, 0)


def test_a_neuron_that_always_fires_never_holds_its_threshold() -> None:
    program = one([30], bias=3000)  # 3000 > 640, whatever comes
    assert ends(program, "v") == (3000, 3000 + 60 * 64)


def test_a_neuron_that_may_have_fired_may_hold_nothing() -> None:
    # At first v is 220 at least, which does not fire; with one source less, -18 * 64 + 1500 = 348 > 256, it does, and
    # without what it held the current of the next timestep, -576 - 1280, takes it to -356.
    program = one([-9, -1], du=2047, bias=1500, vth=4, T=2)
    assert ends(program, "v")[0] == 1500 - 640 - 1280  # of the lowest current, and nothing held
    spikes = np.array([[1, 0], [1, 1]], bool).reshape(1, 2, 2, 1, 1)
    run = Recording(trace=simulate(program, spikes_in=spikes), currents={}, spikes_in=spikes)
    assert observe(program, "p", run)["v"].low == -356


def test_a_decaying_current_by_hand() -> None:
    program = one([30, -20], du=2047, bias=0, T=3)
    # a step keeps half: 3840, 1920 + 3840, 2880 + 3840; downwards 2560, 1280 + 2560, 1920 + 2560
    assert ends(program, "u") == (-4480, 6720)
    always = one([30, -20], du=2047, bias=4000, T=3)  # its membrane is the same at every timestep: nothing
    assert ends(always, "u") == (-4480, 6720)
    assert prove(program)["p"].status == "proved"


def test_the_clock_fires_at_every_timestep_but_not_before_the_first() -> None:
    program = one([30])
    p, (s,) = program.populations[0], program.synapses
    for distance, expected in ((0, (-14, 46)), (1, (-14, 60))):
        clock = Synapse(
            id="c",
            src=CLOCK,
            dst="p",
            map=LinearMap(kind="dense", weight=np.array([[-7]], np.int8)),
            exponent=1,
            distance=distance,  # type: ignore[arg-type]
        )
        low, high = input_bounds(p, [(s, (1, 1, 1)), (clock, (1, 1, 1))], [], (1, 1, 1), (0.0, 1.0))
        assert (int(low.max()), int(high.max())) == expected


@pytest.mark.parametrize(("values", "expected"), [((0.0, 1.0), (-2, 3)), ((-1.0, 1.0), (-4, 4))])
def test_a_current_from_the_host_is_rounded_as_the_host_rounds(
    values: tuple[float, float], expected: tuple[int, int]
) -> None:
    weight = np.array([[2.5, -1.5]], np.float32) * np.float32(1.0000001)  # just above a half, either way
    host = HostMap(id="h", dst="p", map=LinearMap(kind="dense", weight=weight))
    program = replace(one([0, 0]), input_kind="analogue", input_range=values, synapses=(), host=(host,))
    assert ends(program, "a") == expected
    extremes = np.array([[values[1], values[0]], [values[0], values[1]]], np.float32).reshape(2, 2, 1, 1)
    currents = host_currents(program, extremes)["p"]
    assert (int(currents.min()), int(currents.max())) == expected


def planted() -> tuple[Program, str]:
    """A compiled network, one population of which has weights so many times too large that u wraps."""
    program = compile_graph(cuba_chain(np.random.default_rng(0)), timesteps=6, input_kind="spikes")
    victim = program.populations[1].id
    synapses = tuple(
        replace(s, exponent=limits.WEIGHT_EXPONENT_MAX) if s.dst == victim and s.src != CLOCK else s
        for s in program.synapses
    )
    scaled = tuple(replace(p, scale=p.scale * 128) if p.id == victim else p for p in program.populations)
    return replace(program, synapses=synapses, populations=scaled), victim


def test_a_scale_at_which_u_wraps_is_named_with_its_population() -> None:
    program, victim = planted()
    ranges = prove(program)
    assert {name for name, r in ranges.items() if r.status != "proved"} == {victim}
    assert ranges[victim].registers["u"].margin > 1
    with pytest.raises(UnsupportedError, match=rf"population {victim}: its .* may reach -?\d+, the limit is \d+;"):
        verify_ranges(program)
    # every input fires: the first layer does, and the second wraps
    x = np.ones((3, 6, 2, 10, 10), np.float32)
    with pytest.raises(UnsupportedError, match=rf"population {victim}: violated: its .* reaches -?\d+ on these sam"):
        prove_or_observe(program, x)


def test_what_is_not_proved_is_observed_where_the_samples_fit() -> None:
    program, victim = planted()
    ranges = prove_or_observe(program, np.zeros((3, 6, 2, 10, 10), np.float32))
    assert {name: r.status for name, r in ranges.items()} == {program.populations[0].id: "proved", victim: "observed"}
    assert all(bound.margin <= 1 for bound in ranges[victim].registers.values())


def test_a_pulse_that_would_wrap_a_silenced_current_is_no_proof() -> None:
    weights = [-128] * 44  # u sinks to 64 * 2 * 128 * 44 * 10: within 24 bits, but not with the pulse
    program = one(weights, du=0, T=10, vth=1000, bias=0, dv=4095)
    assert prove(program)["p"].status == "proved"
    back = Synapse(id="b", src="p", dst="p", map=LinearMap(kind="dense", weight=np.ones((1, 1), np.int8)), distance=1)
    silenced = replace(
        program, synapses=(*program.synapses, back), schedule=Schedule(period=1, depth={"p": 0}, blank=1)
    )
    silenced.verify()
    found = prove(silenced)["p"]
    assert found.status == "unproved"
    assert all(bound.margin <= 1 for bound in found.registers.values())


def test_numbers_beyond_every_register_stay_numbers() -> None:
    program = one([127] * 3000, T=200, du=0)
    found = prove(program)["p"]
    assert found.status == "unproved"
    assert found.registers["a"].high == 127 * 3000 * 2
    assert found.registers["u"].margin > 1
    assert LIMITS["a"] == 32767


# ------------------------------------------------------------------------------------------------------- part by part


@pytest.mark.parametrize(
    ("low", "high", "value", "margin"),
    [(-5, 4, -5, 0.5), (-5, 5, 5, 0.5), (-4, 5, 5, 0.5), (-20, 3, -20, 2.0), (2, 3, 3, 0.3), (-7, -6, -7, 0.7)],
)
def test_a_bound_tells_the_end_that_is_further_from_zero(low: int, high: int, value: int, margin: float) -> None:
    bound = Bound(low, high, 10)
    assert (bound.value, bound.margin) == (value, margin)
    assert bound.to_json() == {"low": low, "high": high, "limit": 10, "margin": margin}


def test_the_worst_register_is_the_fullest_and_v_only_where_it_overflows() -> None:
    a, u = Bound(-5, 5, 10), Bound(-9, 2, 10)
    for v, worst in ((Bound(-10, 10, 10), ("u", u)), (Bound(-11, 0, 10), ("v", Bound(-11, 0, 10)))):
        found = Range("proved", {"a": a, "u": u, "v": v})
        assert found.worst == worst
        assert found.to_json() == {"status": "proved", "a": a.to_json(), "u": u.to_json(), "v": v.to_json()}
    assert Range("observed", {"a": u, "u": a}).worst == ("a", u)


def test_a_membranes_clip_is_harmless_but_for_a_soft_reset() -> None:
    hard = one([1]).populations[0]
    soft = replace(hard, taken=1)
    top = (1 << 23) - 1
    assert bound_of(hard, "v", -top - 9, top + 9) == Bound(-top, top, top)
    assert bound_of(hard, "v", -5, 6) == Bound(-5, 6, top)
    assert bound_of(soft, "v", -top - 9, top + 9) == Bound(-top - 9, top + 9, top)
    assert bound_of(hard, "u", -top - 9, top + 9) == Bound(-top - 9, top + 9, top)
    assert bound_of(hard, "a", -40_000, 5) == Bound(-40_000, 5, 32767)


@pytest.mark.parametrize(
    ("weights", "status"),
    [([127] * 129 + [1], "proved"), ([127] * 129 + [1, 1], "unproved"), ([-128] * 128, "unproved")],
)
def test_a_register_may_be_filled_to_its_limit(weights: list[int], status: str) -> None:
    """127 * 129 + 1 = 16,384: twice that is 32,768, one unit too many; so exponent 0, and one more unit."""
    program = one(weights, vth=60_000, bias=0)
    (s,) = program.synapses
    clock = Synapse(id="c", src=CLOCK, dst="p", map=LinearMap(kind="dense", weight=np.array([[-1]], np.int8)))
    both = replace(program, synapses=(s, clock))
    if status == "proved":
        assert ends(both, "a") == (-1, 32767)
    assert prove(both)["p"].status == status
    if status == "unproved":
        register, bound = prove(both)["p"].worst
        assert register == "a"
        with pytest.raises(UnsupportedError) as caught:
            verify_ranges(both)
        assert str(caught.value) == (
            f"population p: its synaptic input a may reach {bound.value}, the limit is 32767; train with smaller "
            "weights (weight decay), or fewer inputs per neuron"
        )
        verify_ranges(replace(both, meta={"observed": ["p"]}))
    else:
        verify_ranges(both)


def test_the_host_of_a_population_is_its_own() -> None:
    maps = tuple(
        HostMap(id=f"h{dst}", dst=dst, map=LinearMap(kind="dense", weight=np.full((1, 1), 2.0, np.float32)))
        for dst in "pq"
    )
    program = replace(one([1]), input_kind="analogue", input_range=(-1.0, 3.0), synapses=(), host=maps)
    assert host_of(program, program.populations[0]) == ([maps[0]], (-1.0, 3.0))
    whole = with_integers(replace(program, host=maps[:1]))
    found, values = host_of(whole, whole.populations[0])
    assert values == (-64.0, 191.0)
    (h,) = found
    stage = integer_stage(whole, whole.populations[0])
    assert h.gain == 1 / (2**stage.shift * whole.populations[0].scale)
    other = replace(whole.populations[0], id="q")
    assert host_of(whole, other) == ([], (-1.0, 3.0))


def test_the_hosts_own_rounding_widens_its_bounds() -> None:
    """Four products that cancel, of magnitude 8 at a gain of 2: an error of 2 (4 + 8) 2^-52 of 16, scaled."""
    host = HostMap(id="h", dst="p", map=LinearMap(kind="dense", weight=np.array([[1, -2, 3, -2]], np.float32)), gain=2)
    p = one([1]).populations[0]

    def both(host: HostMap, scale: float, *values: float) -> tuple[int, int]:
        low, high = _host_bounds(replace(p, scale=scale), [host], (4, 1, 1), (values[0], values[1]))
        return int(np.min(low)), int(np.max(high))

    assert both(host, 2.0**52, 1.0, 1.0) == (-384, 384)
    assert both(host, 2.0**52, -3.0, -3.0) == (-3 * 384, 3 * 384)
    assert both(replace(host, gain=-2.0), 2.0**53, 1.0, 1.0) == (-2 * 384, 2 * 384)
    assert both(host, 1.0, -1.0, 1.0) == (-16, 16)
    assert both(host, 1.0, 0.0, 1.0) == (-8, 8)
    assert both(host, 3.0, -3.0, 1.0) == (-3 * 2 * (3 * 4 + 4), 3 * 2 * (4 + 3 * 4))
    uneven = replace(host, map=replace(host.map, weight=np.array([[1, -2, 3, -4]], np.float32)), gain=-2.0)
    assert both(uneven, 1.0, -3.0, 1.0) == (-44, 36)
    assert _host_bounds(p, [], (4, 1, 1), (0.0, 1.0)) == (0, 0)


@pytest.mark.parametrize(
    ("least", "most", "taken", "held"),
    [  # beside a threshold of 10 << 6 = 640
        (-5, 640, 0, (-5, 640)),
        (5, 640, 0, (5, 640)),
        (600, 640, 100, (600, 640)),
        (-5, 641, 0, (-5, 640)),
        (5, 641, 0, (0, 640)),
        (640, 900, 0, (0, 640)),
        (641, 900, 0, (0, 0)),
        (-5, 900, 100, (-5, 800)),
        (-5, 700, 100, (-5, 640)),
        (5, 900, 700, (-59, 640)),
        (641, 900, 100, (541, 800)),
        (700, 900, 100, (600, 800)),
        (640, 641, 1, (640, 640)),
    ],
)
def test_what_is_held_after_a_timestep(least: int, most: int, taken: int, held: tuple[int, int]) -> None:
    p = replace(one([1]).populations[0], taken=taken)
    low, high = _after_reset(np.array([[[least]]]), np.array([[[most]]]), p)
    assert (int(low.item()), int(high.item())) == held


def test_a_pulse_of_silence_comes_where_a_delayed_source_is() -> None:
    program = one([30, -20], du=2047, bias=0, T=2)
    p, (s,) = program.populations[0], program.synapses
    back = Synapse(id="b", src="p", dst="p", map=LinearMap(kind="dense", weight=np.ones((1, 1), np.int8)), distance=1)
    blank = Schedule(period=1, depth={"p": 0}, blank=1)
    silenced = replace(program, synapses=(s, back), schedule=blank)
    found = neuron_bounds(silenced, p)
    # a pulse of -192 << 8 weight units, and the third timestep of -40..61 weight units, half of which is kept
    pulse = -192 * 256 * 64
    assert int(found["blank"][0].item()) == pulse - (2560 + 1280 + 640)
    assert int(found["blank"][1].item()) == pulse + 3904 + 1952 + 976
    assert "blank" not in neuron_bounds(replace(silenced, synapses=(s, replace(back, distance=0))), p)
    assert "blank" not in neuron_bounds(replace(silenced, synapses=(replace(s, distance=1),)), p)
    assert "blank" not in neuron_bounds(replace(silenced, schedule=replace(blank, blank=0)), p)
