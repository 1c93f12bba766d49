"""Frames and spikes of a signal, by value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.signals import SignalInput, encoder_comparisons, held, slices, stretched, windows


def signal(*values: float, channels: int = 1) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, -1, channels)


def test_a_timestep_per_sample() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    frames = SignalInput(window=0, length=3).apply(x)
    assert frames.shape == (2, 3, 2, 1, 1)
    assert frames[1, 2, :, 0, 0].tolist() == [10, 11]


def test_windows_overlap_and_lose_no_sample() -> None:
    frames = windows(signal(0, 1, 2, 3, 4, 5), window=3, hop=2)
    assert frames[0, :, 0, 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 5]]
    assert windows(signal(0, 1), window=3, hop=3)[0, :, 0, 0].tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(
    ("said", "steps", "stride"),
    [
        ({"window": 0, "hop": 3}, 1, 1),
        ({"window": 4}, 1, 4),
        ({"window": 4, "hop": 3}, 1, 3),
        ({"window": 4, "hop": 3, "encoding": "latency", "steps": 5}, 5, 3),
        ({"window": 4, "encoding": "level", "steps": 5}, 1, 4),
    ],
)
def test_steps_and_stride_of_a_frame(said: dict[str, Any], steps: int, stride: int) -> None:
    made = SignalInput(length=10, **said)
    assert (made.frame_steps, made.stride) == (steps, stride)
    frames = 10 if not made.window else -(-(10 - 4) // stride) + 1
    assert made.shape(1)[0] == frames * steps


def test_one_window_of_values_is_a_still_image() -> None:
    assert SignalInput(window=4, length=4).apply(signal(1, 2, 3, 4)).shape == (1, 1, 1, 4)
    assert SignalInput(window=2, length=4).apply(signal(1, 2, 3, 4)).shape == (1, 2, 1, 1, 2)


def test_held_cuts_or_repeats_the_last() -> None:
    assert held(signal(1, 2, 3), 2)[0, :, 0].tolist() == [1, 2]
    assert held(signal(1, 2), 4)[0, :, 0].tolist() == [1, 2, 2, 2]


def test_slices_are_whole_and_one_at_the_least() -> None:
    long = signal(0, 1, 2, 3, 4, 5, 6)[0]
    assert slices(long, 3)[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert slices(long, 3, 1)[..., 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert slices(long[:2], 3)[..., 0].tolist() == [[0, 1, 1]]
    made = SignalInput(window=0, length=3, sliced=True)
    assert SignalInput.of(made.to_json(), "it") == made


def test_stretched_keeps_the_ends_and_lies_on_lines() -> None:
    assert stretched(signal(0, 2, 1), 5)[0, :, 0].tolist() == [0, 1, 2, 1.5, 1]
    assert stretched(signal(0, 1, 2, 3, 4), 3)[0, :, 0].tolist() == [0, 2, 4]
    made = SignalInput(window=4, length=4, stretched=True)
    assert made.apply(signal(0, 6)).ravel().tolist() == [0, 2, 4, 6]
    assert SignalInput.of(made.to_json(), "here") == made
    assert not {"stretched", "sliced"} & set(SignalInput(window=4, length=4).to_json())  # as files of before have it


def test_delta_fires_where_the_value_leaves_its_reference() -> None:
    # Reference 0; .4 is not far enough, .5 is; then .5, which 2 is three steps above: one is taken a timestep.
    made = SignalInput(window=0, length=7, encoding="delta", thresholds=(0.5,))
    frames = made.apply(signal(0, 0.4, 0.5, 2, 2, 0.5, 0))
    assert frames.shape == (1, 7, 2, 1, 1)
    assert frames.dtype == np.uint8
    up, down = frames[0, :, :, 0, 0].T.tolist()
    assert up == [0, 0, 1, 1, 1, 0, 0]
    assert down == [0, 0, 0, 0, 0, 1, 1]


def test_delta_keeps_within_a_threshold_of_a_slow_signal() -> None:
    x = np.cumsum(np.random.default_rng(0).uniform(-0.9, 0.9, (3, 200, 2)).astype(np.float32) * 0.25, axis=1)
    spikes = SignalInput(window=0, length=200, encoding="delta", thresholds=(0.25, 0.25)).apply(x)[..., 0, 0]
    rebuilt = x[:, :1] + 0.25 * np.cumsum(spikes[..., :2].astype(float) - spikes[..., 2:], axis=1)
    assert np.abs(rebuilt - x).max() < 0.25


def test_levels_fill_from_the_lowest() -> None:
    made = SignalInput(window=0, length=3, encoding="level", levels=2, reached=((0.0, 1.0), (5.0, 6.0)))
    frames = made.apply(np.array([[[-1, 6], [0, 5], [1, 4]]], np.float32))
    # Lines: level 0 of both channels, then level 1 of both.
    assert frames[0, :, :, 0, 0].tolist() == [[0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]]


def test_the_higher_fires_the_earlier_and_each_value_once() -> None:
    made = SignalInput(window=3, length=3, encoding="latency", steps=5, ends=((0.0, 4.0),))
    frames = made.apply(signal(4, 1, -7))
    assert frames.shape == (1, 5, 1, 1, 3)
    assert frames[0, :, 0, 0].argmax(0).tolist() == [0, 3, 4]
    assert frames.sum() == 3


def test_comparisons_are_those_that_apply_makes() -> None:
    # Of 3 channels and 8 samples; frames of 4 that begin 2 apart: 3 of them.
    assert SignalInput(window=0, length=8).comparisons(3) == 0
    assert SignalInput(window=0, length=8, encoding="delta").comparisons(3) == 2 * 3 * 7
    assert SignalInput(window=4, length=8, encoding="level", levels=5).comparisons(3) == 5 * 3 * 8
    assert SignalInput(window=4, hop=2, length=8, encoding="latency", steps=6).comparisons(3) == 3 * 3 * 4 * (2 + 6)
    level = SignalInput(window=0, length=8, encoding="level", levels=5).to_json()
    assert encoder_comparisons({"signal": level}, 15) == 5 * 3 * 8
    assert encoder_comparisons({}, 15) == 0


def test_constants_come_from_the_samples() -> None:
    x = np.stack([np.arange(8), 10 * np.arange(8)], axis=1)[None].astype(np.float32)
    made = SignalInput(window=0, length=8, encoding="delta", threshold=0.5).fitted(x)
    assert made.thresholds == pytest.approx((0.5 * np.arange(8).std(), 5 * np.arange(8).std()))
    levels = SignalInput(window=0, length=8, encoding="level", levels=2).fitted(x).reached
    assert levels[0] == pytest.approx((1.75, 5.25))
    assert SignalInput(window=8, length=8, encoding="latency").fitted(x).ends == ((0, 7), (0, 70))
    constant = SignalInput(window=0, length=8, encoding="delta").fitted(np.full((1, 8, 1), 3, np.float32))
    assert not constant.apply(np.full((1, 8, 1), 3, np.float32)).any()


@given(st.sampled_from(["direct", "delta", "level", "latency"]), st.integers(1, 6), st.integers(1, 6))
def test_it_survives_json(encoding: str, window: int, hop: int) -> None:
    x = np.random.default_rng(1).normal(size=(3, 12, 2)).astype(np.float32)
    made = SignalInput(window=window, hop=hop, length=12, encoding=encoding).fitted(x)  # type: ignore[arg-type]
    again = SignalInput.of(json.loads(json.dumps(made.to_json())), "here")
    assert np.array_equal(again.apply(x), made.apply(x))


@pytest.mark.parametrize(
    "plain",
    [
        3,
        {},
        {"window": 0, "length": 4, "encoding": "rate"},
        {"window": -1, "length": 4, "encoding": "direct"},
        {"window": 0, "length": 4, "encoding": "latency"},
        {"window": 0, "length": 4, "encoding": "delta", "thresholds": ["a"]},
        {"window": 0, "length": 4, "encoding": "direct", "more": 1},
    ],
)
def test_what_is_no_signal_is_refused(plain: object) -> None:
    with pytest.raises(InvalidFileError, match=r"^here: signal"):
        SignalInput.of(plain, "here")


def test_values_out_of_range() -> None:
    with pytest.raises(UsageError, match="steps = 1"):
        SignalInput(window=4, encoding="latency", steps=1)
    with pytest.raises(UsageError, match="encoder = 'rate'"):
        SignalInput(window=4, encoding="rate")  # type: ignore[arg-type]
