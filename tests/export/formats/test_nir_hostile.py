"""Files that nobody sane wrote: exit 3 or a valid read, in bounded time, never a crash or a hang."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnas.export.compiler.fold import fold
from snnas.export.formats import hdf5_guard
from snnas.export.formats.hdf5_guard import decode, read_hdf5
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.hw_sim.errors import InvalidFileError, SnnasError
from tests.networks import random_network


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    write_nir(path, fold(random_network("lightsnn", 5).layers()))
    return path.read_bytes()


def mutated(data: bytes, seed: int) -> bytes:
    """A few bytes changed, or a piece cut out, or the end cut off."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    kind = seed % 4
    if kind == 3:
        return bytes(out[: int(rng.integers(0, len(out)))])
    if kind == 2:
        start = int(rng.integers(0, len(out)))
        del out[start : start + int(rng.integers(1, 512))]
        return bytes(out)
    reach = len(out) if kind else min(len(out), 8192)  # the structure stands at the front
    for position in rng.integers(0, reach, size=int(rng.integers(1, 16))):
        out[position] = int(rng.integers(0, 256))
    return bytes(out)


@pytest.mark.parametrize("seed", range(48))
def test_mutated_files_are_refused_or_read(healthy: bytes, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    path.write_bytes(mutated(healthy, seed))
    refused = None
    try:
        read_nir(path)
    except SnnasError as error:
        refused = error
    assert refused is None or (refused.exit_code in (3, 4) and "\n" not in str(refused))


def _edit(healthy: bytes, tmp_path: Path) -> h5py.File:
    path = tmp_path / "m.nir"
    path.write_bytes(healthy)
    return h5py.File(path, "r+")


def _refused(tmp_path: Path, match: str) -> None:
    with pytest.raises(InvalidFileError, match=match):
        read_nir(tmp_path / "m.nir")


def test_nan_weights_are_found(healthy: bytes, tmp_path: Path) -> None:
    with _edit(healthy, tmp_path) as f:
        f["node/nodes/stem_conv/weight"][0, 0, 0, 0] = np.nan
    _refused(tmp_path, "stem_conv: weight holds NaN")


def test_soft_and_external_links_are_not_followed(healthy: bytes, tmp_path: Path) -> None:
    with _edit(healthy, tmp_path) as f:
        f["node/nodes/stem_conv/sneaky"] = h5py.ExternalLink("/etc/hostname", "/")
    _refused(tmp_path, "soft or external link")


def test_a_huge_declared_array_is_not_allocated(healthy: bytes, tmp_path: Path) -> None:
    with _edit(healthy, tmp_path) as f:
        f.create_dataset("node/bomb", shape=(1 << 40,), dtype="f8", chunks=(1 << 16,), compression="gzip")
    _refused(tmp_path, "declares 8796093022208 bytes")


def test_deep_nesting_is_refused(healthy: bytes, tmp_path: Path) -> None:
    with _edit(healthy, tmp_path) as f:
        group = f
        for _ in range(40):
            group = group.create_group("d")
    _refused(tmp_path, "nested over 32 deep")


def test_an_edge_to_nowhere_is_named(healthy: bytes, tmp_path: Path) -> None:
    with _edit(healthy, tmp_path) as f:
        f["node/edges"][0, 1] = "nobody"
    _refused(tmp_path, "no node nobody")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    _refused(tmp_path, "no such file")


def test_what_is_no_regular_file_is_named_as_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.nir")
    _refused(tmp_path, "a FIFO, expected a file")


def test_a_file_that_is_no_hdf5_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.nir").write_text("hello")
    _refused(tmp_path, "not a readable HDF5 file")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 8, b"\xff" * 64, (2).to_bytes(8, "little") + b"{}", (4).to_bytes(8, "little") + b"null"],
)
def test_a_child_that_lies_is_not_believed(answer: bytes) -> None:
    with pytest.raises(InvalidFileError):
        decode(answer, "x.nir")


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\n"


@pytest.mark.parametrize(
    ("does", "asleep", "said"),
    [
        (f"{LIMITED}while True: pass\n", 600.0, r"took over 1 s of CPU time; the file is damaged"),
        ("import time\ntime.sleep(600)\n", 0.5, "its reader sleeps; the file is damaged"),
    ],
)
def test_a_child_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, asleep: float, said: str
) -> None:
    (tmp_path / "slow.py").write_text(does)
    (tmp_path / "m.nir").write_bytes(b"x")
    monkeypatch.setattr(hdf5_guard, "CHILD", tmp_path / "slow.py")
    monkeypatch.setattr(hdf5_guard, "ASLEEP", asleep)
    with pytest.raises(InvalidFileError, match=said):
        read_hdf5(tmp_path / "m.nir", seconds=1.0)


@pytest.mark.parametrize(("size", "allowed"), [(999_999, "15"), (67_000_000, "82"), (900_000_000, "120")])
def test_a_large_file_has_more_cpu_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, allowed: str
) -> None:
    """Of honest layers there are as many as take room: 1,600, read where others had the cores, took over 15 s."""
    says = "import sys; text = sys.argv[3].join(('{\"error\": \"', '\"}'))\n"
    (tmp_path / "says.py").write_text(says + "print(len(text).to_bytes(8, 'little').decode() + text, end='')\n")
    with (tmp_path / "m.nir").open("wb") as file:
        file.truncate(size)
    monkeypatch.setattr(hdf5_guard, "CHILD", tmp_path / "says.py")
    with pytest.raises(InvalidFileError, match=f"m.nir: {allowed}$"):
        read_hdf5(tmp_path / "m.nir")


def test_a_busy_machine_damages_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a core takes long and uses little CPU time."""
    answer = json.dumps({"tree": {"group": {}}})
    waits = f"import sys, time; time.sleep(1.5); sys.stdout.write({answer!r})\n"
    head = f"import sys; sys.stdout.buffer.write(({len(answer)}).to_bytes(8, 'little')); sys.stdout.flush()\n"
    (tmp_path / "waits.py").write_text(head + waits)
    (tmp_path / "m.nir").write_bytes(b"x")
    monkeypatch.setattr(hdf5_guard, "CHILD", tmp_path / "waits.py")
    assert read_hdf5(tmp_path / "m.nir", seconds=0.1) == {}
