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
    held = kernels.membrane(
        array([full, -full, full - 70, 70 - full]), array([64, -64, 64, -64]), array([7, -7, 7, -7]), 0
    )
    assert held.tolist() == [full, -full, full, -full]
    assert kernels.membrane(array([full - 71]), array([64]), array([7]), 0).tolist() == [full]
    assert kernels.membrane(array([full - 72]), array([64]), array([7]), 0).tolist() == [full - 1]
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
def test_unless_more_is_said_a_step_leaks_once_and_resets_to_zero(array: Any) -> None:
    v, a, u, none = array([4000, 400]), array([10, 10]), array([640, 640]), array([0, 0])
    for after, fires in (
        kernels.neuron_step(v, a, none, 2048, 20),
        kernels.membrane_step(v, u, none, 2048, 20),
        kernels.neuron_step(v, a, none, 2048, 20, leaks=1, taken=0),
    ):
        assert (after.tolist(), fires.tolist()) == ([0, 840], [True, False])
    assert kernels.membrane(v, u, none, 2048).tolist() == [2640, 840]


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


# ------------------------------------------------------------------------------------------------- in float32, by torch


@settings(max_examples=150)
@given(
    dv=st.integers(0, 4095),
    vth=st.integers(0, (1 << 17) - 1),
    bias=st.tuples(st.integers(-4095, 4095), st.integers(0, 7)),
    leaks=st.integers(1, 4),
    bits=st.integers(2, 18),
    seed=st.integers(0, 1000),
)
@example(dv=4095, vth=0, bias=(0, 0), leaks=4, bits=17, seed=0)
@example(dv=0, vth=(1 << 17) - 1, bias=(-4095, 7), leaks=1, bits=17, seed=0)
@example(dv=1, vth=(1 << 17) - 1, bias=(4095, 7), leaks=2, bits=16, seed=1)
@example(dv=0, vth=100, bias=(0, 0), leaks=1, bits=18, seed=0)  # u would wrap
def test_fused_steps_equal_neuron_step(
    dv: int, vth: int, bias: tuple[int, int], leaks: int, bits: int, seed: int
) -> None:
    """Over the whole range of every register, state included, both fused forms."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    top, steps, added = (1 << bits) - 1, 5, bias[0] << bias[1]
    a = torch.from_numpy(rng.integers(-top, top + 1, (64, steps, 1)) >> rng.integers(0, bits, (64, steps, 1)))
    f = kernels.fused(dv, vth, leaks, current=top, bias=abs(added), steps=steps)
    if f is None:
        assert (top << 6) > 1 << 23 or (top << 6) + abs(added) >= 1 << 24
        return
    u, constant = (a << 6).float(), torch.full((1, 1), float(added))
    spikes = torch.empty((64, steps, 1), dtype=torch.bool)
    v, w, reference = torch.zeros(64, 1), torch.zeros(64, 1), torch.zeros(64, 1, dtype=torch.int64)
    one = torch.empty((64, 1), dtype=torch.uint8)
    kernels.fused_steps(v, u, constant, spikes, f)
    for t in range(steps):
        reference, fires = kernels.neuron_step(reference, a[:, t], torch.tensor(added), dv, vth, leaks)
        kernels.fused_step(w, u[:, t], constant, one, torch.tensor(float(f.threshold)), f)
        assert torch.equal(spikes[:, t], fires)
        assert torch.equal(one.bool(), fires)
        assert torch.equal(w.to(torch.int64), reference)
    assert torch.equal(v.to(torch.int64), reference)


@pytest.mark.parametrize(
    ("current", "bias", "held"),
    [
        (1 << 17, 0, True),
        ((1 << 17) + 1, 0, False),
        ((1 << 17) + 64, -(1 << 12), False),
        (1 << 17, TOP - 1, True),
        (1 << 17, TOP, False),
        (0, 2 * TOP - 1, True),
        (0, 2 * TOP, False),
        (1, 2 * TOP - 65, True),
        (1, 2 * TOP - 64, False),
    ],
)
def test_what_is_pushed_fits_float32_or_is_not_fused(current: int, bias: int, held: bool) -> None:
    assert (kernels.fused(4095, 0, 1, current=current, bias=bias, steps=1) is not None) == held


@pytest.mark.parametrize(
    ("dv", "leaks", "divisor"),
    [
        *((0, 1, 1), (0, 3, 1), (2048, 1, 2), (2048, 3, 8), (3072, 1, 4), (3072, 3, 64), (4095, 1, 1 << 12)),
        *((4095, 2, 1 << 24), (4095, 3, 1 << 24), (4094, 2, 1 << 22), (1024, 1, 0), (1, 1, 0), (4093, 4, 0)),
    ],
)
def test_leaks_by_powers_of_two_are_one_division(dv: int, leaks: int, divisor: int) -> None:
    f = kernels.fused(dv, 5, leaks, current=1, bias=0, steps=1)
    assert f is not None
    assert (f.divisor, f.factor, f.leaks, f.threshold) == (divisor, 4096 - dv, leaks, 5 * 64)


@pytest.mark.parametrize(
    ("given", "whole"),
    [  # below 2^24 / 4095 = 4097 (dv 1), 2^24 / 2731 = 6143.25 (dv 1365): dv, vth, leaks, current, bias, steps
        ((1, 0, 1, 0, 1024, 4), True),  # four times 1,024
        ((1, 0, 1, 0, 1024, 5), False),
        ((1, 0, 1, 16, 0, 4), True),
        ((1, 0, 1, 16, 1, 4), False),
        ((1365, 0, 1, 0, 2046, 1000), True),  # the series 1 + 0.667 + ... = 3.0007
        ((1365, 0, 1, 0, 2048, 1000), False),
        ((1365, 0, 2, 0, 3411, 1000), True),  # 1 + 0.4446 + ... = 1.8004
        ((1365, 0, 2, 0, 3413, 1000), False),
        ((1, 63, 1, 1, 0, 1), True),  # at the threshold, and pushed once more
        ((1, 63, 1, 1, 1, 1), False),
        ((0, 131071, 1, 0, 1, 9), True),  # nothing leaks: no product
    ],
)
def test_a_leaks_product_fits_24_bits(given: tuple[int, int, int, int, int, int], whole: bool) -> None:
    dv, vth, leaks, current, bias, steps = given
    f = kernels.fused(dv, vth, leaks, current=current, bias=bias, steps=steps)
    assert f is not None
    assert f.whole == whole


@pytest.mark.parametrize(
    ("given", "clip"),
    [  # 8,387,768 times 1.0001 is just below the clip: dv, vth, bias, steps
        ((4095, 131057, 120, 1), False),
        ((4095, 131057, 121, 1), True),
        ((0, 0, 8_387_768 // 8, 8), False),
        ((0, 0, 8_387_768 // 8 + 1, 8), True),
        ((0, 0, 1, 1), False),
    ],
)
def test_what_cannot_reach_the_clip_is_not_clipped(given: tuple[int, int, int, int], clip: bool) -> None:
    dv, vth, bias, steps = given
    f = kernels.fused(dv, vth, 1, current=0, bias=bias, steps=steps)
    assert f is not None
    assert f.clip == clip


def test_fused_steps_by_hand() -> None:
    """Three neurons over three timesteps: half leaks away, input comes and a constant, 128 does not fire."""
    torch = pytest.importorskip("torch")
    f = kernels.fused(2048, 2, 1, current=4, bias=0, steps=3)
    assert f is not None
    u = torch.tensor([[[0.0, 128.0, -64.0], [64.0, 65.0, -65.0], [64.0, 0.0, 0.0]]])
    for constant, states, fires in (
        (None, [[0, 128, -64], [64, 129, -97], [96, 0, -48]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        (7, [[7, 135, -57], [74, 72, -86], [108, 43, -36]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
    ):
        added = None if constant is None else torch.full((1, 3), float(constant))
        v, w = torch.zeros(1, 3), torch.zeros(1, 3)
        spikes, before = torch.empty(1, 3, 3, dtype=torch.bool), torch.empty(1, 3, 3)
        kernels.fused_steps(v, u, added, spikes, f, before)
        assert before[0].tolist() == states
        assert spikes[0].tolist() == [[bool(n) for n in row] for row in fires]
        assert v[0].tolist() == [n * (1 - k) for n, k in zip(states[-1], fires[-1], strict=True)]
        one = torch.empty(1, 3, dtype=torch.uint8)
        for t in range(3):
            kernels.fused_step(w, u[:, t], added, one, torch.tensor(128.0), f._replace(threshold=0))
            assert one[0].tolist() == fires[t]
        assert torch.equal(v, w)
    still = torch.full((1, 3), 200.0)
    kernels.fused_steps(still, None, None, spikes[:, :1], f)
    assert still.tolist() == [[100.0] * 3]
    kernels.fused_steps(still, None, torch.full((1, 3), 79.0), spikes[:, :1], f)
    assert (still.tolist(), spikes[0, 0].tolist()) == ([[0.0] * 3], [True] * 3)


def test_a_fused_state_is_clipped_at_both_ends() -> None:
    torch = pytest.importorskip("torch")
    f = kernels.fused(0, 131071, 1, current=0, bias=8_388_000, steps=2)
    assert f is not None
    before, spikes = torch.empty(1, 2, 2), torch.empty(1, 2, 2, dtype=torch.bool)
    v = torch.zeros(1, 2)
    kernels.fused_steps(v, None, torch.tensor([[8_388_000.0, -8_388_000.0]]), spikes, f, before)
    assert before.tolist() == [[[8_388_000, -8_388_000], [TOP - 1, 1 - TOP]]]
    assert v.tolist() == [[0, 1 - TOP]]


@both
def test_what_overflows_is_told_with_its_value(array: Any) -> None:
    """16 bits of a, then 24 of u; the value that is furthest out."""
    still = array([0, 0])
    for a, found in (
        ([32767, -32767], None), ([32768, 0], ("a", 32768, 32767)), ([5, -32768], ("a", -32768, 32767)),
        ([-40000, 40000], ("a", 40000, 32767)), ([-40001, 40000], ("a", -40001, 32767)),
    ):  # fmt: skip
        assert kernels.overflow(still, array(a), 4095) == found
    assert kernels.overflow(array([]), array([]), 0) is None
    top = TOP - 1
    for u, a, du, found in (
        ([top, -top], [0, 0], -1, None),
        ([top - 64, 0], [1, 0], -1, None),
        ([top - 63, 0], [1, 0], -1, ("u", top + 1, top)),
        ([0, 63 - top], [0, -1], -1, ("u", -top - 1, top)),
        ([0, TOP // 2], [0, 32767], 2047, None),  # half of the half is left
        ([0, TOP - 4096], [0, 32767], 0, ("u", (TOP - 4096) // 4096 * 4095 + 32767 * 64, top)),
        ([0, TOP - 4096], [0, 32767], 1, ("u", (TOP - 4096) // 4096 * 4094 + 32767 * 64, top)),
        ([0, TOP - 4096], [0, 32767], 2, ("u", (TOP - 4096) // 4096 * 4093 + 32767 * 64, top)),
    ):  # fmt: skip
        assert kernels.overflow(array(u), array(a), du) == found, (u, a, du)
