"""The files that the script reads: arrays as they were written, and one line for whatever is none."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.lava.run_lava import BadFile, read_npz


def packed(path: Path, entries: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return str(path)


def npy(
    header: str, data: bytes = b"", *, version: bytes = b"\x01", magic: bytes = b"\x93NUMPY", length: int = -1
) -> bytes:
    width = 2 if version == b"\x01" else 4
    size = (len(header) if length < 0 else length).to_bytes(width, "little")
    return magic + version + b"\x00" + size + header.encode("latin-1") + data


def described(descr: str, shape: str, fortran: str = "False") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.array(2.5),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.zeros((0, 4), np.uint16),
        np.array([True, False]),
        np.arange(2, dtype=np.float32).reshape(1, 1, 1, 1, 1, 1, 1, 2),
    ],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_is_read_as_it_was_written(array: np.ndarray, how: int, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    found = read_npz(packed(tmp_path / "a.npz", {"x.y.npy": buffer.getvalue()}, how))
    assert list(found) == ["x.y"]
    assert found["x.y"].dtype == array.dtype
    assert np.array_equal(found["x.y"], array)
    assert found["x.y"].shape == array.shape
    assert found["x.y"].flags.writeable


def test_both_versions_of_a_header_are_read(tmp_path: Path) -> None:
    for version in (b"\x01", b"\x02"):
        entry = npy(described("|u1", "(3,)"), b"\x05\x06\x07", version=version)
        assert read_npz(packed(tmp_path / "a.npz", {"a.npy": entry}))["a"].tolist() == [5, 6, 7]
    padded = npy(described("<i2", "(1, 2)").ljust(10_000 - 1) + "\n", b"\x05\x00\x06\x01")
    assert read_npz(packed(tmp_path / "a.npz", {"a.npy": padded}))["a"].tolist() == [[5, 262]]


ONE = described("|u1", "(1,)")
BROKEN: dict[str, tuple[dict[str, bytes], str]] = {
    "no name": ({"a": npy(ONE, b"\x00")}, "entry 'a' is unnamed, repeated, or compressed in an unknown way"),
    "an empty name": ({".npy": npy(ONE, b"\x00")}, "entry '.npy' is unnamed"),
    "other magic": ({"a.npy": npy(ONE, b"\x00", magic=b"\x93NUMPZ")}, "entry 'a' is not an .npy array"),
    "lower magic": ({"a.npy": npy(ONE, b"\x00", magic=b"\x92NUMPY")}, "entry 'a' is not an .npy array"),
    "version 3": ({"a.npy": npy(ONE, b"\x00", version=b"\x03")}, "entry 'a' is not an .npy array"),
    "a long header": ({"a.npy": npy(ONE, length=10_001)}, "has a header of 10001 bytes; at most 10000 are read"),
    "objects": ({"a.npy": npy(described("|O", "(1,)"))}, "entry 'a' has an unknown array header, or holds objects"),
    "text": ({"a.npy": npy(described("<U1", "(1,)"), b"1234")}, "has an unknown array header, or holds objects"),
    "bytes": ({"a.npy": npy(described("|S1", "(1,)"), b"1")}, "has an unknown array header, or holds objects"),
    "another header": ({"a.npy": npy(ONE + "x", b"\x00")}, "has an unknown array header, or holds objects"),
    "too little": ({"a.npy": npy(described("<i4", "(2,)"), b"1234567")}, "declares shape (2,), which is not the size"),
    "too much": ({"a.npy": npy(described("<i4", "(2,)"), b"123456789")}, "declares shape (2,), which is not the size"),
    "nine axes": (
        {"a.npy": npy(described("|u1", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), b"\x00")}, "which is not the size of its data"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_array_is_refused(fault: str, tmp_path: Path) -> None:
    entries, said = BROKEN[fault]
    with pytest.raises(BadFile) as caught:
        read_npz(packed(tmp_path / "a.npz", entries))
    assert said in str(caught.value)


def test_text_is_left_alone_where_that_is_asked_for(tmp_path: Path) -> None:
    entries = {"t.npy": npy(described("<U1", "(1,)"), b"1234"), "s.npy": npy(described("|S1", "(1,)"), b"1"),
               "a.npy": npy(ONE, b"\x09")}  # fmt: skip
    found = read_npz(packed(tmp_path / "a.npz", entries), text=True)
    assert {name: array.tolist() for name, array in found.items()} == {"a": [9]}


def test_names_are_not_repeated_and_compression_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy(ONE, b"\x00"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", npy(ONE, b"\x00"))
    with pytest.raises(BadFile, match=r"entry 'a\.npy' is unnamed, repeated"):
        read_npz(str(path))
    for how in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(BadFile, match="compressed in an unknown way"):
            read_npz(packed(path, {"a.npy": npy(ONE, b"\x00")}, how))
    with pytest.raises(BadFile, match=f"entry '{'x' * 80}' is unnamed"):
        read_npz(packed(path, {"x" * 100: b""}))


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    entries = {name: npy(ONE, b"\x00") for name in ("a.npy", "b.npy")}
    path = packed(tmp_path / "a.npz", entries)
    size, total = Path(path).stat().st_size, sum(map(len, entries.values()))
    assert len(read_npz(path, entries=2, limit_bytes=size)) == 2
    with pytest.raises(BadFile, match="2 entries; at most 1 are read"):
        read_npz(path, entries=1)
    with pytest.raises(BadFile, match=rf"^{size} bytes; at most {size - 1} are read"):
        read_npz(path, limit_bytes=size - 1)
    wide = {name: npy(described("|u1", "(5000,)"), bytes(5000)) for name in ("a.npy", "b.npy")}
    path, total = packed(tmp_path / "b.npz", wide, zipfile.ZIP_DEFLATED), sum(map(len, wide.values()))
    assert len(read_npz(path, limit_bytes=total)) == 2
    with pytest.raises(BadFile, match=rf"its arrays take {total} bytes; at most {total - 1} are read"):
        read_npz(path, limit_bytes=total - 1)
    assert run_lava.LIMIT_BYTES == 2 << 30


def test_what_is_no_archive_is_refused_in_a_line(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(BadFile) as caught:
            read_npz(str(path))
        return str(caught.value)

    assert said(tmp_path) == "not a regular file"
    assert said(tmp_path / "none") == "No such file or directory"
    (tmp_path / "a").write_bytes(b"PK not one")
    assert said(tmp_path / "a") == "not a readable zip archive: File is not a zip file"
    whole = Path(packed(tmp_path / "b.npz", {"a.npy": npy(ONE, b"\x00")})).read_bytes()
    (tmp_path / "c").write_bytes(whole.replace(npy(ONE, b"\x00"), npy(ONE, b"\x01")))
    assert said(tmp_path / "c").startswith("not a readable zip archive: Bad CRC-32")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "it holds no program.json"),
        ({"program.json": np.zeros(2, np.int8)}, "it holds no program.json"),
        ({"program.json": np.frombuffer(b"{", np.uint8)}, "program.json is not JSON"),
        ({"program.json": np.frombuffer(b"\xff\xfe", np.uint8)}, "program.json is not JSON"),
        ({"program.json": np.frombuffer(b"[1]", np.uint8)}, "program.json is of none of the formats snnas.program/2, "),
        ({"program.json": np.frombuffer(b"[" * 5000, np.uint8)}, "program.json is not JSON"),
    ],
)
def test_what_is_no_program_is_refused(arrays: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(BadFile) as caught:
        run_lava.read_program(str(tmp_path / "p.npz"))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_each_format_of_a_program_is_read(version: int, tmp_path: Path) -> None:
    text = json.dumps({"format": f"snnas.program/{version}", "name": "µ"}, ensure_ascii=False).encode()
    np.savez(tmp_path / "p.npz", **{"program.json": np.frombuffer(text, np.uint8), "a": np.ones(2)})
    program, arrays = run_lava.read_program(str(tmp_path / "p.npz"))
    assert program == {"format": f"snnas.program/{version}", "name": "µ"}
    assert set(arrays) == {"program.json", "a"}


# ---------------------------------------------------------------------------------------- what a hostile archive raises

SAID = "not a readable zip archive"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        *((kind("a\nb"), f"{SAID}: a b") for kind in (zipfile.BadZipFile, zlib.error, struct.error, EOFError)),
        *((kind("x" * 200), f"{SAID}: {'x' * 120}") for kind in (RuntimeError, NotImplementedError, ValueError)),
        *((kind("a"), SAID) for kind in (OverflowError, MemoryError, IndexError, TypeError, AssertionError)),
        (KeyError("a"), f"{SAID}: 'a'"),
        (OSError(28, "No space left"), "No space left"),
        (OSError(), "cannot be read"),
        (BadFile("as it is"), "as it is"),
    ],
)
def test_whatever_reading_raises_is_one_line(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*given: Any) -> None:
        raise error

    monkeypatch.setattr(run_lava, "_read_entries", raises)
    with pytest.raises(BadFile) as caught:
        read_npz(packed(tmp_path / "a.npz", {}))
    assert str(caught.value) == said
