"""MNIST and Fashion-MNIST (idx) and CIFAR (binary version): the official files as arrays of bytes."""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path, PurePosixPath

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import contents, gunzip
from snnas.toolchain.data.datasets.catalogue import Official
from snnas.toolchain.data.datasets.raw import Array, Raw


def read_images(official: Official, folder: Path) -> Raw:
    """One of mnist, fashion_mnist, cifar10 and cifar100; x uint8 (N, C, H, W), the official test split kept.

    folder: of the official files. Raises InvalidFileError for a file that is missing or not what it should be.
    """
    parts = _read_idx_set(official, folder) if official.sample[0] == 1 else _read_cifar(official, folder)
    x, y = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    counts = np.bincount(y, minlength=official.classes)
    if len(counts) > official.classes or not counts.all():
        raise InvalidFileError(
            f"the labels in {folder} lie in {y.min()} .. {y.max()} and leave {int((counts == 0).sum())} classes empty, "
            f"expected all of 0 .. {official.classes - 1}; the files are damaged, get them again from {official.page}"
        )
    test = np.arange(len(y)) >= official.train
    return Raw(x=x, y=y, test=test, unit=255, classes=official.classes, class_names=official.class_names)


def _read_idx_set(official: Official, folder: Path) -> list[tuple[Array, Array]]:
    _, height, width = official.sample
    parts = []
    for (images, labels), count in ((official.files[:2], official.train), (official.files[2:], official.test)):
        x = read_idx(find_idx(official, folder, images.name), (count, height, width), images.content_md5)
        y = read_idx(find_idx(official, folder, labels.name), (count,), labels.content_md5)
        parts.append((x[:, None], y.astype(np.int64)))
    return parts


def find_idx(official: Official, folder: Path, name: str) -> Path:
    """The file as it is published, unpacked, or with the dot that some unpackers write ('train-images.idx3-ubyte')."""
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, plain.replace("-idx", ".idx")):
        if (folder / candidate).is_file():
            return folder / candidate
    raise official.missing(name, folder)


def read_idx(path: Path, shape: tuple[int, ...], content_md5: str | None = None) -> Array:
    """The uint8 array in an idx file, plain or .gz, which must have ``shape``.

    The format: 0, 0, 8 (unsigned bytes), number of axes, each extent as a big-endian uint32, the bytes. content_md5:
    of the unpacked file; the .gz around it differs from copy to copy. Raises InvalidFileError.
    """
    data = gunzip(path, 4 + 4 * len(shape) + math.prod(shape))
    header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    if not data.startswith(header):
        raise InvalidFileError(
            f"{path} starts with {data[: len(header)].hex()}, expected {header.hex()}: idx, bytes, shape {shape}"
        )
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if content_md5 is not None and found != content_md5:
        raise InvalidFileError(
            f"{path} unpacks to other content (md5 {found}) than the official file (md5 {content_md5}); it is damaged "
            f"or of another data set, get it again"
        )
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _read_cifar(official: Official, folder: Path) -> list[tuple[Array, Array]]:
    """CIFAR-10: five batches and a test batch of 1 + 3072 bytes a record; CIFAR-100: 2 + 3072, coarse label first."""
    if official.name == "cifar10":
        names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
        inner, label_bytes = "cifar-10-batches-bin", 1
    else:
        names, inner, label_bytes = ["train.bin", "test.bin"], "cifar-100-binary", 2
    counts = [official.train // (len(names) - 1)] * (len(names) - 1) + [official.test]
    record = label_bytes + math.prod(official.sample)
    archive = folder / official.files[0].name
    where = next((place for place in (folder, folder / inner) if (place / names[0]).is_file()), archive)
    if not where.exists():
        raise official.missing(archive.name, folder)
    wanted = names if where.is_dir() else [f"{inner}/{name}" for name in names]
    found = {
        PurePosixPath(name).name: data
        for name, data in contents(where, lambda name: name in wanted, limit=record * max(counts))
    }
    parts = []
    for name, count in zip(names, counts, strict=True):
        if len(found.get(name, b"")) != count * record:
            held = f"has {len(found[name])} bytes" if name in found else "is missing"
            raise InvalidFileError(
                f"{name} {held} in {where}, expected {count * record} bytes ({count} records of {record}); get "
                f"{archive.name} ({official.files[0].described()}) again from {official.files[0].url}"
            )
        rows = np.frombuffer(found[name], np.uint8).reshape(count, record)
        parts.append(
            (rows[:, label_bytes:].reshape(count, *official.sample), rows[:, label_bytes - 1].astype(np.int64))
        )
    return parts
