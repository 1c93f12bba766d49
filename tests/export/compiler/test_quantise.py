"""The one lossy step: what it must keep exactly, and how far off the rest may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler import quantise as quantising
from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.export.compiler.grids import exact_scale
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.ranges import input_bounds
from snnas.export.compiler.readout import RealReading, RealReadout
from snnas.export.compiler.scales import Setting
from snnas.export.compiler.schedule import schedule
from snnas.export.dialects.conventions import deployed_threshold
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Program
from snnas.hw_sim.simulate.simulator import simulate


def dense(
    weights: np.ndarray, *, threshold: float = 1.0, bias: np.ndarray | None = None, kind: str = "spikes"
) -> Circuit:
    """One population behind the input, read out as it is."""
    out, inputs = weights.shape
    link = Link(id="w", src=INPUT, dst="p", map=LinearMap(kind="dense", weight=weights))
    shape = (out, 1, 1)
    return Circuit(
        groups=(
            Group(
                id="p",
                shape=shape,
                alpha=0.75,
                threshold=threshold / 0.75,
                bias=(np.zeros(out) if bias is None else bias).reshape(shape),
            ),
        ),
        links=(link,) if kind == "spikes" else (),
        host=(link,) if kind == "analogue" else (),
        input_shape=(inputs, 1, 1),
        input_kind=kind,  # type: ignore[arg-type]
        readout=RealReadout(
            readings=(RealReading(src="p", weight=np.eye(out)),), constant=np.zeros(out), membrane=None, read="sum"
        ),
        node_of={"p": "p"},
    )


def program_of(circuit: Circuit) -> Program:
    return quantise(schedule(circuit), timesteps=4)


weights = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n), min_size=1, max_size=5)
)


@settings(max_examples=150, derandomize=True)
@given(weights, st.integers(0, 1000))
def test_weights_are_within_half_a_step_and_no_register_overflows(rows: list[list[float]], seed: int) -> None:
    real = np.array(rows)
    program = program_of(dense(real))
    p, (s,) = program.populations[0], program.synapses
    step = (1 << s.exponent) / p.scale
    assert np.abs(s.map.weight * step - real).max() <= step / 2 + 1e-9
    if exact_scale([real], 1 / 0.75, 0.75, p.scale * (1 + 1e-9)) != (p.scale, p.vth):
        assert (p.vth << 6) + 33 == pytest.approx(64 * p.scale / 0.75, rel=1e-12)  # met exactly, not rounded
    else:
        assert s.map.weight * step == pytest.approx(real, rel=1e-5)
        assert abs(p.vth - p.scale / 0.75) <= 1
    low, high = input_bounds(p, [(s, program.input_shape)], [], program.input_shape, (0.0, 1.0))
    assert max(high.max(), -low.min()) <= limits.CURRENT_MAX
    spikes = np.random.default_rng(seed).random((3, 4, *program.input_shape)) < 0.5
    simulate(program, spikes_in=spikes)


def test_a_current_that_meets_the_threshold_exactly_fires() -> None:
    # v = .75 * x >= 1 for x = 4/3: one spike of weight 4/3 is enough, one of weight 1.3 is not.
    program = program_of(dense(np.array([[4 / 3], [1.3]]), threshold=float(deployed_threshold(1.0))))
    trace = simulate(program, spikes_in=np.ones((1, 4, 1, 1, 1), dtype=bool))
    assert trace.spikes["p"][0, 0, 0, 0, 0]
    assert not trace.spikes["p"][0, 0, 1, 0, 0]


def test_a_current_that_meets_a_strict_threshold_does_not_fire_where_no_weight_is_rounded() -> None:
    program = program_of(dense(np.array([[4 / 3], [1.375], [0.125]]) * 0.75, threshold=0.75))
    trace = simulate(program, spikes_in=np.ones((1, 4, 1, 1, 1), dtype=bool))
    assert trace.spikes["p"][0, 0].ravel().tolist() == [False, True, False]


def test_scales_use_the_registers_well() -> None:
    program = program_of(dense(np.random.default_rng(0).normal(size=(20, 40)) * 0.2))
    p, (s,) = program.populations[0], program.synapses
    assert np.abs(s.map.weight).max() >= 64  # seven bits of the largest weight, at least
    low, high = input_bounds(p, [(s, program.input_shape)], [], program.input_shape, (0.0, 1.0))
    assert max(high.max(), -low.min()) > limits.CURRENT_MAX / 3


def test_a_bias_out_of_reach_shrinks_the_scale_and_fits() -> None:
    program = program_of(dense(np.array([[0.5]]), bias=np.array([200.0])))
    p = program.populations[0]
    assert int(p.bias[0, 0, 0]) << p.bias_exponent == pytest.approx(200 * 64 * p.scale, rel=1e-3)


def test_currents_that_no_scale_can_hold_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="population p: its currents are too large"):
        program_of(dense(np.full((1, 1), 1e6)))


def test_an_analogue_input_is_bounded_by_its_range() -> None:
    circuit = dense(np.full((1, 1), 8.0), kind="analogue")
    narrow = quantise(schedule(circuit), timesteps=4, input_range=(0.0, 1.0))
    wide = quantise(schedule(circuit), timesteps=4, input_range=(-255.0, 255.0))
    assert wide.populations[0].scale < narrow.populations[0].scale / 100


# ------------------------------------------------------------------------------------------------------- part by part


@pytest.mark.parametrize(
    ("bias", "mantissas", "exponent"),
    [  # real biases at a scale of 1, in 64ths
        ([4095.0 / 64], [4095], 0),
        ([4095.5 / 64], [4095], 0),  # which is as far as clipping rounds
        ([4096.0 / 64], [2048], 1),
        ([-4096.0 / 64, 3 / 64], [-2048, 2], 1),
        ([8191.5 / 64], [2048], 2),
        ([2.5 / 64, -3.5 / 64, 0.0], [2, -4, 0], 0),
    ],
)
def test_a_bias_has_the_smallest_exponent_that_holds_it(bias: list[float], mantissas: list[int], exponent: int) -> None:
    found, e = quantising._bias(np.array(bias).reshape(-1, 1, 1), 1.0)
    assert (found.ravel().tolist(), e, found.dtype) == (mantissas, exponent, np.int16)
    assert quantising._bias(np.array(bias).reshape(-1, 1, 1) / 8, 8.0)[0].ravel().tolist() == mantissas


def test_a_bias_is_kept_once_per_channel_where_it_is_equal() -> None:
    equal = np.ones((2, 3, 4)) * np.array([1.0, 2.0])[:, None, None]
    assert quantising._bias(equal, 1.0)[0].tolist() == [[[64]], [[128]]]
    for place in ((0, 1, 0), (1, 0, 1)):
        other = equal.copy()
        other[place] += 1
        assert np.array_equal(quantising._bias(other, 1.0)[0], np.rint(other * 64))


def of_one(**change: Any) -> Group:
    return replace(Group(id="p", shape=(1, 1, 1), alpha=0.75, threshold=1.0, bias=np.zeros((1, 1, 1))), **change)


@pytest.mark.parametrize(
    ("units", "coarse", "fine"),
    [
        (31, 0, 31),
        (32, 1, -32),
        (64, 1, 0),
        (70, 1, 6),
        (-32, 0, -32),
        (-33, -1, 31),
        (8159, 127, 31),
        (-8160, -127, -32),
    ],
)
def test_a_clock_brings_a_bias_in_two_parts(units: int, coarse: int, fine: int) -> None:
    for distance, late in ((0, ""), (1, "late_")):
        made = quantising._clock_bias(of_one(), np.full((1, 1, 1), units / 4), 4.0, distance=distance)  # type: ignore[arg-type]
        found = {s.id: (s.map.weight.tolist(), s.exponent, s.distance, s.src, s.dst) for s in made}
        parts = {"coarse": (coarse, 6), "fine": (fine, 0)}
        assert found == {
            f"clock__p__{late}{name}": ([[n]], exponent, distance, "clock", "p")
            for name, (n, exponent) in parts.items() if n
        }  # fmt: skip


def test_a_bias_beyond_the_clock_is_refused_with_its_size() -> None:
    for units in (8160, -8161):
        with pytest.raises(UnsupportedError, match=rf"population p: bias {abs(units)} weight units; .* 8128 at most"):
            quantising._clock_bias(of_one(), np.full((1, 1, 1), float(units)), 1.0)


def setting_of(group: Group, weight: float, **change: Any) -> Setting:
    link = Link(id="w", src=INPUT, dst="p", map=LinearMap(kind="dense", weight=np.array([[weight]])))
    circuit = replace(dense(np.array([[weight]])), groups=(group,), links=(link,))
    given = {"period": 1, "timesteps": 4, "input_range": (0.0, 1.0), "rates": {}, "spikes": {}, "bits": 8, "host": ()}
    return Setting(circuit=circuit, **given | change)


@pytest.mark.parametrize(
    ("group", "period", "dv", "du"),
    [
        (of_one(alpha=0.75), 1, 3072, 4095),
        (of_one(alpha=0.75), 2, 2048, 4095),  # .5 twice
        (of_one(alpha=1.0), 1, 4095, 4095),
        (of_one(alpha=0.0), 3, 0, 4095),
        (of_one(alpha=0.75, decay=0.5), 1, 3072, 2047),
        (of_one(alpha=0.75, decay=0.0), 1, 3072, 0),
        (of_one(alpha=0.3 / 4096), 1, 0, 4095),
    ],
)
def test_leaks_are_rounded_to_4096ths(group: Group, period: int, dv: int, du: int) -> None:
    p, _ = quantising._at_most(setting_of(group, 0.3, period=period), group, 200.0)
    assert (p.dv, p.du) == (dv, du)
    assert (p.id, p.shape, p.role, p.taken) == ("p", (1, 1, 1), "neuron", 0)


def test_what_a_spike_takes_is_in_64ths_and_never_nothing() -> None:
    for taken, steps in ((2.0, None), (1e-9, 1)):
        group = of_one(taken=taken)
        p, _ = quantising._at_most(setting_of(group, 0.3), group, 200.0)
        assert p.taken == (round(taken * p.scale * 64) if steps is None else steps)


def test_a_bias_comes_by_the_clock_where_a_timestep_has_several_steps() -> None:
    group = of_one(bias=np.full((1, 1, 1), 0.25))
    p, made = quantising._at_most(setting_of(group, 0.3), group, 200.0)
    assert [s.src for s in made] == [INPUT]
    assert p.bias.item() * 2**p.bias_exponent == round(0.25 * p.scale * 64)
    p, made = quantising._at_most(setting_of(group, 0.3, period=2), group, 200.0)
    assert (p.bias.shape, p.bias.item(), p.bias_exponent, p.bias.dtype) == ((1, 1, 1), 0, 0, np.int16)
    brought = [int(s.map.weight.item()) << s.exponent for s in made if s.src == CLOCK]
    assert sum(brought) == round(0.25 * p.scale)


@pytest.mark.parametrize("late", [False, True])
def test_a_drive_comes_by_the_clock_through_the_current(late: bool) -> None:
    group = of_one(decay=0.5, drive=np.full((1, 1, 1), 0.25), late=late)
    p, made = quantising._at_most(setting_of(group, 0.3), group, 200.0)
    clocks = [s for s in made if s.src == CLOCK]
    assert sum(int(s.map.weight.item()) << s.exponent for s in clocks) == round(0.25 * p.scale)
    assert {s.distance for s in clocks} == {int(late)}


def test_a_gate_is_exact_and_forgets() -> None:
    group = replace(of_one(), id="p", shape=(3, 1, 1), bias=np.zeros((3, 1, 1)), role="or")
    link = Link(id="w", src=INPUT, dst="p", map=LinearMap(kind="dense", weight=np.ones((3, 2))), distance=1)
    circuit = replace(dense(np.ones((3, 2))), groups=(group,), links=(link,))
    p, (s,) = quantising._gate(replace(setting_of(of_one(), 1.0), circuit=circuit), group)
    assert (p.dv, p.vth, p.scale, p.role, p.du, p.bias.shape) == (4095, 1, 2.0, "or", 4095, (3, 1, 1))
    assert not p.bias.any()
    assert (s.map.weight.tolist(), s.exponent, s.distance, s.id) == ([[2, 2]] * 3, 0, 1, "w")
    assert s.map.weight.dtype == np.int8


def test_a_decaying_current_in_a_loop_is_refused_and_alone_is_not() -> None:
    group = of_one(decay=0.5)
    with pytest.raises(UnsupportedError, match=r"population p: its current decays by itself .* take 2 hardware steps"):
        quantising._neuron(setting_of(group, 0.3, period=2), group)
    assert quantising._neuron(setting_of(group, 0.3), group)[2] is False
    assert quantising._neuron(setting_of(of_one(), 0.3, period=2), of_one())[2] is False


def test_a_program_says_what_it_was_quantised_with() -> None:
    circuit = dense(np.array([[0.5, -0.25]]))
    program = quantise(schedule(circuit), timesteps=7, bits=6, meta={"mine": 1, "bits": 3}, input_range=(-1.0, 2.0))
    assert (program.timesteps, program.input_range, program.meta) == (7, (-1.0, 2.0), {"mine": 1, "bits": 6})
    assert (program.input_shape, program.input_kind) == ((2, 1, 1), "spikes")
    with pytest.raises(UsageError, match="--bits 7: expected one of 8, 6, 4"):
        quantise(schedule(circuit), timesteps=7, bits=7)
    for spikes in (None, {}):
        with pytest.raises(UsageError, match="--ranges observed: there are no calibration samples; give some"):
            quantise(schedule(circuit), timesteps=7, ranges="observed", spikes=spikes)


def test_given_rates_go_before_those_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a relay has its source's."""
    seen: list[Setting] = []
    neuron = quantising._neuron
    monkeypatch.setattr(quantising, "_neuron", lambda setting, group: seen.append(setting) or neuron(setting, group))
    ones = LinearMap(kind="dense", weight=np.ones((1, 1)))
    groups = tuple(of_one(id=name) for name in "abc")
    links = [("input", "a"), ("a", "b"), ("b", "c"), ("a", "c")]
    circuit = replace(
        dense(np.ones((1, 1))),
        groups=groups,
        links=tuple(Link(id=f"{s}{d}", src=s, dst=d, map=ones) for s, d in links),
        readout=RealReadout(
            readings=(RealReading(src="c", weight=np.eye(1)),), constant=np.zeros(1), membrane=None, read="sum"
        ),
        node_of={name: name for name in "abc"},
    )
    spikes = {name: np.arange(8).reshape(2, 4, 1, 1, 1) % k == 0 for name, k in (("a", 2), ("b", 4), (INPUT, 8))}
    program = quantise(schedule(circuit), timesteps=4, spikes=spikes, rates={"b": 0.75})
    assert {p.id for p in program.populations} == {"a", "b", "c", "a_relay1"}
    assert seen[0].rates == {"a": 0.5, "b": 0.75, INPUT: 0.125, "a_relay1": 0.5}
    assert np.array_equal(seen[0].spikes["a_relay1"], spikes["a"])
    assert (seen[0].timesteps, seen[0].period, seen[0].bits, seen[0].ranges) == (4, 1, 8, "auto")
    rated = quantise(schedule(circuit), timesteps=4, rates={"a": 0.25})
    assert rated.populations[0].id == "a"
    assert seen[-1].rates == {"a": 0.25, "a_relay1": 0.25}


@pytest.mark.parametrize(("reach", "observed"), [(32767, False), (32768, True)])
def test_a_register_that_is_just_full_is_proved(reach: int, observed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the scale is chosen; before, nothing reaches so far."""
    answers = iter([0, reach])
    monkeypatch.setattr(Setting, "reach", lambda *given: next(answers))
    assert quantising._neuron(setting_of(of_one(), 0.3, ranges="proved"), of_one())[2] is observed


def test_what_was_observed_may_raise_a_scale_and_never_lowers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    setting, largest = setting_of(of_one(), 0.3, ranges="observed"), 100.0
    asked: list[float] = []
    at_most = quantising._at_most
    monkeypatch.setattr(quantising, "largest_scale", lambda *given: largest)
    monkeypatch.setattr(quantising, "_at_most", lambda *given: asked.append(given[-1]) or at_most(*given))
    for wider, scales in ((None, [largest]), (50.0, [largest]), (largest, [largest]), (150.0, [largest, 150.0])):
        monkeypatch.setattr(quantising, "observed_scale", lambda *given, wider=wider: wider)
        quantising._neuron(setting, of_one())
        assert asked == scales
        asked.clear()
    for ranges, short, scales in (
        ("proved", True, [largest]),
        ("auto", False, [largest]),
        ("auto", True, [largest, 150.0]),
    ):
        monkeypatch.setattr(quantising, "_short", lambda *given, short=short: short)
        quantising._neuron(replace(setting, ranges=ranges), of_one())  # type: ignore[arg-type]
        assert asked == scales
        asked.clear()


def test_a_scale_shrinks_until_rounding_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    at_most = quantising._at_most
    answers = iter([32768, 40_000, 32767, 32767])
    monkeypatch.setattr(Setting, "reach", lambda *given: next(answers))
    monkeypatch.setattr(quantising, "largest_scale", lambda *given: 100.0)
    monkeypatch.setattr(quantising, "_at_most", lambda *given: asked.append(given[-1]) or at_most(*given))
    quantising._neuron(setting_of(of_one(), 0.3, ranges="proved"), of_one())
    assert asked == pytest.approx([100.0, 97.0, 94.09])


@pytest.mark.parametrize(("reach", "observed"), [(250, False), (251, True)])
def test_a_current_that_is_kept_leaves_less_room(reach: int, observed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A register that holds a current of 1,000 weight units, four times over."""
    answers = iter([0, reach])
    monkeypatch.setattr(Setting, "reach", lambda *given: next(answers))
    monkeypatch.setattr(quantising, "largest_current", lambda *given: 64_000)
    monkeypatch.setattr(quantising, "kept_current", lambda *given: 4.0)
    assert quantising._neuron(setting_of(of_one(), 0.3, ranges="proved"), of_one())[2] is observed


def test_what_is_proved_takes_no_samples() -> None:
    for ranges in ("proved", "auto"):
        program = quantise(schedule(dense(np.array([[0.5, -0.25]]))), timesteps=3, ranges=ranges)  # type: ignore[arg-type]
        assert "observed" not in program.meta
