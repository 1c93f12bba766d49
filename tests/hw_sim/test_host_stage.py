"""The host stage in integers: by hand, against exact rational arithmetic, within its ranges, and through its file."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from snnas.export.compiler.ranges import neuron_bounds
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.host_stage import (
    _by_channel,
    coarse_channels,
    finer_of,
    host_currents,
    integer_stages,
    integers_of,
    pixels,
    with_integers,
)
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import HostIntegers, LinearMap, Pool
from snnas.hw_sim.simulate.simulator import simulate
from tests.c_programs import random_variant, samples


@pytest.mark.parametrize(
    ("given", "step", "zero"),
    [((0.0, 1.0), 1 / 255, 0), ((-1.0, 1.0), 2 / 255, 128), ((2.0, 4.0), 4 / 255, 0), ((0.0, 0.0), 1.0, 0)],
)
def test_zero_is_a_pixel_of_every_grid(given, step, zero) -> None:
    found = integers_of(given)
    assert found.step == pytest.approx(step)
    assert found.zero == zero


def test_pixels_are_rounded_half_to_even_and_clipped() -> None:
    program = replace(random_variant(1), host_integers=HostIntegers(step=0.5, zero=10))
    x = np.array([-99.0, -0.25, 0.0, 0.25, 0.75, 1e9])
    assert pixels(program, x).tolist() == [0, 10, 10, 10, 12, 255]


def test_a_channel_that_is_rounded_away_is_named() -> None:
    """Two units in one input: 700 and 1. A channel that has few values from the start is none of them."""
    program = replace(random_variant(1), host_integers=integers_of((-700.0, 700.0)))
    rng = np.random.default_rng(0)
    x = np.stack([rng.uniform(-700, 700, 200), rng.uniform(-1, 1, 200), rng.integers(0, 2, 200)], axis=1)[
        :, :, None, None
    ]
    assert coarse_channels(program, x) == {1: 1}
    assert coarse_channels(program, x[None].repeat(2, axis=0)) == {1: 1}, "by frames"
    assert coarse_channels(program, x[:, :1]) == {}
    ours = with_integers(replace(program, input_range=(-700.0, 700.0)), [x])
    assert coarse_channels(ours, x) == {}, "its step is its own"


def test_a_small_channel_has_a_step_of_its_own() -> None:
    """Twice what was seen fits; what lies on the other side of 0 fits as well; equal channels keep the one grid."""
    x = np.array([[700.0, 1.0, 0.0], [-3.0, 0.5, 0.0]]).reshape(2, 3, 1, 1)
    assert finer_of((-3.0, 700.0), [x]) == (0, 8, 0)  # 2 * 2^8 < 700 < 2 * 2^9; of zeros nothing is known
    assert finer_of((-3.0, 700.0), [x[None].repeat(4, axis=1)]) == (0, 8, 0), "by frames"
    assert finer_of((-3.0, 700.0), [x, 8 * x]) == (0, 5, 0), "whatever part shows it"
    assert finer_of((-3.0, 700.0), [x[:, 1:2]]) == (), "nothing lies beside it"
    assert finer_of((0.0, 0.0), [0 * x]) == ()
    assert finer_of((0.0, 1.0), [np.array([1.0, 0.6, 0.26]).reshape(1, 3, 1, 1)]) == ()
    assert finer_of((0.0, 1.0), [np.array([1.0, 0.6, 0.25]).reshape(1, 3, 1, 1)]) == (0, 0, 1)
    assert finer_of((0.0, 1.0), [np.array([1.0, 1e-30]).reshape(1, 2, 1, 1)]) == (0, 30)
    assert integers_of((-3.0, 700.0), (0, 8, 0)) == HostIntegers(step=1400 / 255, zero=128, finer=(0, 8, 0))
    assert integers_of((0.0, 700.0), (0, 8, 0)) == HostIntegers(step=700 / 255, zero=0, finer=(0, 8, 0))
    program = random_variant(1)
    given = HostIntegers(step=0.5, zero=10, finer=(0, 1, 3)[: program.input_shape[0]])
    program = replace(program, host_integers=given)
    seen = pixels(program, np.ones((2, len(given.finer), 3, 3)))
    assert [seen[0, c, 0, 0] for c in range(len(given.finer))] == [12, 14, 26][: len(given.finer)]


MAPS = {
    "conv": LinearMap(kind="conv", weight=np.arange(1, 49, dtype=np.float32).reshape(3, 4, 2, 2)),
    "groups": LinearMap(kind="conv", weight=np.arange(1, 33, dtype=np.float32).reshape(4, 2, 2, 2), groups=2),
    "dense": LinearMap(kind="dense", weight=np.arange(1, 73, dtype=np.float32).reshape(2, 36)),
    "pooled": LinearMap(
        kind="dense", weight=np.arange(1, 33, dtype=np.float32).reshape(2, 16), pre=(Pool((2, 2), (1, 1)),)
    ),
    "sparse": LinearMap(
        kind="sparse",
        weight=np.arange(1, 7, dtype=np.float32),
        indices=np.array([0, 9, 18, 35, 8, 26], np.int32),
        indptr=np.array([0, 3, 6], np.int32),
    ),
}


@pytest.mark.parametrize("kind", MAPS)
def test_weights_carry_the_step_of_the_channel_that_they_see(kind: str) -> None:
    """A map of channels in finer units is the same map of plain ones with other weights, whatever its kind."""
    linear, shape, factors = MAPS[kind], (4, 3, 3), np.array([1.0, 0.5, 0.25, 8.0])
    x = np.random.default_rng(0).integers(-9, 9, (2, *shape)).astype(np.float64)
    out = linear.out_shape(shape)
    wanted = apply(linear, x * factors[:, None, None], out)
    found = apply(replace(linear, weight=_by_channel(linear, shape, factors)), x, out)
    assert np.array_equal(found, wanted)
    assert not np.array_equal(found, apply(linear, x, out))


@pytest.mark.parametrize(("seed", "ends"), [(1, (0.0, 1.0)), (3, (-1.0, 1.0)), (9, (-0.3, 1.0))])
def test_currents_are_the_stated_sums(seed, ends) -> None:
    """One neuron at a time, in exact fractions: another arithmetic than the arrays'."""
    program = with_integers(replace(random_variant(seed), input_range=ends))
    x, given = samples(program), program.host_integers
    assert given is not None
    found, stages = host_currents(program, x), integer_stages(program)
    for name, stage in stages.items():
        p = program.population(name)
        for channel, row, column in [(0, 0, 0), (p.shape[0] - 1, p.shape[1] - 1, p.shape[2] - 1)]:
            total = Fraction(0)
            for h, linear in stage.maps:
                assert np.abs(linear.weight).max() <= 32767
                exact = [Fraction(float(w)) * Fraction(h.gain * p.scale * given.step) * 2**stage.shift
                         for w in h.map.weight[channel].ravel()]  # fmt: skip
                assert max(abs(a - int(b)) for a, b in zip(exact, linear.weight[channel].ravel(), strict=True)) <= 0.51
                q = np.pad(
                    pixels(program, x[0] if x.ndim == 4 else x[0, 0]).astype(int) - given.zero,
                    [(0, 0), *((n, n) for n in linear.pad)],
                )
                kh, kw = linear.weight.shape[2:]
                top, left = row * linear.stride[0], column * linear.stride[1]
                window = q[:, top : top + kh, left : left + kw]
                total += sum(
                    int(a) * int(b) for a, b in zip(window.ravel(), linear.weight[channel].ravel(), strict=True)
                )
            expected = (total + Fraction(2**stage.shift, 2)) // 2**stage.shift if stage.shift else total
            assert found[name][0, 0, channel, row, column] == expected


def test_it_is_near_the_floats_and_within_the_proved_range() -> None:
    floats = random_variant(3)
    program = with_integers(floats)
    x = samples(program)
    ours, theirs = host_currents(program, x), host_currents(floats, x)
    assert any((ours[name] != theirs[name]).any() for name in ours)
    for name, current in ours.items():
        assert np.abs(current - theirs[name]).max() <= 3
        p = program.population(name)
        alone = replace(program, synapses=())
        low, high = neuron_bounds(alone, p)["a"]
        extreme = host_currents(program, np.stack([np.zeros_like(x[0]), np.ones_like(x[0]), *x]))[name]
        assert (extreme >= low).all()
        assert (extreme <= high).all()


def test_its_file_says_so_and_comes_back_equal(tmp_path) -> None:
    program = with_integers(random_variant(3))
    x, integers = samples(program), program.host_integers
    assert integers is not None
    write_program(tmp_path / "p.npz", program)
    again = read_program(tmp_path / "p.npz")
    assert again.host_integers == program.host_integers
    assert run_lava.read_program(str(tmp_path / "p.npz"))[0]["format"] == "snnas.program/3"
    own = replace(program, host_integers=replace(integers, finer=(3,) * program.input_shape[0]))
    write_program(tmp_path / "own.npz", own)
    assert read_program(tmp_path / "own.npz").host_integers == own.host_integers
    assert run_lava.read_program(str(tmp_path / "own.npz"))[0]["format"] == "snnas.program/5", "older ones refuse it"
    one, two = (simulate(p, currents=host_currents(p, x)) for p in (program, again))
    assert all(np.array_equal(one.spikes[name], two.spikes[name]) for name in one.spikes)


def test_no_grid_without_a_host_stage_and_no_zero_beyond_a_byte() -> None:
    with pytest.raises(InvalidFileError, match="its host computes in integers of 1 from 0"):
        replace(random_variant(2), host_integers=HostIntegers(step=1.0, zero=0)).verify()
    with pytest.raises(InvalidFileError, match="from 256"):
        replace(random_variant(1), host_integers=HostIntegers(step=1.0, zero=256)).verify()
    for finer in ((1,) * 9, (31,) * random_variant(1).input_shape[0], (-1,) * random_variant(1).input_shape[0]):
        with pytest.raises(InvalidFileError, match=r"halved .* times; expected 0\.\.30 of each of"):
            replace(random_variant(1), host_integers=HostIntegers(step=1.0, zero=0, finer=finer)).verify()


def test_weights_beyond_16_bits_are_refused_by_name() -> None:
    program = random_variant(1)
    host = tuple(replace(h, gain=h.gain * 1e6) for h in program.host)
    with pytest.raises(UnsupportedError, match=r"population p0: its host .* integers: a weight .* beyond 32767"):
        with_integers(replace(program, host=host))
