"""A user's signals, from .npz, .ts and .csv: what is read, and what is said of what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.options import parse_options
from snnas.toolchain.data.user_samples import read_files


def waves(path: Path, *, samples: int = 20, length: int = 12, channels: int = 2, **changed: Any) -> Path:
    """Two classes of signals, in units far from 0..1."""
    y = np.arange(samples) % 2
    x = np.random.default_rng(0).normal(size=(samples, length, channels)).astype(np.float32)
    x[..., 0] *= 500
    np.savez(path, **{"x": x, "y": y, **changed})
    return path


def write_ts(path: Path, rows: list[str], header: str = "@classLabel true walk run") -> Path:
    path.write_text(f"# a comment\n@problemName Gait\n@timeStamps false\n{header}\n@data\n" + "\n".join(rows) + "\n")
    return path


def gait(folder: Path) -> Path:
    train = [f"{k},{k + 1},{k + 2}:{k},{k},{k}:{'walk' if k % 2 else 'run'}" for k in range(8)]
    write_ts(folder / "Gait_TRAIN.ts", train)
    write_ts(folder / "Gait_TEST.ts", ["9,9:1,2:run", "0.5,1.5,100,3:1,2,3,4:walk"])
    return folder


def test_options_may_stand_in_one() -> None:
    assert parse_options(["window=32,hop=16", "data_dir=/a,b"]) == {"window": 32, "hop": 16, "data_dir": "/a,b"}
    assert parse_options(["threshold=.5"]) == {"threshold": 0.5}
    with pytest.raises(UsageError, match="a number > 0"):
        parse_options(["threshold=-1"])


@pytest.mark.parametrize("given", ["group=subject", "train_limit=100,group=subject", "class_weights=balanced,group=a"])
def test_a_misspelt_option_is_hinted(given: str) -> None:
    with pytest.raises(UsageError, match=r"'group=\w+': expected NAME=VALUE .*; did you mean 'groups'\?"):
        parse_options([given])


def test_units_stay_and_each_channel_gets_a_gain_of_its_own(tmp_path: Path) -> None:
    data = load(waves(tmp_path / "a.npz"), seed=0, axis="time")
    assert data.input_shape == (2, 1, 1)
    assert data.x_train.shape[1] == 12
    known = np.concatenate([data.x_train, data.x_val])[..., 0, 0]
    assert data.range == (known.min(), known.max())
    largest = np.abs(known).max((0, 1))
    assert np.all((largest * data.gain > 0.5) & (largest * data.gain <= 1))
    assert all(np.log2(gain).is_integer() for gain in data.gain)


def test_the_test_split_settles_no_range(tmp_path: Path) -> None:
    path = waves(tmp_path / "a.npz")
    with np.load(path) as held:
        x, y = held["x"], held["y"]
    kept = load(path, seed=0, axis="time")
    # Wherever the test samples lie: all of them a thousand times larger.
    test = [k for k in range(len(x)) if any(np.array_equal(x[k], s[..., 0, 0]) for s in kept.x_test)]
    assert len(test) >= 2
    x[test] *= 1000
    np.savez(path, x=x, y=y)
    again = load(path, seed=0, axis="time", encoder=None)
    assert (again.range, again.gain) == (kept.range, kept.gain)
    assert again.x_test.max() == again.range[1]
    assert load(path, seed=0, axis="time", encoder="delta").signal is not None


def test_spikes_stay_spikes(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((20, 7, 5)) < 0.3
    np.savez(tmp_path / "s.npz", x=x, y=np.arange(20) % 2)
    data = load(tmp_path / "s.npz", seed=0, axis="time")
    assert (data.input_kind, data.input_shape, data.gain) == ("spikes", (5, 1, 1), ())


@pytest.mark.parametrize(
    ("options", "shape", "kind"),
    [
        ({"window": 4, "hop": 2}, (5, 2, 1, 4), "analogue"),
        ({"axis": "length"}, (2, 1, 12), "analogue"),
        ({"axis": "time", "encoder": "delta"}, (12, 4, 1, 1), "spikes"),
        ({"axis": "time", "encoder": "level", "levels": 3}, (12, 6, 1, 1), "spikes"),
        ({"axis": "length", "encoder": "latency", "steps": 6}, (6, 2, 1, 12), "spikes"),
    ],
)
def test_frames(tmp_path: Path, options: dict[str, Any], shape: tuple[int, ...], kind: str) -> None:
    data = load(waves(tmp_path / "a.npz"), seed=0, **options)
    assert (data.x_train.shape[1:], data.input_kind) == (shape, kind)
    assert data.options == options


def test_ts_files_of_unequal_length(tmp_path: Path) -> None:
    data = load(gait(tmp_path), seed=0, axis="time")
    assert data.own_test
    assert data.class_names == ("walk", "run")
    assert data.x_test[0, :, :, 0, 0].tolist() == [[9, 1], [9, 2], [9, 2], [9, 2]]
    # 100 is beyond what training and validation hold.
    assert data.x_test[1, :, 0, 0, 0].tolist() == [0.5, 1.5, data.range[1], 3]
    assert data.y_test.tolist() == [1, 0]
    assert data.notes == ("lengths 2 .. 4, the last value held",)
    assert load(tmp_path / "Gait_TEST.ts", seed=0, axis="time").digest == data.digest
    assert load(tmp_path, seed=0, axis="time", length=2).x_train.shape[1] == 2


def test_recordings_of_unequal_length_may_be_stretched(tmp_path: Path) -> None:
    data = load(gait(tmp_path), seed=0, axis="time", fit="stretch", length=3)
    assert data.x_test[0, :, :, 0, 0].tolist() == [[9, 1], [9, 1.5], [9, 2]]  # of two samples
    assert data.notes == ("lengths 2 .. 4, stretched to 3",)
    assert data.options["fit"] == "stretch"
    assert data.signal is not None
    # The program's metadata say it: what is read for it has the same values.
    found, labels = read_files(str(tmp_path), {"signal": data.signal.to_json()})
    assert np.array_equal(found.clip(*data.range), data.x_test[..., 0, 0])
    assert labels.tolist() == data.y_test.tolist()
    assert read_files(str(tmp_path), {})[0].shape == (2, 4, 2)
    with pytest.raises(UsageError, match="fit=squeeze: expected hold or stretch"):
        load(tmp_path, seed=0, axis="time", fit="squeeze")


def test_a_folder_of_csv_files(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("test", 2)):
        for name in ("still", "moving"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                (folder / f"{k}.csv").write_text(f"time;ax;ay\n0;1;{k}\n1;2.5;{k}\n")
    data = load(tmp_path, seed=0, axis="time")
    assert (len(data.y_train) + len(data.y_val), len(data.y_test), data.own_test) == (8, 4, True)
    assert data.class_names == ("moving", "still")
    assert data.x_test[1, :, :, 0, 0].tolist() == [[1, 1], [2.5, 1]]
    assert data.notes == ("the column 'time' was left out",)
    (tmp_path / "test/still/notes.txt").touch()
    assert load(tmp_path, seed=0, axis="time").notes[0] == "not read: 1 .txt files"
    for name in ("still", "moving"):
        (tmp_path / "val" / name).mkdir(parents=True)
        (tmp_path / "val" / name / "0.csv").write_text("time,ax,ay\n0,1,7\n1,2.5,7\n")
    assert load(tmp_path, seed=0, axis="time").x_val[:, 0, 1, 0, 0].tolist() == [7, 7]
    (tmp_path / "test/still/1.csv").write_text("time;ax\n0;1\n")
    with pytest.raises(InvalidFileError, match=r"still.1\.csv has the columns time, ax, .* time, ax, ay; expected one"):
        load(tmp_path, seed=0, axis="time")


def test_a_subject_is_on_one_side(tmp_path: Path) -> None:
    """Of an array of the file, and of folders of .csv files."""
    subject = np.repeat([f"s{k}" for k in range(10)], 4)
    path = waves(tmp_path / "a.npz", samples=40, subject=subject)
    data = load(path, seed=0, axis="time", groups="subject")
    assert data.options == {"groups": "subject", "axis": "time"}
    with np.load(path) as held:
        x = held["x"]
    sides = [
        {str(subject[k]) for k in range(40) if any(np.array_equal(x[k], s[..., 0, 0]) for s in part)}
        for part in (data.x_train, data.x_val, data.x_test.clip(*data.range))
    ]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    for name in ("still", "moving"):
        for who in range(6):
            folder = tmp_path / "csv" / name / f"s{who}"
            folder.mkdir(parents=True)
            for k in range(2):
                (folder / f"{k}.csv").write_text(f"ax,ay\n{who},{k}\n{who},2\n")
    data = load(tmp_path / "csv", seed=0, axis="time", groups="folder")
    whose = [set(part[:, 0, 0, 0, 0].tolist()) for part in (data.x_train, data.x_val)]
    assert not whose[0] & whose[1]
    with pytest.raises(UsageError, match=r"groups=subject: .* holds no such column; expected groups=folder"):
        load(tmp_path / "csv", seed=0, axis="time", groups="subject")


def test_channels_may_stand_before_time(tmp_path: Path) -> None:
    path = waves(tmp_path / "a.npz")
    with np.load(path) as held:
        np.savez(tmp_path / "b.npz", x=held["x"].transpose(0, 2, 1), y=held["y"])
    with pytest.raises(InvalidFileError, match=r"of \(N, C, L\) layout=NCL too"):
        load(tmp_path / "b.npz", seed=0)
    unsaid = load(tmp_path / "b.npz", seed=0, axis="time")
    assert any("if channels stand before time, add layout=NCL" in note for note in unsaid.notes)
    said = load(tmp_path / "b.npz", seed=0, axis="time", layout="NCL")
    assert said.notes == ()
    assert _same(said, load(path, seed=0, axis="time"))
    with pytest.raises(UsageError, match="layout=NHWC: expected NLC or NCL of signals"):
        load(path, seed=0, axis="time", layout="NHWC")
    with pytest.raises(UsageError, match="layout=NCL is of signals; say what time is too"):
        load(tmp_path / "b.npz", seed=0, layout="NCL")
    with pytest.raises(UsageError, match=r"layout=NCL: .* is no \.npz file"):
        load(gait(tmp_path), seed=0, axis="time", layout="NCL")


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (["1,2:walk", "1,?:run"], None, r"line 7: '\?', expected numbers"),
        (["1,2:walk", "1,nan:run"], None, "line 7: NaN"),
        (["1,2:walk", "1,2:fly"], None, "sample 2 has the label 'fly', expected walk, run"),
        (["1,2:3,4:walk", "1,2:run"], None, "samples of 1, 2 channels"),
        (["1,2:3:walk"], None, "2 dimensions of 1, 2 values"),
        (["1:walk"], "@targetLabel true", "@classLabel is 'missing'"),
        (["1:walk"], "@classLabel false", "@classLabel is 'false'"),
        ([], None, "holds no samples"),
        (["1:walk"], "@timeStamps true\n@classLabel true walk run", "@timeStamps true"),
        (["1:walk"], "hello", "'hello', expected '@...' until @data"),
    ],
)
def test_ts_files_that_cannot_be_used(tmp_path: Path, rows: list[str], header: str | None, words: str) -> None:
    path = write_ts(tmp_path / "a.ts", rows, header or "@classLabel true walk run")
    with pytest.raises(InvalidFileError, match=words):
        load(path, seed=0, axis="time")


def test_a_folder_of_several_sets_asks_which(tmp_path: Path) -> None:
    gait(tmp_path)
    (tmp_path / "Gait_eq_TRAIN.ts").write_bytes((tmp_path / "Gait_TRAIN.ts").read_bytes())
    with pytest.raises(InvalidFileError, match=r"holds Gait_TRAIN\.ts, Gait_eq_TRAIN\.ts; name the one .* --dataset"):
        load(tmp_path, seed=0, axis="time")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hop": 2}, "neither axis nor window; say what time is"),
        ({"axis": "time", "window": 3}, "axis=time and window=3"),
        ({"axis": "height"}, "axis=height: expected time or length"),
        ({"axis": "time", "hop": 3}, "hop=3: expected window=W"),
        ({"axis": "time", "levels": 3}, "levels=3: expected encoder=level"),
        ({"axis": "time", "encoder": "rate"}, "encoder = 'rate'"),
        ({"axis": "time", "encoder": "latency"}, "expected window=W"),
    ],
)
def test_declarations_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(waves(tmp_path / "a.npz"), seed=0, **options)


def test_what_is_said_where_nothing_is_declared(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"of signals \(N, L, C\) say --data axis=time, .* layout=NCL"):
        load(waves(tmp_path / "a.npz"), seed=0)
    with pytest.raises(UsageError, match=r"holds signals; say what time is: --data axis=time"):
        load(gait(tmp_path), seed=0)
    with pytest.raises(UsageError, match="--data axis: digits holds no signals"):
        load("digits", seed=0, axis="time")
    images = tmp_path / "images.npz"
    np.savez(images, x=np.zeros((6, 1, 8, 8), np.uint8), y=np.arange(6) % 2)
    with pytest.raises(InvalidFileError, match=r"expected signals \(N, L\) or \(N, L, C\), time second"):
        load(images, seed=0, axis="time")


def test_a_csv_among_images_makes_no_signals(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(4):
            np.save(tmp_path / name / f"{k}.npy", np.full((4, 4), k, np.uint8))
    (tmp_path / "a/labels.csv").write_text("0,1\n")
    assert load(tmp_path, seed=0).input_shape == (1, 4, 4)


def test_one_sample_per_row_has_one_channel(tmp_path: Path) -> None:
    data = load(waves(tmp_path / "a.npz", x=np.arange(200, dtype=np.int16).reshape(20, 10) - 90), seed=0, axis="time")
    assert (data.x_train.shape[1:], data.range[0] < 0) == ((10, 1, 1, 1), True)


def _same(one: Dataset, other: Dataset) -> bool:
    return one.digest == other.digest and np.array_equal(one.x_test, other.x_test)


def test_what_a_run_records_gives_the_same_again(tmp_path: Path) -> None:
    path = waves(tmp_path / "a.npz")
    first = load(path, seed=3, window=5, hop=5, encoder="delta", threshold=0.5)
    assert _same(first, load(path, seed=3, **first.options))


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "val"), ("train", "test")])
def test_a_folder_of_own_splits_keeps_them(tmp_path: Path, parts: tuple[str, ...]) -> None:
    sizes = {"train": 12, "val": 4, "test": 6}
    for number, part in enumerate(parts):
        x = np.full((sizes[part], 5 + number, 2), number, np.float32) + np.arange(sizes[part])[:, None, None] / 100
        np.savez(tmp_path / f"{part}.npz", x=x, y=np.arange(sizes[part]) % 2)
    data = load(tmp_path, seed=0, axis="time")
    for number, part in enumerate(parts[1:], start=1):
        own = getattr(data, f"x_{part}")
        assert len(own) == sizes[part]
        if part == "val":
            assert int(own.min()) == number  # of that file alone; test values beyond the range are cut off
    assert len(data.x_train) + len(data.x_val) + len(data.x_test) == sum(sizes[part] for part in parts)
    assert data.x_train.shape[1] == 4 + len(parts)  # the longest


def test_a_signal_folder_with_train_alone_misses_test(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=np.zeros((6, 4, 1), np.float32), y=np.arange(6) % 2)
    with pytest.raises(InvalidFileError, match=r"test\.npz"):
        load(tmp_path, seed=0, axis="time")
