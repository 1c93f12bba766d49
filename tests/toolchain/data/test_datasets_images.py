import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets import catalogue
from tests import official_files
from tests.official_files import expect, idx


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    expect(monkeypatch, "mnist", train=40, test=20)
    return official_files.mnist(tmp_path / "mnist")


def test_mnist(tmp_path: Path, small_mnist: dict[str, np.ndarray]) -> None:
    loaded = data.load("mnist", seed=0, data_dir=tmp_path)
    assert loaded.input_shape == (1, 28, 28)
    assert (loaded.input_kind, loaded.classes, loaded.class_names[7]) == ("analogue", 10, "7")
    # The official test split, in its order; 8 % of the rest, but one of each class.
    expected = small_mnist["t10k-images-idx3-ubyte"].astype(np.float32) / np.float32(255)
    assert np.array_equal(loaded.x_test[:, 0], expected)
    assert loaded.y_test.tolist() == [k % 10 for k in range(20)]
    assert (len(loaded.y_train), len(loaded.y_val)) == (30, 10)
    pixels = np.concatenate([loaded.x_train, loaded.x_val])[:, 0]
    found = {row.tobytes() for row in np.rint(pixels * 255).astype(np.uint8)}
    assert found == {row.tobytes() for row in small_mnist["train-images-idx3-ubyte"]}
    assert loaded.options == {"data_dir": str(tmp_path)}
    again = data.load("mnist", seed=0, **loaded.options)
    assert (again.digest, again.path) == (loaded.digest, None)


def test_compact_is_the_same_in_bytes(tmp_path: Path, small_mnist: dict[str, np.ndarray]) -> None:
    full = data.load("mnist", seed=3, data_dir=tmp_path)
    compact = data.load("mnist", seed=3, data_dir=tmp_path, compact=True)
    assert (compact.x_train.dtype, full.x_train.dtype) == (np.uint8, np.float32)
    assert np.array_equal(compact.batch(compact.x_train), full.x_train)
    assert full.batch(full.x_val) is full.x_val
    assert compact.digest == full.digest


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_where_the_files_may_lie(
    tmp_path: Path, place: str, packed: bool, monkeypatch: pytest.MonkeyPatch, small_mnist: dict[str, np.ndarray]
) -> None:
    wanted = data.load("mnist", seed=0, data_dir=tmp_path).digest
    official_files.mnist(tmp_path / "other" / place, packed=packed)
    monkeypatch.setenv("SNNAS_DATA", str(tmp_path / "other"))
    loaded = data.load("mnist", seed=0)
    assert loaded.digest == wanted
    assert loaded.options == {}


def test_without_the_variable_it_is_the_folder_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_mnist: dict[str, np.ndarray]
) -> None:
    (tmp_path / "mnist").rename(tmp_path / "data")
    monkeypatch.delenv("SNNAS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert data.load("mnist", seed=0).classes == 10


def test_a_missing_file_says_what_where_and_whence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidFileError) as caught:
        data.load("mnist", seed=0, data_dir=tmp_path)
    assert str(caught.value) == (
        f"data set mnist: train-images-idx3-ubyte.gz (9912422 bytes, md5 f68b3c2dcbeaaa9fbdd348bbdeb94873) is not in "
        f"{tmp_path / 'mnist'}; say where it is with SNNAS_DATA or --data data_dir=DIR, "
        f"get it with: snnas data fetch mnist, or put it there by hand from "
        f"https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz"
    )
    official_files.mnist(tmp_path / "mnist")
    (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    expect(monkeypatch, "mnist", train=40, test=20)
    with pytest.raises(InvalidFileError, match=r"t10k-labels-idx1-ubyte\.gz \(size not known\) is not in"):
        data.load("mnist", seed=0, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(np.zeros((40, 28, 28)), magic=b"\0\0\x0d"), "starts with 00000d03"),
        (idx(np.zeros((40, 28, 28)), shape=(2**31, 28, 28)), "expected 0000080300000028"),
        (idx(np.zeros((40, 28, 27)), shape=(40, 28, 28)), "holds 30256 bytes, expected 31376"),
        (idx(np.zeros((41, 28, 28)), shape=(40, 28, 28)), "holds more bytes"),
        (b"", "holds 0 bytes"),
        (b"<html>not found</html>", "holds 22 bytes"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_broken_idx(
    tmp_path: Path, small_mnist: dict[str, np.ndarray], content: bytes, words: str, packed: bool
) -> None:
    path = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InvalidFileError, match=words) as caught:
        data.load("mnist", seed=0, data_dir=tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_costs_no_more_than_the_image_file(tmp_path: Path, small_mnist: dict[str, np.ndarray]) -> None:
    path = tmp_path / "mnist/train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(InvalidFileError, match="holds more bytes, expected 48"):
        data.load("mnist", seed=0, data_dir=tmp_path)


def test_labels_out_of_range(tmp_path: Path, small_mnist: dict[str, np.ndarray]) -> None:
    labels = small_mnist["train-labels-idx1-ubyte"].copy()
    labels[3] = 10
    (tmp_path / "mnist/train-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    with pytest.raises(InvalidFileError, match=r"labels .* lie in 0 \.\. 10"):
        data.load("mnist", seed=0, data_dir=tmp_path)


def test_the_checksum_is_that_of_the_content(
    tmp_path: Path, small_mnist: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    official = catalogue.SETS["mnist"]
    content = idx(small_mnist["train-images-idx3-ubyte"])
    images = replace(official.files[0], content_md5=hashlib.md5(content).hexdigest(), md5="0" * 32, size=7)
    monkeypatch.setitem(catalogue.SETS, "mnist", replace(official, files=(images, *official.files[1:])))
    path = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    for level in (1, 9):  # the gzip around it may be anybody's
        path.write_bytes(gzip.compress(content, level))
        data.load("mnist", seed=0, data_dir=tmp_path)
    path.write_bytes(gzip.compress(content[:-1] + bytes([content[-1] ^ 1])))
    with pytest.raises(InvalidFileError, match="unpacks to other content"):
        data.load("mnist", seed=0, data_dir=tmp_path)


@pytest.mark.parametrize(("name", "batch", "train", "test"), [("cifar10", 20, 100, 20), ("cifar100", 200, 200, 200)])
@pytest.mark.parametrize("layout", ["tar", "unpacked", "flat"])
def test_cifar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, batch: int, train: int, test: int, layout: str
) -> None:
    official = expect(monkeypatch, name, train=train, test=test)
    members = official_files.cifar(name, batch)
    (tmp_path / name).mkdir()
    if layout == "tar":
        official_files.tar(tmp_path / name / official.files[0].name, dict(reversed(members.items())))
    for member, content in members.items() if layout != "tar" else ():
        path = tmp_path / name / (member if layout == "unpacked" else Path(member).name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    loaded = data.load(name, seed=0, data_dir=tmp_path, compact=True)
    assert loaded.input_shape == (3, 32, 32)
    last = np.frombuffer(list(members.values())[-1], np.uint8).reshape(batch, -1)
    assert np.array_equal(loaded.x_test.reshape(batch, 3072), last[:, -3072:])
    assert loaded.y_test.tolist() == [k % official.classes for k in range(batch)]  # the fine label of CIFAR-100
    assert len(loaded.y_train) + len(loaded.y_val) == train


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda m: m.update({"cifar-10-batches-bin/data_batch_3.bin": bytes(5)}), r"data_batch_3\.bin has 5 bytes"),
        (lambda m: m.pop("cifar-10-batches-bin/test_batch.bin"), r"test_batch\.bin is missing"),
        (lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": bytes(3073 * 21)}), "expected at most"),
        (
            lambda m: m.update({"cifar-10-batches-bin/test_batch.bin": b"\xff" + bytes(3073 * 20 - 1)}),
            r"lie in 0 \.\. 255",
        ),
    ],
)
def test_broken_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, break_it, words: str) -> None:
    expect(monkeypatch, "cifar10", train=100, test=20)
    members = official_files.cifar()
    break_it(members)
    official_files.tar(tmp_path / "cifar-10-binary.tar.gz", members)
    with pytest.raises(InvalidFileError, match=words) as caught:
        data.load("cifar10", seed=0, data_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_the_pickled_version_of_cifar_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"anything")
    with pytest.raises(InvalidFileError, match=r"cifar-10-binary\.tar\.gz \(170052171 bytes"):
        data.load("cifar10", seed=0, data_dir=tmp_path)
