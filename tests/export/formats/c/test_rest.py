"""Populations at rest: what is proved of them against the kernels, and the C that leaves their updates out."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.export.formats.c import compare, plan, work
from snnas.export.formats.c.plan import words
from snnas.export.formats.c.rest import RESTS, Rest, left_out, measured, rest
from snnas.hw_sim.c import compilers, native
from snnas.hw_sim.kernels import STATE_SHIFT, current_step, membrane_step
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.program import CLOCK, INPUT
from snnas.toolchain.exporting.on_target import run_program
from snnas.toolchain.models.in_c import estimated_of, prepare
from tests.c_programs import of_neurons, random_variant
from tests.programs import random_program

BACK = ((3, 1),)
LONG = 40
UNIT = next(u for u in plan(random_program(2, kind="spikes")).units if not u.forgets and u.lanes == 2)


@st.composite
def units(draw):
    """A neuron of any numbers: leaks, threshold, biases, soft reset, a current with memory."""
    bias = draw(st.lists(st.integers(-3000, 3000) | st.integers(-9, 9), min_size=1, max_size=3))
    vth = draw(st.integers(0, 2000))
    taken = draw(st.sampled_from([0, 0, vth << STATE_SHIFT, 77]))
    p = replace(
        UNIT.population,
        shape=(len(bias), 1, 1),
        dv=draw(st.sampled_from([0, 1, 700, 2048, 3000, 4095])),
        du=draw(st.sampled_from([4095, 4095, 0, 2000])),
        vth=vth,
        bias=np.array(bias, np.int16).reshape(-1, 1, 1),
        bias_exponent=0,
        taken=taken,
    )
    reach = draw(st.sampled_from([vth << STATE_SHIFT, 300_000, (1 << 23) - 1]))
    return replace(UNIT, population=p, reach=max(reach, vth << STATE_SHIFT, 3000), leaks=draw(st.integers(1, 3)))


@given(u=units(), seed=st.integers(0, 99), steps=st.integers(1, LONG))
def test_what_rests_neither_moves_nor_fires(u, seed, steps) -> None:
    """From any state that an update can leave, and from that of a new instance."""
    p, found = u.population, rest(u, steps)
    if found is None:
        return
    rng = np.random.default_rng(seed)
    bias = p.bias.astype(np.int64).ravel()
    high = u.reach if p.taken else p.vth << STATE_SHIFT
    v = np.concatenate([rng.integers(-u.reach, high + 1, (200, p.size)), [[high] * p.size, [-u.reach] * p.size]])
    current = rng.integers(-(1 << 23) + 1, 1 << 23, v.shape) * p.current_decays
    zero = np.zeros((1, p.size), np.int64)
    for first, at, updates in ((v, current, found.after), (zero, zero, found.begin)):
        for t in range(steps):
            at = current_step(at, np.zeros_like(at), p.du)
            after, fired = membrane_step(first, at, bias, p.dv, p.vth, u.leaks, p.taken)
            if t >= updates:
                assert not fired.any()
                assert (after == first).all()
            first = after


def test_a_neuron_that_fires_by_its_bias_never_rests_and_one_without_leak_does_at_once() -> None:
    p = replace(UNIT.population, shape=(2, 1, 1), dv=2048, vth=10, bias_exponent=0, taken=0)

    def of(*bias: int, **changed):
        held = np.array(bias, np.int16).reshape(-1, 1, 1)
        return rest(replace(UNIT, population=replace(p, bias=held, **changed), reach=5000), 30)

    assert of(0, 320) is not None  # comes to 639 of 640
    assert of(0, 321) is None
    assert of(0, 0) == Rest(begin=0, after=13)  # 5000 halved twelve times is 1, then 0
    assert of(0, 0, dv=0) == Rest(begin=0, after=0)
    assert of(0, -1, dv=0) is None  # sinks for ever
    assert of(0, 5).begin == 4  # 5, 7, 8, 9
    assert rest(replace(UNIT, hosted=True), 30) is None


def test_what_is_left_out_is_counted_step_by_step() -> None:
    silent = np.array([[1, 1, 1, 0, 1, 1, 1, 1, 0, 1], [1] * 10], bool)
    out = left_out(Rest(begin=1, after=2), silent)
    assert out.astype(int).tolist() == [[0, 1, 1, 0, 0, 0, 1, 1, 0, 0], [0] + [1] * 9]


def quiet(seed, du=0, exponent=0, taken=0):
    """A program that seldom hears anything, on 24 timesteps; its small biases hold no neuron above the threshold."""
    p = random_program(seed, back=BACK if seed % 2 else (), kind="spikes")
    rng = np.random.default_rng(seed)
    p = of_neurons(p, lambda q: replace(q, bias=rng.integers(-20, 20, q.bias.shape).astype(np.int16),
                   dv=int(rng.choice([0, 2048, 3072])) if seed % 3 else 3072, du=q.du if p.recurrent or not du else du,
                   taken=taken, bias_exponent=0))  # fmt: skip
    p = replace(p, synapses=tuple(replace(s, exponent=exponent) if s.src == INPUT else s for s in p.synapses))
    if seed % 4 == 1:  # biases by the clock hold it off
        p = replace(p, synapses=tuple(s for s in p.synapses if s.src != CLOCK))
    x = (rng.random((3, 24, *p.input_shape)) < 0.4).astype(np.float32)
    x[:, :2] = x[:, 3:14] = x[:, 15:] = 0
    x[0] = 0
    shares = {q.id: 1.0 for q in p.populations}
    return replace(p, timesteps=24, meta={**p.meta, RESTS: shares}), x


def leaning(seed):
    """``quiet``, its first spikes late; the biases bring each membrane to just below its threshold before them."""
    p, x = quiet(seed)
    p = of_neurons(p, lambda q: replace(q, dv=2048, bias=np.full_like(q.bias, (q.vth << STATE_SHIFT) // 2 - 9)))
    x[:, :14] = 0
    return p, x


CASES = [(1, {}), (4, {}), (5, {"exponent": 3}), (2, {"du": 2000}), (6, {"taken": 2000}), (8, {"exponent": 7})]


def differing(seed, changed, drawn=quiet):
    compiler, why = compilers.native()
    if compiler is None:
        pytest.skip(why)
    program, x = drawn(seed, **changed)
    c = prepare(program, x)
    assert "snnas_some(" in c.model.source
    assert any(spikes.any() for spikes in c.trace.spikes.values())
    shares = measured(c.plan, {**c.trace.spikes, INPUT: x > 0})
    return compare(c.plan, c.trace, native.run(c.model, c.given, compiler, sanitize=True)), shares


@pytest.mark.parametrize(("seed", "changed"), CASES)
def test_spikes_are_the_same_where_updates_are_left_out(seed, changed) -> None:
    found, shares = differing(seed, changed)
    assert found.equal, found.first
    assert max(shares.values()) > 0.3


MAIN = """
#include <stdio.h>

int main(void)
{
    static snnas_value frame[SNNAS_FRAME];
    static snnas_state state;
    snnas_init(&state);
    for (uint32_t t = 0; fread(frame, sizeof frame, 1, stdin) == 1; t++) {
        if (t != 0 && t % SNNAS_TIMESTEPS == 0) snnas_init(&state);
        snnas_step(&state, frame);
    }
    for (uint32_t k = 0; k < SNNAS_POPULATIONS; k++) printf("%lu ", updates[k]);
    return 0;
}
"""


def updates(c, tmp_path):
    """How often the C calls each population's update on all that it is given, by unit."""
    compiler, why = compilers.native()
    if compiler is None:
        pytest.skip(why)
    called = re.sub(r"^( +)neurons_(\d+)\(", r"\1updates[\2]++; neurons_\2(", c.model.source, flags=re.MULTILINE)
    assert called.count("updates[") == len(c.plan.units)
    (tmp_path / "model.h").write_text(c.model.header)
    begins = '#include "model.h"\nstatic unsigned long updates[SNNAS_POPULATIONS];\n'
    (tmp_path / "main.c").write_text(begins + called + MAIN)
    built = [*compiler.command, "-std=c99", "-I", str(tmp_path), str(tmp_path / "main.c"), "-o", str(tmp_path / "run")]
    subprocess.run(built, check=True)
    given = np.ascontiguousarray(c.given, c.model.value).tobytes()
    said = subprocess.run([tmp_path / "run"], input=given, capture_output=True, check=True).stdout
    return [int(count) for count in said.split()]


@pytest.mark.parametrize(("seed", "changed"), CASES[:3])
def test_as_many_updates_are_made_as_are_measured_and_priced(seed, changed, tmp_path) -> None:
    program, x = quiet(seed, **changed)
    c = prepare(program, x)
    shares = measured(c.plan, {**c.trace.spikes, INPUT: x > 0})
    made = prepare(replace(program, meta={**program.meta, RESTS: shares}), x)
    resting = work.resting_units(made.plan)
    assert resting
    every = len(x) * program.timesteps
    left = {made.plan.units[index].population.id: share for index, (_, share) in resting.items()}
    expected = [round(every * (1 - left.get(u.population.id, 0.0))) for u in made.plan.units]
    assert updates(made, tmp_path) == expected
    times = {name: once for name, once, _ in work.parts(made.plan, {}) if name.startswith("neurons_")}
    assert [round(times[f"neurons_{u.index}"] * len(x)) for u in made.plan.units] == expected


def test_what_looking_for_rest_costs_and_spares() -> None:
    """The loops of a population that rests in three timesteps of four, beside those of one that never does."""
    program, _ = quiet(4)
    u = next(u for u in plan(program).units if u.index in work.resting_units(plan(program)))
    (c, *_), name = u.connections, u.population.id
    rates = {INPUT: 0.05, **{p.id: 0.05 for p in program.populations}}

    def of(share: float) -> dict[str, list[tuple[float, dict[str, float]]]]:
        made = plan(replace(program, meta={**program.meta, RESTS: {name: share}}))
        found: dict[str, list[tuple[float, dict[str, float]]]] = {}
        for function, times, once in work.parts(made, rates):
            found.setdefault(function, []).append((times, dict(once)))
        return found

    rests, never = of(0.75), of(0.0)
    steps, source = program.timesteps, int(np.prod(plan(program).source(c.src)))
    (updated,), (always,) = rests[f"neurons_{u.index}"], never[f"neurons_{u.index}"]
    assert updated == (steps / 4, always[1])
    assert always[0] == steps
    ((times, heard),), ((whole, spread),) = rests[f"synapse_{c.index}"], never[f"synapse_{c.index}"]
    assert (times, whole) == (steps / 4, steps - c.distance)
    spikes = source * 0.05 * (steps - c.distance)  # none is lost: they arrive in a fourth of the timesteps
    assert times * heard["event"] == pytest.approx(whole * spread["event"]) == pytest.approx(spikes)
    looks = 0.75 * (
        sum(words(int(np.prod(plan(program).source(k.src)))) for k in u.connections) + words(u.population.size)
    )
    assert (steps, {"resting": 1.0, "heard": looks + 0.25 * len(u.connections)}) in rests["snnas_step"]
    assert not [once for _, once in never["snnas_step"] if "resting" in once]


def test_a_new_instance_is_updated_until_it_rests() -> None:
    """Left out from the first timestep on, its membranes would begin at 0 when the first spike comes."""
    found, shares = differing(4, {}, leaning)
    assert found.equal, found.first
    assert shares


def test_an_update_that_is_left_out_too_early_is_seen(monkeypatch) -> None:
    monkeypatch.setattr(work, "rests", lambda plan, u: (Rest(0, 0), 1.0) if rest(u, 24) else None)
    assert sum(not differing(seed, changed)[0].equal for seed, changed in CASES) >= 3


def test_only_a_measured_share_that_pays_changes_the_c() -> None:
    program, x = quiet(4)
    fired = prepare(program, x)
    shares = measured(fired.plan, {**fired.trace.spikes, INPUT: x > 0})
    assert shares
    few = dict.fromkeys(shares, 0.001)
    for said, expected in ((shares, True), (few, False), ({}, False), (None, False), ({"p0": "much"}, False)):
        made = plan(replace(program, meta={**program.meta, RESTS: said}))
        assert any(work.rests(made, u) for u in made.units) is expected
    taken = [sum(work.work(plan(replace(program, meta={RESTS: said})), {}).values()) for said in (shares, {})]
    assert taken[0] < taken[1]


def test_what_is_priced_is_the_rest_that_is_measured() -> None:
    """Whatever a program says of itself, but for how its C is written."""
    program, x = quiet(4)
    fired = prepare(program, x)
    shares = measured(fired.plan, {**fired.trace.spikes, INPUT: x > 0})

    def taken(said: dict[str, float]) -> list[float]:
        made = replace(program, meta={**program.meta, RESTS: said})
        run = run_program(made, x, np.zeros(len(x)), None, load_system("cortex-m4"), torch=False)
        assert run.device is not None
        assert run.device.instructions is not None
        return [run.device.instructions.nominal, estimated_of(prepare(made, x), "cortex-m4")["instructions"]["nominal"]]

    assert min(shares.values()) < 0.9
    assert taken(dict.fromkeys(shares, 1.0)) == taken(shares) == pytest.approx([taken(shares)[0]] * 2, rel=1e-3)


def test_a_source_that_nobody_watched_is_never_silent() -> None:
    program, _ = quiet(4)
    silence = {p.id: np.zeros((1, 24, *p.shape), bool) for p in program.populations}
    assert measured(plan(program), {**silence, INPUT: np.zeros((1, 24, 1), bool)})
    first = next(s.dst for s in program.synapses if s.src == INPUT)
    assert first not in measured(plan(program), silence)


def test_a_late_synapse_waits_for_its_first_spikes() -> None:
    late = random_variant(3)
    source = prepare(late, np.zeros((1, late.timesteps, *late.input_shape), np.float32)).model.source
    assert "if (t->step >= 1u) synapse_" in source
