"""Recordings cut into several samples, and sensors cropped: by value, and against tonic's slicers and CenterCrop."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.frames import FrameOptions
from snnas.toolchain.data.datasets.signals import declared
from snnas.toolchain.data.datasets.slices import cut
from snnas.toolchain.data.load import Dataset


def made(seed: int = 0, events: int = 103, last: int = 5099) -> Events:
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(0, high, events) for high in (8, 6, 2))
    t = np.sort(rng.integers(0, last, events))
    t[0], t[-1] = 0, last
    return Events(x, y, p, t + 777)


def table(events: Events) -> Any:
    rows = np.zeros(len(events), [("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
    for key in "xytp":
        rows[key] = getattr(events, key)
    return rows


@pytest.mark.parametrize(
    ("options", "slicer", "values"),
    [
        ({"slice": 1000}, "SliceByTime", {"time_window": 1000}),
        ({"slice": 1000, "slice_overlap": 400}, "SliceByTime", {"time_window": 1000, "overlap": 400}),
        ({"slice": 5099}, "SliceByTime", {"time_window": 5099}),
        ({"slice": 9999}, "SliceByTime", {"time_window": 9999}),
        ({"slice": 20, "slice_by": "event_count"}, "SliceByEventCount", {"event_count": 20}),
        (
            {"slice": 20, "slice_by": "event_count", "slice_overlap": 7},
            "SliceByEventCount",
            {"event_count": 20, "overlap": 7},
        ),
        ({"slice": 500, "slice_by": "event_count"}, "SliceByEventCount", {"event_count": 500}),
        ({"slice": 4, "slice_by": "time"}, "SliceByTimeBins", {"bin_count": 4}),
        ({"slice": 5, "slice_by": "count"}, "SliceByEventBins", {"bin_count": 5}),
    ],
)
def test_slices_are_tonics(options: dict[str, Any], slicer: str, values: dict[str, Any]) -> None:
    slicers = pytest.importorskip("tonic.slicers")
    wanted, _ = getattr(slicers, slicer)(**values).slice(table(made()), None)
    found = cut(made(), FrameOptions(**options))
    assert len(found) == len(wanted)
    assert all(np.array_equal(table(one), other) for one, other in zip(found, wanted, strict=True))


def test_slices_by_value_of_events_that_are_not_in_order() -> None:
    events = Events(*(np.arange(6) for _ in range(3)), np.array([30, 10, 21, 40, 19, 5]))
    by = {"duration": [[1, 4, 5], [0, 2]], "event_count": [[0, 1], [2, 3], [4, 5]]}
    for slice_by, rows in by.items():
        how = FrameOptions(slice=15 if slice_by == "duration" else 2, slice_by=slice_by)  # type: ignore[arg-type]
        assert [part.x.tolist() for part in cut(events, how)] == rows


def test_slices_are_not_held_beside_each_other() -> None:
    events = made(events=20_000, last=10**6)
    held = 4 * 8 * len(events)
    tracemalloc.start()
    how = FrameOptions(slice=10_000, slice_by="event_count", slice_overlap=9_900)
    sizes = {len(part) for part in cut(events, how)}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == {10_000}
    assert peak < 3 * held  # together the 101 would take 50 times as much


def recordings(folder: Path, count: int = 12, **about: Any) -> Path:
    for k in range(count):
        place = folder / ("left" if k % 2 else "right")
        place.mkdir(parents=True, exist_ok=True)
        events = made(k, **about)
        np.savez(place / f"{k:02}.npz", x=events.x, y=events.y, p=events.p, t=events.t)
    return folder


def every(loaded: Dataset) -> np.ndarray:
    return np.concatenate([loaded.x_train, loaded.x_val, loaded.x_test])


@pytest.mark.parametrize(
    "options", [{"slice": 1200}, {"slice": 25, "slice_by": "event_count"}, {"slice": 4, "slice_by": "time"}]
)
def test_slices_of_a_recording_stay_together(tmp_path: Path, options: dict[str, Any]) -> None:
    loaded = data.load(recordings(tmp_path), seed=0, sensor="8x6", frames=1, counts=True, **options)
    assert len(every(loaded)) == 48
    assert all(len(part) and len(part) % 4 == 0 for part in (loaded.x_train, loaded.x_val, loaded.x_test))
    assert "12 recordings were cut into 48 samples; those of one stay together" in loaded.notes
    again = data.load(tmp_path, seed=0, **loaded.options)
    assert (again.digest, again.notes) == (loaded.digest, loaded.notes)


def test_few_recordings_of_one_slice_each_are_split(tmp_path: Path) -> None:
    """Fewer of each class than scikit-learn would like to fold for 8 %."""
    loaded = data.load(recordings(tmp_path / "some"), seed=0, sensor="8x6", frames=1, slice=9999)
    assert len(every(loaded)) == 12
    assert min(len(loaded.y_train), len(loaded.y_val), len(loaded.y_test)) > 0
    with pytest.raises(InvalidFileError, match="2 samples are left to draw test samples from, no two of one class"):
        data.load(recordings(tmp_path / "two", 2), seed=0, sensor="8x6", frames=1, slice=9999)


def test_a_slice_may_be_quiet(tmp_path: Path) -> None:
    loaded = data.load(recordings(tmp_path), seed=0, sensor="8x6", frames=1, slice=30)
    assert {0, 1} <= set(loaded.x_train.sum((1, 2, 3, 4)))


def test_a_crop_is_tonics_before_all_else(tmp_path: Path) -> None:
    tonic = pytest.importorskip("tonic")
    loaded = data.load(recordings(tmp_path), seed=0, sensor="8x6", frames=2, counts=True, crop="5x4", downsample=2)
    assert loaded.input_shape == (2, 2, 3)
    wanted = []
    for k in range(12):
        inside = tonic.transforms.CenterCrop(sensor_size=(8, 6, 2), size=(5, 4))(table(made(k)))
        halves = np.array_split(inside, [-(-len(inside) // 2)])  # event i of n is in frame floor(2 i / n)
        frames = [tonic.transforms.ToFrame(sensor_size=(6, 4, 2), n_event_bins=1)(half)[0] for half in halves]
        wanted.append(np.stack(frames).reshape(2, 2, 2, 2, 3, 2).sum((3, 5)))
    assert sorted(x.astype(int).tobytes() for x in every(loaded)) == sorted(x.astype(int).tobytes() for x in wanted)
    cut_too = data.load(
        tmp_path, seed=0, sensor="8x6", frames=1, counts=True, crop="5x4", slice=9, slice_by="event_count"
    )
    assert set(every(cut_too).sum((1, 2, 3, 4))) == {9}  # of the crop's events


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slice_by": "time"}, "slice_by= and slice_overlap= go with slice="),
        ({"slice_overlap": 5}, "slice_by= and slice_overlap= go with slice="),
        ({"slice": 4, "slice_by": "count", "slice_overlap": 1}, "slice_overlap= goes with slice_by=duration"),
        ({"slice": 4, "slice_overlap": 4}, "slice_overlap=4: expected less than the slice, 4"),
        ({"slice": 4, "slice_by": "events"}, "slice_by=events: expected count or time or duration or event_count"),
        (
            {"slice": 300_000, "slice_by": "count"},
            "300,000 slices of a recording, expected at most 100,000",
        ),
        ({"crop": "5"}, "crop=5: expected WIDTHxHEIGHT of 1 to 4096 pixels"),
        ({"crop": "9x6"}, "crop=9x6: the sensor has 8x6 pixels, expected at most that"),
    ],
)
def test_what_cannot_be_sliced_or_cropped(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        data.load(recordings(tmp_path, 2), seed=0, sensor="8x6", **options)


def test_recordings_with_too_little_in_them_are_named(tmp_path: Path) -> None:
    few = recordings(tmp_path / "few", 4, events=3)
    with pytest.raises(InvalidFileError, match=r"0\d\.npz holds 3 events in 5099 us, too little for 4 slices by count"):
        data.load(few, seed=0, sensor="8x6", slice=4, slice_by="count")
    with pytest.raises(InvalidFileError, match=r"0\d\.npz holds no events in the middle 2x2 pixels of 8x6"):
        data.load(few, seed=0, sensor="8x6", crop="2x2")


def test_frames_that_were_kept_before_there_were_these_are_found(tmp_path: Path) -> None:
    """An entry without slices and crops has the name that it had."""
    data.load(recordings(tmp_path), seed=0, sensor="8x6", frames=2)
    files = sorted(tmp_path.rglob("*.npz"))
    seen = [[str(f.relative_to(tmp_path.parent)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    options = {"frames": 2, "split_by": "count", "duration": None, "event_count": None, "overlap": 0, "slice": None}
    options |= {"downsample": 1, "polarity": "both", "hot_pixels": None}
    options |= {"transform": None, "augment": None, "counts": False}
    key = hashlib.sha256(json.dumps([4, "recordings", [2, 6, 8], seen, options]).encode()).hexdigest()[:16]
    assert {path.stem for path in (tmp_path / ".cache").iterdir()} == {f"recordings-{key}"}


def waves(path: Path, count: int = 12, length: int = 50) -> Path:
    """Value t of recording k is 1000 k + t."""
    x = (1000 * np.arange(count)[:, None] + np.arange(length))[..., None].astype(np.float32)
    np.savez(path, x=x, y=np.arange(count) % 2)
    return path


@pytest.mark.parametrize(("overlap", "starts"), [(None, (0, 20)), (5, (0, 15, 30)), (19, tuple(range(31)))])
def test_signals_are_cut_into_slices_that_stay_together(
    tmp_path: Path, overlap: int | None, starts: tuple[int, ...]
) -> None:
    loaded = data.load(waves(tmp_path / "a.npz"), seed=0, axis="time", slice=20, slice_overlap=overlap)
    parts = [loaded.x_train[:, :, 0, 0, 0], loaded.x_val[:, :, 0, 0, 0]]
    assert loaded.x_train.shape[1:] == (20, 1, 1, 1)
    assert all((np.diff(part, axis=1) == 1).all() for part in parts)
    assert len(every(loaded)) == 12 * len(starts)
    whose = [set((part[:, 0] // 1000).tolist()) for part in parts]
    assert not whose[0] & whose[1]
    assert set((parts[0][:, 0] % 1000).tolist()) == set(starts)
    assert loaded.notes == (f"12 recordings were cut into {12 * len(starts)} samples; those of one stay together",)
    assert data.load(tmp_path / "a.npz", seed=0, **loaded.options).digest == loaded.digest


def test_slices_of_csv_files_of_unequal_length_and_of_a_group(tmp_path: Path) -> None:
    for name in ("still", "moving"):
        for who in range(4):
            for k, rows in enumerate((7, 2)):
                place = tmp_path / name / f"s{who}" / f"{k}.csv"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text("".join(f"{who},{row}\n" for row in range(rows)))
    loaded = data.load(tmp_path, seed=0, axis="time", slice=3, groups="folder")
    assert len(every(loaded)) == 8 * (2 + 1)
    whose = [set(part[:, 0, 0, 0, 0].tolist()) for part in (loaded.x_train, loaded.x_val)]
    assert not whose[0] & whose[1]
    assert [0, 1, 1] in loaded.x_train[:, :, 1, 0, 0].tolist()  # the short one holds its last value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"axis": "time", "slice_overlap": 3}, "slice_overlap=3: expected slice=L with it"),
        ({"axis": "time", "slice": 9, "slice_overlap": 9}, "slice_overlap=9: expected less than the slice, 9"),
        ({"axis": "time", "slice": 9, "length": 9}, "slice=9: every sample is that long; leave length and fit out"),
        ({"axis": "time", "slice": 9, "slice_by": "time"}, "slice_by= is for event data"),
        ({"slice": 9}, r"slice= is for event data \(.*\) and signals \(say axis= or window= too\)"),
    ],
)
def test_slices_of_signals_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        data.load(waves(tmp_path / "a.npz"), seed=0, **options)


def test_slices_alone_declare_no_signal() -> None:
    assert declared({"slice": 9}) is None
    assert declared({"slice": 9, "axis": "time"}) is not None


def test_slices_that_do_not_fit_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnas.toolchain.data.datasets.signals.MAX_ARRAY_BYTES", 4 * 12 * 31 * 20 - 1)
    with pytest.raises(UsageError, match="372 slices of 20 are over"):
        data.load(waves(tmp_path / "a.npz"), seed=0, axis="time", slice=20, slice_overlap=19)
