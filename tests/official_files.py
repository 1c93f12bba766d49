"""Small files in the official formats of the data sets, and a catalogue that expects them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.toolchain.data.datasets import catalogue
from snnas.toolchain.data.datasets.catalogue import Official


def expect(monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> Official:
    """Lets the catalogue expect other counts of a set; sizes and checksums are those of the real files: forgotten."""
    official = catalogue.SETS[name]
    files = tuple(replace(file, size=None, md5=None, content_md5=None) for file in official.files)
    official = replace(official, **{"files": files, **changes})
    monkeypatch.setitem(catalogue.SETS, name, official)
    return official


def idx(array: np.ndarray, *, magic: bytes = b"\0\0\x08", shape: tuple[int, ...] | None = None) -> bytes:
    shape = array.shape if shape is None else shape
    return magic + struct.pack(f">B{len(shape)}I", len(shape), *shape) + array.astype(np.uint8).tobytes()


def mnist(folder: Path, train: int = 40, test: int = 20, *, packed: bool = True) -> dict[str, np.ndarray]:
    """The four files; sample i has label i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    for name, array in arrays.items():
        data = idx(array)
        (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return arrays


def tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def written(folder: Path, members: Mapping[str, bytes]) -> Path:
    """The members as files below ``folder``, as if an archive had been unpacked there."""
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def cifar(name: str = "cifar10", batch: int = 20) -> dict[str, bytes]:
    """Members of the archive: {name: records}; record i has (fine) label i % classes."""
    rng = np.random.default_rng(1)
    members = {}
    if name == "cifar10":
        names, classes, folder = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"], 10, "cifar-10-batches-bin"
    else:
        names, classes, folder = ["train", "test"], 100, "cifar-100-binary"
    for k in names:
        fine = (np.arange(batch) % classes).astype(np.uint8)[:, None]
        labels = fine if name == "cifar10" else np.hstack([fine // 5, fine])
        pixels = rng.integers(0, 256, (batch, 3072)).astype(np.uint8)
        members[f"{folder}/{k}.bin"] = np.hstack([labels, pixels]).tobytes()
    return members


def draw_events(seed: int, count: int, side: int) -> np.ndarray:
    """Rows (x, y, p, t), t rising from 100."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, side, (count, 2))
    t = 100 + np.cumsum(rng.integers(1, 50, count))
    return np.column_stack([place, rng.integers(0, 2, count), t])


def nmnist_bin(events: np.ndarray) -> bytes:
    x, y, p, t = events.T
    rows = np.column_stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
    return rows.astype(np.uint8).tobytes()


def nmnist_members(split: str, classes: int = 10, each: int = 3) -> dict[str, bytes]:
    return {
        f"{split}/{label}/{k * classes + label:05d}.bin": nmnist_bin(draw_events(k * classes + label, 60, 34))
        for label in range(classes)
        for k in range(each)
    }


def aedat2(events: np.ndarray) -> bytes:
    """As CIFAR10-DVS stores it: the picture lies on its side there."""
    x, y, p, t = events.T
    address = (127 - x) << 8 | (127 - y) << 1 | (1 - p)
    header = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# Data format is int32 address, int32 timestamp\r\n"
    return header + np.column_stack([address, t]).astype(">u4").tobytes()


def aedat3(events: np.ndarray, *, packet: int = 50, spare: int = 3) -> bytes:
    """Packets of polarity events with unused capacity, and one of another type between them."""
    data = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    for start in range(0, len(events), packet):
        x, y, p, t = events[start : start + packet].T
        rows = np.column_stack([x << 17 | y << 2 | p << 1 | 1, t & (2**31 - 1)]).astype("<u4").tobytes()
        header = struct.pack("<HHIIIIII", 1, 1, 8, 4, int(t[0]) >> 31, len(x) + spare, len(x), len(x))
        data += header + rows + bytes(8 * spare)
        data += struct.pack("<HHIIIIII", 0, 1, 12, 4, 0, 1, 1, 1) + bytes(12)
    return data


def gesture_members(users: int = 4, classes: int = 11) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Members of DvsGesture.tar.gz, the last user of which tests; and the events of each recording."""
    members, recordings, names = {}, {}, []
    for user in range(users):
        name = f"user{user:02d}_led"
        names.append(f"{name}.aedat\n")
        events = draw_events(user, 40 * classes, 128)
        recordings[name] = events
        times = [*events[::40, 3].tolist(), int(events[-1, 3]) + 1]
        rows = [f"{k + 1},{times[k]},{times[k + 1]}\n" for k in range(classes)]
        members[f"DvsGesture/{name}.aedat"] = aedat3(events)
        members[f"DvsGesture/{name}_labels.csv"] = ("class,startTime_usec,endTime_usec\n" + "".join(rows)).encode()
    members["DvsGesture/trials_to_train.txt"] = "".join(names[:-1]).encode()
    members["DvsGesture/trials_to_test.txt"] = names[-1].encode()
    return members, recordings


def shd(
    path: Path, count: int, *, units_below: int = 700, labels_below: int = 20, more_times: int = 0
) -> list[np.ndarray]:
    """An .h5 in the form of shd_train.h5; returns the units of each row."""
    import h5py

    rng = np.random.default_rng(count)
    units = [rng.integers(0, units_below, 30 + k % 5).astype(np.uint16) for k in range(count)]
    with h5py.File(path, "w") as f:
        for name, base, rows in (
            ("times", np.float16, [np.sort(rng.random(len(u) + more_times)).astype(np.float16) for u in units]),
            ("units", np.uint16, units),
        ):
            item = f.create_dataset(f"spikes/{name}", (count,), dtype=h5py.vlen_dtype(base))
            for k, row in enumerate(rows):
                item[k] = row
        f["labels"] = (np.arange(count) % labels_below).astype(np.uint16)
        f["extra/speaker"] = np.zeros(count, np.uint16)
        f.create_dataset("extra/keys", data=[b"zero", b"one"])
    return units


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _mat(x: np.ndarray, y: np.ndarray, p: np.ndarray, t: np.ndarray) -> bytes:
    """As ASL-DVS: columns, rows counted from below."""
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, {key: v[:, None] for key, v in {"x": x, "y": 179 - y, "pol": p, "ts": t}.items()})
    return file.getvalue()


def _dvs_lip(x: np.ndarray, y: np.ndarray, p: np.ndarray, t: np.ndarray) -> bytes:
    return _npy(np.array([*zip(t, x, y, p, strict=True)], [("t", "<i4"), ("x", "<i2"), ("y", "<i2"), ("p", "?")]))


# Of the sets of tonic that are a file for each recording: its path, from part, class and number; the classes; and the
# content, from x, y, p and t (whole milliseconds).
OF_TONIC: dict[str, tuple[Callable[[str, str, int], str], tuple[str, ...], Callable[..., bytes]]] = {
    "POKERDVS": (
        lambda part, name, k: f"pips_{part}/{name}/{k}.npy",
        ("cl", "he", "di", "sp"),
        lambda x, y, p, t: _npy(np.column_stack([t, x, y, p])),
    ),
    "NCALTECH101": (
        lambda part, name, k: f"Caltech101/{name}/image_{k:04}.bin",
        ("airplanes", "yin_yang"),
        lambda x, y, p, t: nmnist_bin(np.column_stack([x, y, p, t])),
    ),
    "DVSGesture": (
        lambda part, name, k: f"ibmGesture{part.title()}/user{k:02}_led/{name}.npy",
        ("0", "1", "10"),
        lambda x, y, p, t: _npy(np.column_stack([x, y, p, t // 1000]).astype(float)),
    ),
    "DVSLip": (lambda part, name, k: f"DVS-Lip/{part}/{name}/{k}.npy", ("accused", "young"), _dvs_lip),
    "ASLDVS": (lambda part, name, k: f"Yin_{part}/{name}/{name}_{k:04}.mat", ("a", "y"), _mat),
}


def of_tonic(name: str, folder: Path, each: int = 4) -> dict[tuple[str, int], np.ndarray]:
    """Writes a set that tonic reads below ``folder``/NAME; its events (x, y, p, t) by class and number.

    Of each class ``each`` recordings of 40 events to train, and two to test.
    """
    path, classes, content = OF_TONIC[name]
    drawn = {}
    for label, kind in enumerate(classes):
        for k in range(each + 2):
            events = draw_events(100 * label + k, 40, 34)
            events[0, :2] = 0  # N-Caltech101 counts from the first column and row with an event
            events[:, 3] *= 1000
            drawn[kind, k] = events
            written(folder / name, {path("train" if k < each else "test", kind, k): content(*events.T)})
    return drawn
