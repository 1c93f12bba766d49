import contextlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.seeds import stream, torch_seed


def write(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def good(samples: int = 40, classes: int = 4, dtype: type = np.uint8) -> dict:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (samples, 2, 5, 6)).astype(np.uint8)
    return {"x": x if dtype is np.uint8 else (x / 255).astype(dtype), "y": np.arange(samples) % classes}


def test_digits() -> None:
    digits = data.load("digits", seed=0)
    assert (len(digits.y_train), len(digits.y_val), len(digits.y_test)) == (1293, 144, 360)
    assert digits.x_train.shape == (1293, 1, 8, 8)
    assert digits.input_shape == (1, 8, 8)
    assert (digits.classes, digits.input_kind, digits.range) == (10, "analogue", (0.0, 1.0))
    assert digits.x_train.dtype == np.float32
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 1)
    assert digits.y_test.dtype == np.int64
    # Stratified: every class has its share, to within one sample.
    assert np.ptp(np.bincount(digits.y_test)) <= 2
    assert np.bincount(digits.y_val).min() >= 13


def test_splits_are_disjoint_and_complete(tmp_path: Path) -> None:
    x = np.arange(90, dtype=np.uint8).reshape(90, 1, 1, 1)
    loaded = data.load(write(tmp_path / "all.npz", x=x, y=np.arange(90) % 3), seed=1)
    parts = [np.rint(part * 255).astype(int).ravel() for part in (loaded.x_train, loaded.x_val, loaded.x_test)]
    assert sorted(np.concatenate(parts)) == list(range(90))
    assert [len(part) for part in parts] == [64, 8, 18]
    assert np.array_equal(parts[2] % 3, loaded.y_test)


def test_the_seed_decides_the_split() -> None:
    one, two, other = (data.load("digits", seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.x_test, two.x_test)
    assert not np.array_equal(one.x_test, other.x_test)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_npz(tmp_path: Path, dtype: type) -> None:
    loaded = data.load(write(tmp_path / "mine.npz", **good(dtype=dtype)), seed=0)
    assert (loaded.name, loaded.classes, loaded.input_shape) == ("mine", 4, (2, 5, 6))
    assert loaded.x_train.dtype == np.float32
    assert 0.5 < loaded.x_train.max() <= 1
    for split in (loaded.y_train, loaded.y_val, loaded.y_test):
        assert set(split) == {0, 1, 2, 3}


@pytest.mark.parametrize(("values", "kind"), [(2, "spikes"), (3, "analogue")])
def test_frames(tmp_path: Path, values: int, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, values, (30, 4, 2, 5, 5)).astype(np.float32) / max(values - 1, 1)
    loaded = data.load(write(tmp_path / "frames.npz", x=x, y=np.arange(30) % 2), seed=0)
    assert loaded.x_train.shape[1:] == (4, 2, 5, 5)
    assert (loaded.input_kind, loaded.input_shape) == (kind, (2, 5, 5))


@pytest.mark.parametrize(("shape", "kind"), [((30, 4, 2, 5, 5), "spikes"), ((30, 2, 5, 5), "analogue")])
def test_bytes_of_nothing_but_0_and_1_are_taken_as_they_are(tmp_path: Path, shape: tuple, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    loaded = data.load(write(tmp_path / "binary.npz", x=x, y=np.arange(30) % 2), seed=0)
    assert set(np.unique(loaded.x_train)) == {0.0, 1.0}
    assert (loaded.input_kind, loaded.x_train.dtype) == (kind, np.float32)
    x[0, 0] = 2
    levels = data.load(write(tmp_path / "levels.npz", x=x, y=np.arange(30) % 2), seed=0)
    assert levels.input_kind == "analogue"
    assert max(part.max() for part in (levels.x_train, levels.x_val, levels.x_test)) == np.float32(2 / 255)


def test_the_digest_is_that_of_the_arrays(tmp_path: Path) -> None:
    arrays = good()
    first = data.load(write(tmp_path / "a.npz", **arrays), seed=0)
    np.savez_compressed(tmp_path / "b.npz", x=np.asfortranarray(arrays["x"]), y=arrays["y"])
    assert (
        data.load(tmp_path / "b.npz", seed=5).digest == first.digest == data.digest(*data.read_npz(tmp_path / "a.npz"))
    )
    assert first.path == tmp_path / "a.npz"
    x, y = arrays["x"].astype(np.float32), arrays["y"]
    changed = x.copy()
    changed[-1, -1, -1, -1] += 1
    others = [(x, y), (changed, y), (x, y[::-1]), (x.reshape(40, 2, 6, 5), y), (x.astype(np.float64), y)]
    assert len({data.digest(*pair) for pair in others}) == len(others)
    digits = data.load("digits", seed=0)
    assert digits.path is None
    # Runs are bound to it: it may not change.
    assert digits.digest.startswith("2351c2e5a5337272")


def test_compressed_and_fortran_files_read_alike(tmp_path: Path) -> None:
    arrays = good()
    np.savez_compressed(tmp_path / "c.npz", x=np.asfortranarray(arrays["x"]), y=arrays["y"])
    x, y = data.read_npz(tmp_path / "c.npz")
    assert np.array_equal(x, arrays["x"].astype(np.float32) / 255)
    assert np.array_equal(y, arrays["y"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": None}, "array 'x' is missing"),
        ({"y": None}, "array 'y' is missing"),
        ({"x": np.zeros((40, 5, 6), np.uint8)}, "shape (40, 5, 6), expected (N, C, H, W)"),
        ({"x": np.zeros((0, 2, 5, 6), np.uint8)}, "none empty"),
        ({"x": np.zeros((40, 5, 6), np.uint8)}, "store x[:, None]"),
        ({"x": np.zeros((40, 30), np.uint8)}, "x.reshape(-1, 1, H, W)"),
        ({"x": np.full((40, 2, 5, 6), 256)}, "int64 in 256 .. 256, expected 0 .. 255"),
        ({"x": np.zeros((40, 2, 5, 6), complex)}, "complex128, expected bytes or floats"),
        ({"x": np.zeros((40, 32, 32, 3), np.uint8)}, "looks like N, H, W, C; expected channels before"),
        ({"x": np.zeros((40, 12, 20, 1), np.uint8)}, "looks like N, H, W, C; expected channels before"),
        ({"x": np.zeros((40, 8, 9, 2), np.uint8)}, "use x.transpose(0, 3, 1, 2)"),
        ({"x": np.zeros((40, 28, 28, 1), np.uint8)}, "use x.transpose(0, 3, 1, 2)"),
        ({"x": np.zeros((40, 5, 12, 12, 2), np.uint8)}, "use x.transpose(0, 1, 4, 2, 3)"),
        (
            {"x": np.where(np.arange(2400).reshape(40, 2, 5, 6) == 435, np.nan, 0.5)},
            "1 value is NaN, first in sample 7",
        ),
        ({"x": np.full((40, 2, 5, 6), 2, np.float32)}, "[2, 2], expected [0, 1]"),
        ({"x": np.full((40, 2, 5, 6), np.nan, np.float32)}, "2400 values are NaN, first in sample 0"),
        ({"x": np.full((40, 2, 5, 6), np.inf, np.float32)}, "2400 values are infinite"),
        ({"y": np.zeros(39, np.int64)}, "shape (39,), expected (40,)"),
        ({"y": np.zeros(40, np.int64)}, "at least two classes"),
        ({"y": np.arange(40) % 4 - 1}, "-1 .. 2"),
        ({"y": np.arange(40) * 10**12}, "number the classes"),
        ({"y": np.arange(40) % 2 * 2}, "class 1 of"),
        ({"y": np.arange(40) % 2 * 2}, "number the classes 0, 1, 2, ..."),
        ({"y": np.arange(40) % 2 + 1}, "store y - 1"),
        ({"y": np.zeros(40, np.float32)}, "float32, expected whole numbers; convert it with .astype('int64')"),
        ({"x": np.zeros((40, 2, 5, 6), np.complex64)}, "expected bytes or floats; convert it with .astype('float32')"),
        ({"y": np.array(["cat"] * 40)}, "numpy.unique(y, return_inverse=True)[1]"),
        ({"y": np.eye(4, dtype=np.int64)[np.arange(40) % 4]}, "y.argmax(1)"),
        ({"y": np.ones((40, 2), np.int64)}, "every row says one label over and over: store y[:, 0]"),
        ({"y": np.arange(80).reshape(40, 2) % 4}, "labels per timestep are not supported"),
        ({"y": np.arange(80).reshape(40, 2) % 3 % 2}, "multi-label, which is not supported"),
        ({"x": np.full((40, 2, 5, 6), 1.0000001, np.float32)}, "[1.0000001, 1.0000001], expected [0, 1]; clip it"),
        ({"x": np.zeros((40, 2, 16, 6, 6), np.uint8)}, "looks like N, C, T, H, W; if so, give --data layout=NCTHW"),
        ({"y": np.array([object()] * 40)}, "object, expected whole numbers"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, changes: dict, words: str) -> None:
    arrays = {key: value for key, value in {**good(), **changes}.items() if value is not None}
    path = tmp_path / "bad.npz"
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(InvalidFileError) as caught:
        data.load(path, seed=0)
    assert caught.value.exit_code == 3
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        *({"y": (np.arange(40) % 2).astype(kind)} for kind in ("int8", "int32", "uint16", "uint64")),
        {"x": good()["x"].astype(np.int32)},
        {"x": good()["x"].astype(np.uint16)},
        {"x": (np.arange(40) % 2 == 0)[:, None, None, None] & np.ones((1, 2, 5, 6), bool)},
        {"x": np.full((40, 2, 5, 6), 0.25)},
        {"x": np.zeros((40, 8, 100, 1), np.uint8)},
        {"x": (good()["x"] / 256).astype(">f4"), "y": (np.arange(40) % 2).astype(">i8")},
        {"x": good()["x"].astype(">u2")},
        {"y": np.arange(40)[:, None] % 2},
    ],
)
def test_what_can_be_told_exactly_is_taken(tmp_path: Path, changes: dict) -> None:
    arrays = {**good(), **changes}
    found = data.load(write(tmp_path / "a.npz", **arrays), seed=0)
    x = np.asarray(arrays["x"], np.float32)
    plain = data.load(
        write(tmp_path / "b.npz", x=x / 255 if x.max() > 1 else x, y=arrays["y"].astype(np.int64).ravel()), seed=0
    )
    assert found.digest == plain.digest
    assert found.y_train.dtype == np.int64


def _npy(shape: str, payload: bytes = b"", descr: str = "|u1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + payload


@pytest.mark.parametrize(
    "x",
    [
        _npy("(100000, 1000, 1000, 1000)"),
        _npy("(40, 2, 5, 7)", bytes(40 * 2 * 5 * 6)),
        _npy("(-40, 2, 5, 6)"),
        _npy("(40.0, 2, 5, 6)"),
        _npy("'x'"),
        _npy("(40,", bytes(5)),
        b"\x93NUMPY\x03\x00\x00\x00",
        b"nothing",
        b"",
    ],
)
def test_lying_headers_cost_nothing(tmp_path: Path, x: bytes) -> None:
    y = io.BytesIO()
    np.save(y, good()["y"])
    path = tmp_path / "lie.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", y.getvalue())
    with pytest.raises(InvalidFileError, match=r"lie\.npz"):
        data.load(path, seed=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 5000))
def test_mutated_files_load_or_are_refused(tmp_path: Path, changes: list, cut: int) -> None:
    content = bytearray(write(tmp_path / "whole.npz", **good()).read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / "mutated.npz"
    path.write_bytes(content[: len(content) - (cut if cut % 3 == 0 else 0)])
    # Either it loads, or it is refused by name; anything else fails the test.
    with contextlib.suppress(InvalidFileError):
        assert data.load(path, seed=0).x_train.max() <= 1


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="does not exist"):
        data.load(tmp_path / "none.npz", seed=0)
    with pytest.raises(
        UsageError,
        match=r"'digit', expected digits, mnist, .* path of a \.npz file, .* a folder; did you mean 'digits'",
    ):
        data.load("digit", seed=0)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InvalidFileError, match="cannot be read"):
        data.load(tmp_path / "folder.npz", seed=0)


def test_options_of_events_are_for_events(tmp_path: Path) -> None:
    for name in ("digits", "mnist", write(tmp_path / "a.npz", **good())):
        with pytest.raises(UsageError, match=r"--data frames= is for event data \(nmnist, .* holds none"):
            data.load(name, seed=0, frames=16)
    for option, value in (("split_by", "time"), ("downsample", 2), ("counts", True)):
        with pytest.raises(UsageError, match=f"--data {option}= is for event data"):
            data.load("digits", seed=0, **{option: value})


def test_train_limit() -> None:
    whole, some = (data.load("digits", seed=0, train_limit=limit) for limit in (None, 100))
    assert np.bincount(some.y_train).tolist() == [10] * 10
    assert np.array_equal(some.x_val, whole.x_val)
    assert np.array_equal(some.x_test, whole.x_test)
    assert {row.tobytes() for row in some.x_train} < {row.tobytes() for row in whole.x_train}
    assert (some.digest, some.options) == (whole.digest, {"train_limit": 100})
    for limit in (9, 1294, 0, -5):
        with pytest.raises(UsageError, match=rf"--data train_limit={limit}: expected 10 .* to 1293"):
            data.load("digits", seed=0, train_limit=limit)


REAL = Path(os.environ.get("SNNAS_DATA") or "no such folder")


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="SNNAS_DATA names no folder with mnist")
def test_the_real_mnist() -> None:
    mnist = data.load("mnist", seed=0, data_dir=REAL, compact=True)
    assert [len(y) for y in (mnist.y_train, mnist.y_val, mnist.y_test)] == [55200, 4800, 10000]
    assert np.bincount(mnist.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # 0.1307 is the mean that everybody normalises the training images by.
    total = mnist.x_train.sum(dtype=np.int64) + mnist.x_val.sum(dtype=np.int64)
    assert round(total / (60000 * 28 * 28 * 255), 4) == 0.1307


@pytest.mark.skipif(not (REAL / "nmnist_subset").is_dir(), reason="SNNAS_DATA names no folder with nmnist_subset")
def test_real_event_recordings(tmp_path: Path) -> None:
    (tmp_path / "nmnist").symlink_to((REAL / "nmnist_subset").absolute())
    for options in ({}, {"split_by": "time", "downsample": 2, "counts": True}):
        loaded = data.load("nmnist", seed=0, data_dir=tmp_path, **options)
        assert [len(y) for y in (loaded.y_train, loaded.y_val, loaded.y_test)] == [920, 80, 100]
    # No event is lost: the file is 22,594,135 bytes of events of 5; a few pixels saturate where counts are kept.
    counted = data.load("nmnist", seed=0, data_dir=tmp_path, counts=True, frames=1, compact=True)
    total = sum(int(x.sum(dtype=np.int64)) for x in (counted.x_train, counted.x_val, counted.x_test))
    assert 0 <= 22_594_135 // 5 - total < 1000


def test_streams_are_named_and_stable() -> None:
    # Recorded runs must be drawn again as they were: these numbers may not change.
    assert stream(0, "split").integers(0, 1000, 3).tolist() == [200, 962, 779]
    assert torch_seed(0, "init") == 8040243951762804729
    draws = {(s, n): stream(s, n).integers(0, 2**62) for s in (0, 1) for n in ("split", "shuffle", "")}
    assert len(set(draws.values())) == 6
    assert 0 <= torch_seed(7, "x") < 2**63
