"""The integer kernels against Python's own integers, with rounding and overflow written as bit masks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnas.hw_sim import kernels

TOP = 2**23
MASK = 2**24 - 1


def as_numpy(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)


def as_torch(values: list[int]) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(values, dtype=torch.int64)


both = pytest.mark.parametrize("array", [as_numpy, as_torch], ids=["numpy", "torch"])

# 24-bit states, with the ends and the neighbourhoods of 0 and of the leak's step often drawn
near = st.integers(-3, 3)
states = st.integers(-TOP + 1, TOP - 1) | st.builds(
    lambda end, n: max(-TOP + 1, min(TOP - 1, end + n)), st.sampled_from([-TOP, -4096, 0, 4096, TOP]), near
)
# in weight units; << 6 reaches beyond one turn of 24 bits and no further than two
inputs = st.integers(-(3 << 17) + 1, (3 << 17) - 1) | st.builds(
    lambda end, n: end + n, st.sampled_from([-(1 << 17), 0, 1 << 17]), near
)
biases = st.integers(-(4095 << 7), 4095 << 7)
leaks = st.sampled_from([0, 1, 700, 2048, 4095]) | st.integers(0, 4095)
thresholds = st.sampled_from([0, 1, 131071]) | st.integers(0, 131071)


def leaked(v: int, dv: int) -> int:
    """Magnitude and sign apart: what is masked away is the magnitude's."""
    product = abs(v) * (4096 - dv)
    magnitude = (product - (product & 4095)) // 4096
    return -magnitude if v < 0 else magnitude


def wrapped(u: int) -> int:
    """24 bits in two's complement; the one pattern with two readings, 2**23, is read as positive."""
    bits = u & MASK
    return bits - (MASK + 1) if bits > TOP else bits


def stepped(v: int, a: int, bias: int, dv: int, vth: int, times: int) -> tuple[int, bool]:
    for _ in range(times):
        v = leaked(v, dv)
    v = sorted((-TOP + 1, v + wrapped(a * 64) + bias, TOP - 1))[1]
    fires = v >= vth * 64 + 1
    return (0 if fires else v), fires


@both
@settings(max_examples=80)
@given(values=st.lists(states, min_size=1, max_size=20), dv=leaks)
@example(values=[-1, 1, -4095, 4095, -4096, 4096], dv=4095)
@example(values=[-1, 1, -TOP + 1, TOP - 1], dv=1)
def test_the_leak_rounds_toward_zero(array: Any, values: list[int], dv: int) -> None:
    got = kernels.decay(array(values), dv).tolist()
    assert got == [leaked(v, dv) for v in values]
    assert got == [int(Fraction(v * (4096 - dv), 4096)) for v in values]  # int() truncates
    assert got == [-n for n in kernels.decay(array([-v for v in values]), dv).tolist()]


@both
def test_the_leak_by_hand(array: Any) -> None:
    assert kernels.decay(array([-3, -1, 0, 1, 3]), 2048).tolist() == [-1, 0, 0, 0, 1]
    assert kernels.decay(array([-4097, -4096, -4095, 4095, 4096]), 4095).tolist() == [-1, -1, 0, 0, 1]
    assert kernels.decay(array([-7, 7]), 0).tolist() == [-7, 7]
    assert kernels.decay(array([-TOP, TOP]), 4096).tolist() == [0, 0]


@both
@settings(max_examples=80)
@given(values=st.lists(st.integers(-3 * TOP + 1, 3 * TOP - 1), min_size=1, max_size=20))
def test_the_current_wraps_as_24_bits(array: Any, values: list[int]) -> None:
    got = kernels.wrap_current(array(values)).tolist()
    assert got == [wrapped(u) for u in values]
    assert all(-TOP < u <= TOP for u in got)


@both
def test_the_wrap_at_its_ends_as_in_lava(array: Any) -> None:
    ends = [TOP - 1, TOP, TOP + 1, -TOP + 1, -TOP, -TOP - 1, 2 * TOP, -2 * TOP]
    assert kernels.wrap_current(array(ends)).tolist() == [TOP - 1, TOP, 1 - TOP, 1 - TOP, TOP, TOP - 1, 0, 0]


@both
@settings(max_examples=80)
@given(us=st.lists(states, min_size=1, max_size=20), a=st.integers(-32767, 32767), du=leaks)
@example(us=[-1, 1, TOP - 1], a=0, du=4095)
def test_a_current_with_memory_loses_du_and_one_more(array: Any, us: list[int], a: int, du: int) -> None:
    got = kernels.current_step(array(us), array([a] * len(us)), du).tolist()
    assert got == [wrapped(leaked(u, du + 1) + 64 * a) for u in us]
    if du == 4095:
        assert got == [wrapped(64 * a)] * len(us)


def lava_current(total: np.ndarray) -> np.ndarray:
    """The two selections of Lava's fixed-point LIF model, in its own order and type."""
    once = np.where(total > TOP, total - 2 * TOP, total)
    return np.where(once <= -TOP, total + 2 * TOP, once)


@settings(max_examples=100)
@given(values=st.lists(st.integers(-3 * TOP + 1, 3 * TOP - 1) | near.map(lambda n: TOP + n), min_size=1, max_size=20))
def test_the_wrap_is_lavas(values: list[int]) -> None:
    expected = lava_current(np.array(values, dtype=np.int32))
    assert kernels.wrap_current(as_numpy(values)).tolist() == expected.tolist()


@both
@settings(max_examples=150)
@given(
    neurons=st.lists(st.tuples(states, inputs, biases), min_size=1, max_size=20),
    dv=leaks,
    vth=thresholds,
    times=st.integers(1, 5),
)
def test_a_step_equals_the_reference(
    array: Any, neurons: list[tuple[int, int, int]], dv: int, vth: int, times: int
) -> None:
    v, a, bias = (array([n[k] for n in neurons]) for k in range(3))
    after, fires = kernels.neuron_step(v, a, bias, dv, vth, times)
    expected = [stepped(*n, dv, vth, times) for n in neurons]
    assert [(int(x), bool(y)) for x, y in zip(after, fires, strict=True)] == expected
    assert v.tolist() == [n[0] for n in neurons]  # inputs are left alone
    assert str(fires.dtype).endswith("bool")
    assert str(after.dtype).endswith("int64")


@both
@settings(max_examples=60)
@given(vth=thresholds, bias=biases, dv=leaks)
def test_a_threshold_met_exactly_does_not_fire(array: Any, vth: int, bias: int, dv: int) -> None:
    """One more than the threshold does, and leaves nothing."""
    met = vth * 64
    step = [met - bias, met - bias + 1]
    after, fires = kernels.neuron_step(array(step), array([0, 0]), array([bias, bias]), 0, vth)
    if met - bias + 1 < TOP:
        assert fires.tolist() == [False, True]
        assert after.tolist() == [met, 0]
    after, fires = kernels.neuron_step(array([0, 0]), array([0, 0]), array([met, met + 1]), dv, vth)
    assert fires.tolist() == [False, True]
    assert after.tolist() == [met, 0]


@both
def test_the_state_is_clipped_before_the_threshold(array: Any) -> None:
    full = TOP - 1
    after, fires = kernels.neuron_step(array([full, -full]), array([131071, -131071]), array([0, 0]), 0, 131071)
    assert fires.tolist() == [True, False]  # 131071 << 6 is 63 below the clip
    assert after.tolist() == [0, -full]
    after, fires = kernels.neuron_step(array([-full]), array([1 << 17]), array([0]), 0, 131071)
    assert (after.tolist(), fires.tolist()) == ([1], [False])  # u = +2**23 itself survived


@both
@settings(max_examples=60)
@given(v=states, dv=leaks, times=st.integers(1, 6), a=st.integers(-100, 100), bias=st.integers(-100, 100))
def test_input_and_bias_arrive_on_the_last_of_several_leaks(
    array: Any, v: int, dv: int, times: int, a: int, bias: int
) -> None:
    several = kernels.neuron_step(array([v]), array([a]), array([bias]), dv, 131071, times)
    state, nothing = array([v]), array([0])
    for _ in range(times - 1):
        state = kernels.decay(state, dv)
    single = kernels.neuron_step(state, array([a]), nothing + bias, dv, 131071)
    assert several[0].tolist() == single[0].tolist()
    assert several[1].tolist() == single[1].tolist()


@both
@given(mantissa=st.integers(-4095, 4095), exponent=st.integers(0, 7))
def test_the_effective_bias_is_exact(array: Any, mantissa: int, exponent: int) -> None:
    assert kernels.effective_bias(array([mantissa]), exponent).tolist() == [mantissa * 2**exponent]


@both
@settings(max_examples=80)
@given(halves=st.lists(st.integers(-2000, 2000), min_size=1, max_size=20), exponent=st.integers(0, 7))
def test_quantising_rounds_half_to_even_and_clips(array: Any, halves: list[int], exponent: int) -> None:
    scale = 2.0 ** (exponent - 1)  # so that each value is worth half a step
    values = array(halves) * 1.0
    got = kernels.quantise(values, scale, exponent, -128, 127).tolist()
    assert got == [sorted((-128, round(Fraction(n, 2)), 127))[1] for n in halves]  # round() is half to even
