"""Frames of a fixed duration, of one polarity, without hot pixels: by value, and against tonic."""

from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions, left_out, to_frames

SENSOR = (2, 6, 8)


def made(count: int = 400, last: int = 1000) -> Events:
    rng = np.random.default_rng(0)
    x, y, p = (rng.integers(0, high, count) for high in (8, 6, 2))
    t = np.sort(rng.integers(0, last, count))
    t[0], t[-1] = 0, last - 1
    return Events(x, y, p, t + 5000)


def test_frames_of_a_duration_by_value() -> None:
    events = Events(*(np.zeros(5, np.int64) for _ in range(3)), np.array([7, 11, 12, 16, 30]))
    how = FrameOptions(frames=3, split_by="duration", duration=5, overlap=2, counts=True)
    # Since the first event: 0, 4, 5, 9, 23; frames of 0 .. 4, 3 .. 7, 6 .. 10.
    assert to_frames(events, (2, 1, 1), how)[:, 0, 0, 0].tolist() == [2, 2, 1]
    assert left_out(events, how) == 1
    assert left_out(events, FrameOptions(frames=3)) == 0


@pytest.mark.parametrize("overlap", [0, 30, 70])
def test_frames_of_a_duration_are_tonics(overlap: int) -> None:
    tonic = pytest.importorskip("tonic.functional")
    events = made()
    table = np.zeros(len(events), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i2")])
    for key in "xytp":
        table[key] = getattr(events, key)
    wanted = tonic.to_frame_numpy(table, (8, 6, 2), time_window=100, overlap=overlap, include_incomplete=True)
    how = FrameOptions(frames=len(wanted), split_by="duration", duration=100, overlap=overlap, counts=True)
    assert np.array_equal(to_frames(events, SENSOR, how), wanted)
    assert left_out(events, how) == 0
    longer = FrameOptions(frames=len(wanted) + 8, split_by="duration", duration=100, overlap=overlap, counts=True)
    assert not to_frames(events, SENSOR, longer)[-1].any()  # what a short recording lacks is empty


@pytest.mark.parametrize("overlap", [0, 15])
def test_frames_of_a_number_of_events_are_tonics(overlap: int) -> None:
    tonic = pytest.importorskip("tonic.functional")
    events = made(410)
    table = np.zeros(len(events), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i2")])
    for key in "xytp":
        table[key] = getattr(events, key)
    wanted = tonic.to_frame_numpy(table, (8, 6, 2), event_count=40, overlap=overlap)  # without the last, shorter one
    about = {"split_by": "event_count", "event_count": 40, "overlap": overlap, "counts": True}
    assert np.array_equal(to_frames(events, SENSOR, FrameOptions(frames=len(wanted), **about)), wanted)
    assert left_out(events, FrameOptions(frames=2, **about)) == 410 - 40 - (40 - overlap)
    longer = to_frames(events, SENSOR, FrameOptions(frames=len(wanted) + 1, **about))[-1]
    assert longer.sum() == 410 - len(wanted) * (40 - overlap)  # what is left


def test_polarities() -> None:
    both = to_frames(made(), SENSOR, FrameOptions(frames=1, counts=True))
    merged, on, off = (
        to_frames(made(), SENSOR, FrameOptions(frames=1, counts=True, polarity=polarity))
        for polarity in ("merged", "on", "off")
    )
    assert merged.shape == on.shape == off.shape == (1, 1, 6, 8)
    assert np.array_equal(merged[:, 0], both.sum(1))
    assert np.array_equal(on[:, 0], both[:, 1])
    assert np.array_equal(off[:, 0], both[:, 0])


def test_a_hot_pixel_is_left_out_and_a_busy_place_stays() -> None:
    events = made()
    hot = Events(*(np.full(2000, v) for v in (3, 2, 1)), np.sort(np.random.default_rng(1).integers(5000, 6000, 2000)))
    busy = Events(np.tile([6, 7], 200), np.full(400, 5), np.ones(400, np.int64), np.arange(5000, 5400))
    mixed = Events(*(np.concatenate([getattr(e, key) for e in (events, hot, busy)]) for key in "xypt"))
    frames = to_frames(mixed, SENSOR, FrameOptions(frames=1, counts=True, hot_pixels=5))
    wanted = to_frames(mixed, SENSOR, FrameOptions(frames=1, counts=True))
    wanted[:, :, 2, 3] = 0
    assert np.array_equal(frames, wanted)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split_by": "duration"}, "goes with split_by=duration"),
        ({"duration": 10}, "goes with split_by=duration"),
        ({"event_count": 10}, r"event_count= \(events\) goes with split_by=event_count"),
        ({"split_by": "event_count", "event_count": 9, "overlap": 9}, "expected less than the event_count, 9"),
        ({"overlap": 10}, "goes with split_by=duration"),
        ({"slice": 0}, "--data slice=0: expected a whole number from 1"),
        (
            {"split_by": "duration", "duration": 10, "overlap": 10},
            "--data overlap=10: expected less than the duration, 10",
        ),
        ({"polarity": "up"}, "--data polarity=up: expected both or merged or on or off"),
        ({"hot_pixels": 1}, "--data hot_pixels=1: expected a whole number from 2"),
        ({"split_by": "events"}, "--data split_by=events: expected count or time or duration or event_count"),
    ],
)
def test_options_that_make_no_frames(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FrameOptions(**options)


def test_events_behind_the_last_frame_are_told(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for k in range(3):
            np.savez(tmp_path / name / f"{k}.npz", **{key: getattr(made(), key) for key in "xypt"})
    about = {"sensor": "8x6", "frames": 5, "split_by": "duration", "duration": 100}
    for _ in ("made", "of the cache"):
        (note,) = data.load(tmp_path, seed=0, **about).notes
        late = np.mean(made().t - 5000 >= 500)
        assert note.startswith(f"{late:.1%} of the events come after the last of 5 frames of 100 us and are left out")
