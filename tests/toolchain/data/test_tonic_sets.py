"""Sets that tonic reads, and its transforms: equal to tonic's own, event for event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets import tonic_sets
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.transforms import Transforms
from snnas.toolchain.data.load import Dataset
from tests.official_files import nmnist_members, written

tonic = pytest.importorskip("tonic")
PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 recordings to train and 20 to test, where both readers look: in NMNIST/Train/<digit>/<number>.bin."""
    folder = tmp_path_factory.mktemp("sets")
    members = nmnist_members("Train", each=6) | nmnist_members("Test", each=2)
    written(folder / "NMNIST", members)
    (folder / "NMNIST/index.csv").write_text("\n".join(["path", *members]))
    return folder


def _rows(loaded: Dataset, split: str) -> list[tuple[int, bytes]]:
    labels, x = getattr(loaded, f"y_{split}").tolist(), getattr(loaded, f"x_{split}")
    return sorted(zip(labels, (row.tobytes() for row in x), strict=True))


def test_nmnist_by_tonic_is_ours_event_for_event(nmnist: Path) -> None:
    """Frames of one event each hold all of it: polarity, place and order."""
    about: dict[str, Any] = {"seed": 0, "data_dir": nmnist, "frames": 60, "compact": True}
    theirs, ours = data.load("tonic:NMNIST", **about), data.load("nmnist", **about)
    assert (theirs.name, theirs.own_test, theirs.class_names) == ("tonic-NMNIST", True, tuple("0123456789"))
    assert _rows(theirs, "test") == _rows(ours, "test")
    # tonic walks by class and ours by name: what is drawn to validate differs, not what there is.
    assert sorted(_rows(theirs, "train") + _rows(theirs, "val")) == sorted(_rows(ours, "train") + _rows(ours, "val"))
    again = data.load("tonic:NMNIST", seed=0, **theirs.options)
    assert again.digest == theirs.digest


def test_a_set_of_one_dimension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tonic_sets, "LIMIT_BYTES", 4 * 32 * 5 * 13)  # 14 recordings of 5 events at a time
    (tmp_path / "SHD").mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 6)):
        with h5py.File(tmp_path / f"SHD/shd_{part}.h5", "w") as file:
            file["labels"] = np.arange(count) % 2
            file["extra/keys"], file["extra/speaker"] = np.array([b"null", b"eins"]), np.zeros(count, int)
            for name, kind in (("times", np.float16), ("units", np.uint16)):
                rows = file.create_dataset(f"spikes/{name}", (count,), h5py.vlen_dtype(kind))
                for k in range(count):
                    rows[k] = np.full(5, k) if name == "units" else np.sort(rng.random(5)).astype(np.float16)
    loaded = data.load("tonic:SHD", seed=0, data_dir=tmp_path, frames=2, counts=True)
    assert (loaded.input_shape, loaded.classes, len(loaded.y_test)) == ((1, 1, 700), 2, 6)
    x = np.concatenate([loaded.x_train, loaded.x_val])
    assert sorted(np.flatnonzero(row.sum((0, 1, 2))).item() for row in x) == list(range(10))
    assert set(x.sum((1, 2, 3, 4))) == {5}


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("NMNIS", UsageError, "tonic has no data set 'NMNIS'; expected .*; did you mean 'NMNIST'"),
        ("NMNIST", InvalidFileError, r"tonic:NMNIST: .*NMNIST holds no samples"),
        ("SHD", InvalidFileError, r"tonic:SHD in .*not a readable data set of tonic"),
        ("os", UsageError, "tonic has no data set 'os'"),
    ],
)
def test_sets_that_are_not_there(tmp_path: Path, name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        data.load(f"tonic:{name}", seed=0, data_dir=tmp_path)


def test_without_tonic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tonic", None)
    with pytest.raises(UnsupportedError, match=r"needs tonic; install snnas with the extra \[events\]"):
        data.load("tonic:NMNIST", seed=0)


def made(count: int = 300) -> Events:
    rng = np.random.default_rng(0)
    x, y, p = (rng.integers(0, high, count) for high in (8, 6, 2))
    return Events(x, y, p, np.sort(rng.integers(20_000, 60_000, count)))


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Denoise(filter_time=5000)", lambda t: [t.Denoise(filter_time=5000)]),
        ("CropTime(min=30000, max=40000)", lambda t: [t.CropTime(min=30000, max=40000)]),
        ("RefractoryPeriod(delta=9000)", lambda t: [t.RefractoryPeriod(delta=9000)]),
        (
            "DropEvent(p=0.5), TimeJitter(std=10, clip_negative=True, sort_timestamps=True)",
            lambda t: [t.DropEvent(p=0.5), t.TimeJitter(std=10, clip_negative=True, sort_timestamps=True)],
        ),
        ("RandomFlipLR(p=1)", lambda t: [t.RandomFlipLR(sensor_size=(8, 6, 2), p=1)]),
    ],
)
def test_transforms_are_tonics(text: str, steps) -> None:
    events = made()
    table = np.zeros(len(events), [("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
    for key in "xytp":
        table[key] = getattr(events, key)
    np.random.seed(7)
    for step in steps(tonic.transforms):
        table = step(table)
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    found = Transforms.parse(text)(events, (2, 6, 8), 7)
    assert all(np.array_equal(getattr(found, key), table[key]) for key in "xypt")
    assert not all(np.array_equal(getattr(found, key), getattr(events, key)) for key in "xypt")
    assert np.array_equal(np.random.get_state()[1], before)  # nobody else's draws move


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ToFrame(n_time_bins=3)", "ToFrame is not taken; give --data frames="),
        ("Downsample(spatial_factor=0.5)", "Downsample is not taken; give --data downsample="),
        ("Denoise(10000)", "expected transforms of tonic with values by name"),
        ("__import__('os').system('ls')", "expected transforms of tonic with values by name"),
        ("Denoise(filter_time=open('x'))", "expected transforms of tonic with values by name"),
        ("Denoise(", "expected transforms of tonic with values by name"),
        ("Lambda(f=1)", "Lambda is not taken; expected one of CropTime, "),
    ],
)
def test_what_is_no_transform(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Transforms.parse(text)


def test_transforms_that_tonic_refuses() -> None:
    with pytest.raises(UsageError, match="Denoise takes filter_time, and not 'time'"):
        Transforms.parse("Denoise(time=1)")(made(), (2, 6, 8), 0)
    with pytest.raises(UsageError, match="moves events out of the sensor; give it clip_outliers=True"):
        Transforms.parse("SpatialJitter(var_x=9, var_y=9)")(made(), (2, 6, 8), 0)


def test_augment_is_drawn_for_every_epoch_and_for_training_alone(nmnist: Path) -> None:
    about: dict[str, Any] = {"seed": 0, "data_dir": nmnist, "frames": 1, "counts": True, "compact": True}
    plain, drawn = data.load("nmnist", **about), data.load("nmnist", augment="DropEvent(p=0.5)", **about)
    assert plain.redraw is None
    assert drawn.redraw is not None
    assert all(np.array_equal(getattr(plain, f"x_{part}"), getattr(drawn, f"x_{part}")) for part in PARTS)
    first, second = drawn.redraw(3, 1), drawn.redraw(3, 2)
    assert first.shape == drawn.x_train.shape
    assert set(first.sum((1, 2, 3, 4))) == {30}
    assert (first <= drawn.x_train).all()
    assert (first != second).any(axis=(1, 2, 3, 4)).all()
    assert np.array_equal(drawn.redraw(3, 1), first)  # by seed and epoch alone: a training that goes on has the same
    assert not np.array_equal(drawn.redraw(4, 1), first)
    with pytest.raises(UsageError, match="expected transforms of tonic with values by name"):
        data.load("nmnist", augment="DropEvent(0.5)", **about)


def test_transforms_change_the_frames(nmnist: Path) -> None:
    about: dict[str, Any] = {"seed": 0, "data_dir": nmnist, "frames": 1, "counts": True}
    half = data.load("nmnist", transform="DropEvent(p=0.5)", **about)
    assert set(half.x_test.sum((1, 2, 3, 4))) == {30}
    assert set(data.load("nmnist", **about).x_test.sum((1, 2, 3, 4))) == {60}
    assert half.options["transform"] == "DropEvent(p=0.5)"
