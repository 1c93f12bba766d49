"""Sets that tonic reads, and its transforms: equal to tonic's own, event for event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.export.formats.hdf5_child import Reader, Refused
from snnas.export.formats.hdf5_guard import decode
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets import tonic_child, tonic_sets
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.transforms import Transforms
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.redraw import require_augment
from tests.official_files import OF_TONIC, mnist, nmnist_members, of_tonic, shd, written

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


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work done here: tonic is imported once, and not for each answer."""

    def asked(child: Path, request: dict[str, Any], what: str, seconds: float, limit_bytes: int) -> dict[str, Any]:
        reader = Reader(limit_bytes)
        tree = tonic_child.answer(reader, json.loads(json.dumps(request)))
        text = json.dumps({"tree": tree}).encode()
        return decode(len(text).to_bytes(8, "little") + text + b"".join(reader.chunks), what)

    monkeypatch.setattr(tonic_sets, "asked", asked)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", OF_TONIC)
def test_sets_of_a_file_for_each_recording(tmp_path: Path, name: str) -> None:
    """Frames of all events: by place and polarity, and each with its label."""
    drawn = of_tonic(name, tmp_path)
    about: dict[str, Any] = {"frames": 1, "counts": True, "sensor": "34x34" if name == "NCALTECH101" else None}
    loaded = data.load(f"tonic:{name}", seed=0, data_dir=tmp_path, **about)
    _, classes, _ = OF_TONIC[name]
    numbers = {"POKERDVS": "0123", "DVSLip": ("0", "99"), "ASLDVS": ("0", "24")}.get(name, classes)
    assert loaded.class_names == tuple(numbers)
    assert loaded.own_test == (name not in ("NCALTECH101", "ASLDVS"))
    channels, height, width = loaded.input_shape
    assert channels == 2
    wanted = []
    for (kind, _), (x, y, p, _) in ((key, events.T) for key, events in drawn.items()):
        frame = np.zeros((1, channels, height, width), np.float32)
        np.add.at(frame, (0, p, y, x), 1)
        wanted.append((classes.index(kind), frame.tobytes()))
    assert sorted(row for part in PARTS for row in _rows(loaded, part)) == sorted(wanted)
    if loaded.own_test:
        assert len(loaded.y_test) == 2 * len(classes)


@pytest.mark.usefixtures("in_process")
def test_smnist_lies_in_a_folder_of_another_name(tmp_path: Path) -> None:
    """Its spikes are thresholds crossed by the pixels, one after the other; other files are other frames."""
    mnist(tmp_path / "smnist", packed=False)
    about: dict[str, Any] = {"seed": 0, "data_dir": tmp_path, "frames": 1, "compact": True}
    loaded = data.load("tonic:SMNIST", **about)
    assert (loaded.input_shape, loaded.classes, len(loaded.y_test)) == ((1, 1, 99), 10, 20)
    theirs = tonic.datasets.SMNIST(str(tmp_path), train=False)[0][0]
    assert np.flatnonzero(loaded.x_test[0]).tolist() == sorted(set(theirs["x"].tolist()))
    images = tmp_path / "smnist/t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:16] + images.read_bytes()[:15:-1])
    assert data.load("tonic:SMNIST", **about).digest != loaded.digest


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ["SHD", "SSC"])
def test_sets_of_one_dimension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(tonic_sets, "LIMIT_BYTES", 4 * 32 * 32 * 13)  # 13 recordings of 32 events or so at a time
    (tmp_path / name).mkdir()
    parts = {"train": 12, "test": 6} | ({"valid": 8} if name == "SSC" else {})
    units = {
        part: shd(tmp_path / name / f"{name.lower()}_{part}.h5", count, labels_below=2) for part, count in parts.items()
    }
    loaded = data.load(f"tonic:{name}", seed=0, data_dir=tmp_path, frames=1, counts=True)
    assert (loaded.input_shape, loaded.classes, len(loaded.y_test)) == ((1, 1, 700), 2, 6)
    if name == "SSC":
        assert len(loaded.y_val) == 8
    every = sorted(row for part in PARTS for row in _rows(loaded, part))
    lines = [(k % 2, np.bincount(row, minlength=700)) for rows in units.values() for k, row in enumerate(rows)]
    assert every == sorted((label, line.astype(np.float32).tobytes()) for label, line in lines)


@pytest.mark.usefixtures("in_process")
def test_of_n_tidigits_the_single_digits(tmp_path: Path) -> None:
    (tmp_path / "NTIDIGITS18").mkdir()
    with h5py.File(tmp_path / "NTIDIGITS18/n-tidigits.hdf5", "w") as file:
        for part in ("train", "test"):
            names = [f"man-{k}-{digit}" for k in range(3) for digit in ("o", "1", "z", "12")]
            file[f"{part}_labels"] = np.array([name.encode() for name in names])
            for k, name in enumerate(names):
                file[f"{part}_addresses/{name}"] = np.full(5, k)
                file[f"{part}_timestamps/{name}"] = np.linspace(0, 1, 5)
    loaded = data.load("tonic:NTIDIGITS18", seed=0, data_dir=tmp_path, frames=1, counts=True)
    assert (loaded.input_shape, loaded.class_names, len(loaded.y_test)) == ((1, 1, 64), ("0", "1", "10"), 9)
    assert sorted(row.argmax() for row in loaded.x_test) == [k for k in range(12) if k % 4 < 3]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("NMNIS", UsageError, "tonic has no data set 'NMNIS'; expected .*; did you mean 'NMNIST'"),
        ("NMNIST", InvalidFileError, r"tonic:NMNIST: .*NMNIST holds no samples"),
        ("SHD", InvalidFileError, r"tonic:SHD in .*tonic cannot read it"),
        ("os", UsageError, "tonic has no data set 'os'"),
        ("DSEC", UsageError, "tonic:DSEC has no label for a recording to learn; expected one of ASLDVS, CIFAR10DVS, "),
        ("VPR", UsageError, "tonic:VPR has no label"),
    ],
)
def test_sets_that_are_not_there(tmp_path: Path, name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        data.load(f"tonic:{name}", seed=0, data_dir=tmp_path)


@pytest.mark.usefixtures("in_process")
def test_what_tonic_cannot_read_is_said_in_a_line(tmp_path: Path) -> None:
    """Whatever it raises: here an AssertionError without a word."""
    mnist(tmp_path / "smnist", packed=False)
    (tmp_path / "smnist/train-images-idx3-ubyte").write_bytes(bytes(100))
    with pytest.raises(Refused, match=r"^tonic cannot read it \(AssertionError: \)$"):
        data.load("tonic:SMNIST", seed=0, data_dir=tmp_path)
    of_tonic("POKERDVS", tmp_path)
    (tmp_path / "POKERDVS/pips_train/cl/0.npy").write_bytes(b"no array")
    with pytest.raises(Refused, match=r"tonic cannot read it \(ValueError: .* pickled"):
        data.load("tonic:POKERDVS", seed=0, data_dir=tmp_path)


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
        ("CenterCrop(size=(5, 4))", "CenterCrop is not taken; give --data crop="),
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
    assert np.array_equal(drawn.redraw(3, 1, 2), first[:2])  # a few alone are what they would be among all
    with pytest.raises(UsageError, match="expected transforms of tonic with values by name"):
        data.load("nmnist", augment="DropEvent(0.5)", **about)
    require_augment(drawn)
    refused = data.load("nmnist", augment="DropEvent(p=2.5)", **about)
    with pytest.raises(UsageError, match="--data augment: tonic refuses it"):  # where a search begins
        require_augment(refused)


def test_transforms_change_the_frames(nmnist: Path) -> None:
    about: dict[str, Any] = {"seed": 0, "data_dir": nmnist, "frames": 1, "counts": True}
    half = data.load("nmnist", transform="DropEvent(p=0.5)", **about)
    assert set(half.x_test.sum((1, 2, 3, 4))) == {30}
    assert set(data.load("nmnist", **about).x_test.sum((1, 2, 3, 4))) == {60}
    assert half.options["transform"] == "DropEvent(p=0.5)"
