"""The host stage in integers: by hand, against exact rational arithmetic, within its ranges, and through its file."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from snnas.export.compiler.ranges import neuron_bounds
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.host_stage import coarse_channels, host_currents, integer_stages, integers_of, pixels, with_integers
from snnas.hw_sim.program import HostIntegers
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
    x = samples(program)
    write_program(tmp_path / "p.npz", program)
    again = read_program(tmp_path / "p.npz")
    assert again.host_integers == program.host_integers
    one, two = (simulate(p, currents=host_currents(p, x)) for p in (program, again))
    assert all(np.array_equal(one.spikes[name], two.spikes[name]) for name in one.spikes)


def test_no_grid_without_a_host_stage_and_no_zero_beyond_a_byte() -> None:
    with pytest.raises(InvalidFileError, match="its host computes in integers of 1 from 0"):
        replace(random_variant(2), host_integers=HostIntegers(step=1.0, zero=0)).verify()
    with pytest.raises(InvalidFileError, match="from 256"):
        replace(random_variant(1), host_integers=HostIntegers(step=1.0, zero=256)).verify()


def test_weights_beyond_16_bits_are_refused_by_name() -> None:
    program = random_variant(1)
    host = tuple(replace(h, gain=h.gain * 1e6) for h in program.host)
    with pytest.raises(UnsupportedError, match=r"population p0: its host .* integers: a weight .* beyond 32767"):
        with_integers(replace(program, host=host))
