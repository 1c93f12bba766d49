"""The official files of every data set: where they come from, what they hold, where they are looked for.

Sizes and checksums: MNIST and Fashion-MNIST, of the files as published and of what they unpack to; CIFAR, as on its
page; N-MNIST, SHD, DVS128 Gesture and CIFAR10-DVS, the MD5 that their public readers (tonic 1.7, SpikingJelly 2) check.
None where no such source is known: then the structure alone is checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean

ENVIRONMENT = "SNNAS_DATA"
GIB = 2**30
# What is brought in place of an .npz, and how one is made of it.
OTHER_FILES = {
    ".npy": "write numpy.savez(FILE, x=numpy.load(X), y=LABELS), or a folder per class with one .npy per sample",
    ".csv": "write numpy.savez(FILE, x=..., y=...), or of signals a folder per class with one .csv per sample",
    ".pt": "write numpy.savez(FILE, x=x.numpy(), y=y.numpy())",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialFile:
    """One file. url: of the file itself, '' where only a page with a licence leads to it. size: bytes, md5: hex.

    content_md5: of what it unpacks to. limit: bytes that a download may have where the size is not known.
    """

    name: str
    url: str = ""
    size: int | None = None
    md5: str | None = None
    content_md5: str | None = None
    limit: int = 2 * GIB

    def described(self) -> str:
        """'9912422 bytes, md5 f68b...': what is known of it."""
        known = [f"{self.size} bytes"] if self.size is not None else []
        return ", ".join([*known, f"md5 {self.md5}"] if self.md5 else known) or "size not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """One data set. train, test: samples (test 0: no official split). sample: (C, H, W).

    folders: names that its folder may have. marks: patterns of names of which one lies in its folder. events: of an
    event camera or cochlea, to be gathered into frames.
    """

    name: str
    page: str
    classes: int
    train: int
    test: int
    sample: tuple[int, int, int]
    files: tuple[OfficialFile, ...]
    marks: tuple[str, ...]
    folders: tuple[str, ...]
    events: bool = False
    class_names: tuple[str, ...] = ()

    def locate(self, data_dir: Path) -> Path:
        """The folder with its files: <data_dir>/<one of folders>, or data_dir itself. InvalidFileError if in none."""
        for folder in [*(data_dir / name for name in self.folders), data_dir]:
            if any(next(folder.glob(mark), None) is not None for mark in self.marks):
                return folder
        raise self.missing(self.files[0].name, data_dir / self.name)

    def missing(self, name: str, folder: Path) -> InvalidFileError:
        """The one line for a file that is not there: its size, its source, and the folder to put it in."""
        file = next((f for f in self.files if f.name == name), OfficialFile(name=name))
        fetch = f"get it with: snnas data fetch {self.name}, or " if file.url else ""
        return InvalidFileError(
            f"data set {self.name}: {name} ({file.described()}) is not in {folder}; say where it is with {ENVIRONMENT} "
            f"or --data data_dir=DIR, {fetch}put it there by hand from {file.url or self.page}"
        )


def data_folder(data_dir: str | Path | None) -> Path:
    """``data_dir``, else the folder in the environment variable SNNAS_DATA, else ./data."""
    return Path(data_dir or os.environ.get(ENVIRONMENT) or "data").absolute()


def _at(base: str, name: str, md5: str, size: int | None = None, content_md5: str | None = None) -> OfficialFile:
    """A file that lies under its own name at ``base``."""
    return OfficialFile(name=name, url=base + name, size=size, md5=md5, content_md5=content_md5)


def _idx(base: str, *rows: tuple[str, int, str, str]) -> tuple[OfficialFile, ...]:
    return tuple(_at(base, f"{stem}-ubyte.gz", md5, size, content) for stem, size, md5, content in rows)


_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
_DIGITS = tuple("0123456789")
_IDX_MARKS = ("train-images*idx3-ubyte*",)
_MNIST = _idx(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ("train-images-idx3", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    ("train-labels-idx1", 28881, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    ("t10k-images-idx3", 1648877, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    ("t10k-labels-idx1", 4542, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
_FASHION_MNIST = _idx(
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ("train-images-idx3", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    ("train-labels-idx1", 29515, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    ("t10k-images-idx3", 4422102, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    ("t10k-labels-idx1", 5148, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
)
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
# Mendeley's number of each archive of N-MNIST, and its MD5.
_NMNIST = (
    ("Train", "39c25547-014b-4137-a934-9d29fa53c7a0", "20959b8e626244a1b502305a9e6e2031"),
    ("Test", "05a4d654-7e03-4c15-bdfa-9bb2bcbea494", "69ca8762b2fe404d9b9bad1103e97832"),
)
# figshare's number of each archive of CIFAR10-DVS, and its MD5, in the order of the labels.
_CIFAR10_DVS = (
    (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    (7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    (7712818, "f379ebdf6703d16e0a690782e62639c3"),
    (7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    (7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
)

SETS: dict[str, Official] = {
    official.name: official
    for official in (
        Official(
            name="mnist",
            page="http://yann.lecun.com/exdb/mnist/",
            classes=10,
            train=60_000,
            test=10_000,
            sample=(1, 28, 28),
            files=_MNIST,
            marks=_IDX_MARKS,
            folders=("mnist", "MNIST", "MNIST/raw"),
            class_names=_DIGITS,
        ),
        Official(
            name="fashion_mnist",
            page="https://github.com/zalandoresearch/fashion-mnist",
            classes=10,
            train=60_000,
            test=10_000,
            sample=(1, 28, 28),
            files=_FASHION_MNIST,
            marks=_IDX_MARKS,
            folders=("fashion_mnist", "FashionMNIST", "FashionMNIST/raw", "fashion-mnist"),
            class_names=_CLOTHES,
        ),
        Official(
            name="cifar10",
            page=_CIFAR + "cifar.html",
            classes=10,
            train=50_000,
            test=10_000,
            sample=(3, 32, 32),
            files=(_at(_CIFAR, "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170052171),),
            marks=("cifar-10-binary.tar.gz", "data_batch_1.bin", "cifar-10-batches-bin/data_batch_1.bin"),
            folders=("cifar10", "CIFAR10", "cifar-10-batches-bin"),
            class_names=_OBJECTS,
        ),
        Official(
            name="cifar100",
            page=_CIFAR + "cifar.html",
            classes=100,
            train=50_000,
            test=10_000,
            sample=(3, 32, 32),
            files=(_at(_CIFAR, "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168513733),),
            marks=("cifar-100-binary.tar.gz", "train.bin", "cifar-100-binary/train.bin"),
            folders=("cifar100", "CIFAR100", "cifar-100-binary"),
        ),
        Official(
            name="nmnist",
            page="https://www.garrickorchard.com/datasets/n-mnist",
            classes=10,
            train=60_000,
            test=10_000,
            sample=(2, 34, 34),
            files=tuple(
                OfficialFile(name=f"{part}.zip", url=f"{_MENDELEY}{number}/file_downloaded", md5=md5)
                for part, number, md5 in _NMNIST
            ),
            marks=("[Tt]rain.zip", "[Tt]rain/0", "*nmnist*.zip"),
            folders=("nmnist", "NMNIST", "N-MNIST", "nmnist_subset"),
            events=True,
            class_names=_DIGITS,
        ),
        Official(
            name="dvs128_gesture",
            page="https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794",
            classes=11,
            train=1176,
            test=288,
            sample=(2, 128, 128),
            files=(OfficialFile(name="DvsGesture.tar.gz", md5="8a5c71fb11e24e5ca5b11866ca6c00a1"),),
            marks=("DvsGesture.tar.gz", "trials_to_train.txt", "DvsGesture/trials_to_train.txt"),
            folders=("dvs128_gesture", "DVS128Gesture", "DvsGesture"),
            events=True,
            class_names=_GESTURES,
        ),
        Official(
            name="cifar10_dvs",
            page="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
            classes=10,
            train=10_000,
            test=0,
            sample=(2, 128, 128),
            files=tuple(
                OfficialFile(name=f"{name}.zip", url=f"https://ndownloader.figshare.com/files/{number}", md5=md5)
                for name, (number, md5) in zip(_OBJECTS, _CIFAR10_DVS, strict=True)
            ),
            marks=("airplane.zip", "airplane/*.aedat"),
            folders=("cifar10_dvs", "CIFAR10DVS", "CIFAR10-DVS"),
            events=True,
            class_names=_OBJECTS,
        ),
        Official(
            name="shd",
            page="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/",
            classes=20,
            train=8156,
            test=2264,
            sample=(1, 1, 700),
            files=(
                _at("https://zenkelab.org/datasets/", "shd_train.h5.zip", "f3252aeb598ac776c1b526422d90eecb"),
                _at("https://zenkelab.org/datasets/", "shd_test.h5.zip", "1503a5064faa34311c398fb0a1ed0a6f"),
            ),
            marks=("shd_train.h5", "shd_train.h5.zip"),
            folders=("shd", "SHD"),
            events=True,
            class_names=tuple(f"{language} {digit}" for language in ("English", "German") for digit in range(10)),
        ),
    )
}


def unknown(name: str, names: Sequence[str]) -> UsageError:
    """What is said of a data set that is none of ``names`` and no file that is read."""
    suffix = Path(name).suffix
    if suffix in OTHER_FILES:
        return UsageError(
            f"{name[:80]}: a {suffix} is no data set, expected an .npz with x and y; {OTHER_FILES[suffix]}"
        )
    if "/" in name:
        return UsageError(f"{name[:200]}: no such folder, expected one, a .npz file or a .ts file")
    return UsageError(
        f"unknown data set {name[:80]!r}, expected {', '.join(names)}, tonic:NAME or the path of a .npz file, a "
        f".ts file or a folder{did_you_mean(name, names)}"
    )
