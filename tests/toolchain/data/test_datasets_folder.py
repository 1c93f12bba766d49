import sys
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.data import load as data


def arrays(count: int, dtype: type = np.uint8, classes: int = 4, side: int = 6) -> dict[str, np.ndarray]:
    x = np.random.default_rng(count).integers(0, 256, (count, 3, 5, side))
    return {"x": x.astype(np.uint8) if dtype is np.uint8 else (x / 255).astype(dtype), "y": np.arange(count) % classes}


def both(folder: Path, train: dict, test: dict) -> Path:
    np.savez(folder / "train.npz", **train)
    np.savez(folder / "test.npz", **test)
    return folder


def classes(folder: Path, *, kind: str = "npy", each: int = 5, names: tuple[str, ...] = ("cat", "bird")) -> Path:
    """Sample k of class j is filled with 10 j + k."""
    for j, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for k in range(each):
            sample = np.full((3, 4, 5), 10 * j + k, np.uint8)
            if kind == "npy":
                np.save(folder / name / f"{k}.npy", sample)
            else:
                image = pytest.importorskip("PIL.Image")
                image.fromarray(sample.transpose(1, 2, 0)).save(folder / name / f"{k}.png")
    return folder


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_train_and_test_files_keep_their_split(tmp_path: Path, dtype: type) -> None:
    test = arrays(20, dtype)
    loaded = data.load(both(tmp_path, arrays(60, dtype), test), seed=0)
    expected = test["x"] if dtype is np.float32 else test["x"].astype(np.float32) / np.float32(255)
    assert np.array_equal(loaded.x_test, expected)
    assert np.array_equal(loaded.y_test, test["y"])
    assert (len(loaded.y_train), len(loaded.y_val)) == (55, 5)
    assert (loaded.name, loaded.path) == (tmp_path.name, tmp_path)
    assert data.load(tmp_path, seed=0, compact=True).x_test.dtype == dtype
    again = data.load(loaded.path, seed=1, **loaded.options)
    assert again.digest == loaded.digest
    assert np.array_equal(again.x_test, loaded.x_test)
    assert not np.array_equal(again.y_val, loaded.y_val) or not np.array_equal(again.x_val, loaded.x_val)


def test_mixed_types_become_floats(tmp_path: Path) -> None:
    loaded = data.load(both(tmp_path, arrays(60), arrays(20, np.float32)), seed=0, compact=True)
    assert loaded.x_train.dtype == loaded.x_test.dtype == np.float32
    assert loaded.x_train.max() == 1


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (arrays(60), arrays(20, side=7), r"shape \(3, 5, 6\) to train and \(3, 5, 7\) to test"),
        (arrays(60), arrays(20, classes=5), r"label 4 .* is in test\.npz alone"),
        (arrays(60, classes=1), arrays(20, classes=1), "at least two classes"),
        (arrays(5, classes=4), arrays(20), "class 1 of .* has 1 samples, expected at least 2"),
        (arrays(60), {"x": arrays(20)["x"]}, r"'y' is missing in .*test\.npz"),
        (arrays(60), {**arrays(20), "y": np.arange(20) - 1}, r"test\.npz lies in -1 \.\. 18"),
    ],
)
def test_parts_that_do_not_go_together(tmp_path: Path, train: dict, test: dict, words: str) -> None:
    with pytest.raises(InvalidFileError, match=words) as caught:
        data.load(both(tmp_path, train, test), seed=0)
    assert str(tmp_path) in str(caught.value)


def test_half_of_it_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", **arrays(60))
    with pytest.raises(InvalidFileError, match=r"test\.npz does not exist"):
        data.load(tmp_path, seed=0)


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_a_folder_for_each_class(tmp_path: Path, kind: str) -> None:
    loaded = data.load(classes(tmp_path / "mine", kind=kind), seed=0)
    assert loaded.class_names == ("bird", "cat")  # by name, whatever the order on disk
    assert (loaded.name, loaded.input_shape) == ("mine", (3, 4, 5))
    values = {}
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_val, loaded.y_val), (loaded.x_test, loaded.y_test)):
        values |= {int(np.rint(row.max() * 255)): int(label) for row, label in zip(x, y, strict=True)}
    assert values == {**dict.fromkeys(range(5), 1), **dict.fromkeys(range(10, 15), 0)}


def test_train_and_test_below_it_are_a_split_and_no_classes(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / "test", each=2, names=("cat",))
    loaded = data.load(tmp_path, seed=0)
    assert loaded.class_names == ("bird", "cat")
    assert loaded.y_test.tolist() == [1, 1]
    classes(tmp_path / "test", each=1, names=("dog",))
    with pytest.raises(InvalidFileError, match=r"class 'dog' of .*test is not in .*train"):
        data.load(tmp_path, seed=0)


def test_frames_and_grey_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for j, name in enumerate("ab"):
        (tmp_path / "events" / name).mkdir(parents=True)
        (tmp_path / "grey" / name).mkdir(parents=True)
        for k in range(4):
            np.save(
                tmp_path / f"events/{name}/{k}.npy", np.random.default_rng(k).integers(0, 2, (6, 2, 4, 4), np.uint8)
            )
            image.fromarray(np.full((4, 5), 100 * j + k, np.uint8)).save(tmp_path / f"grey/{name}/{k}.PNG")
    frames = data.load(tmp_path / "events", seed=0)
    assert (frames.x_train.shape[1:], frames.input_kind) == ((6, 2, 4, 4), "spikes")
    assert set(np.unique(frames.x_train)) == {0, 1}
    assert data.load(tmp_path / "grey", seed=0).input_shape == (1, 4, 5)


def _wide(path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("1", (5000, 1)).save(path)


def _sixteen_bits(path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.zeros((4, 5), np.uint16)).save(path)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        (
            "9.npy",
            lambda p: np.save(p, np.zeros((3, 4, 6), np.uint8)),
            r"uint8 \(3, 4, 6\), expected uint8 \(3, 4, 5\)",
        ),
        ("9.npy", lambda p: np.save(p, np.zeros((3, 4, 5), complex)), "complex128, expected bytes or floats"),
        ("9.npy", lambda p: np.save(p, np.array([{}], object), allow_pickle=True), "object, expected"),
        ("9.npy", lambda p: np.save(p, np.zeros(5, np.uint8)), r"shape \(5,\)"),
        ("9.npy", lambda p: p.write_bytes(b"nothing"), "cannot be read"),
        ("9.npy", lambda p: p.write_bytes(b""), "cannot be read"),
        ("9.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\nnothing"), "cannot be read"),
        ("9.png", _wide, r"\(5000, 1\) pixels"),
        ("9.png", _sixteen_bits, "mode I;16, expected 8 bits"),
    ],
)
def test_broken_samples_are_named(tmp_path: Path, name: str, write, words: str) -> None:
    classes(tmp_path)
    write(tmp_path / "cat" / name)
    with pytest.raises(InvalidFileError, match=words) as caught:
        data.load(tmp_path, seed=0)
    assert str(tmp_path / "cat" / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_photographs_of_cameras(tmp_path: Path, suffix: str) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(4):
            image.new("RGB", (5, 4), (40 * k, 0, 200)).save(tmp_path / name / f"{k}{suffix}", format="JPEG")
    found = data.load(tmp_path, seed=0)
    assert found.input_shape == (3, 4, 5)
    assert found.summary.startswith(f"{tmp_path.name}: 8 samples of 3 x 4 x 5, 2 classes, analogue; ")


def test_a_gif_is_no_png(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    classes(tmp_path)
    image.new("L", (4, 5)).save(tmp_path / "cat/9.png", format="GIF")
    with pytest.raises(InvalidFileError, match="UnidentifiedImageError"):
        data.load(tmp_path, seed=0)


def test_floats_out_of_range_and_rare_classes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(3):
            np.save(tmp_path / name / f"{k}.npy", np.full((1, 4, 4), k, np.float32))
    with pytest.raises(InvalidFileError, match=r"lies in \[0, 2\]"):
        data.load(tmp_path, seed=0)
    classes(tmp_path / "few", each=2)
    with pytest.raises(
        InvalidFileError,
        match=r"class 'bird' of .* has 2 samples, expected at least 3 \(one for each split\); add samples$",
    ):
        data.load(tmp_path / "few", seed=0)


def test_folders_that_hold_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").touch()
    with pytest.raises(
        InvalidFileError, match=r"holds 0 folders, 1 \.bmp files; expected train\.npz and test\.npz \(and val"
    ):
        data.load(tmp_path, seed=0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x.gif").touch()
    with pytest.raises(
        InvalidFileError, match=r"class 'a': .*/a holds no samples \(.*\.png, .*\); add some or remove the folder"
    ):
        data.load(tmp_path, seed=0)
    with pytest.raises(UsageError, match=r"path of a \.npz file or a folder"):
        data.load("x" * 5000, seed=0)


def test_without_pillow_a_png_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path, kind="png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnsupportedError, match=r"needs Pillow; install snnas with the extra \[search\]"):
        data.load(tmp_path, seed=0)
