import contextlib
import gzip
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets import archives
from snnas.toolchain.data.datasets.archives import contents, gunzip, listing
from tests.official_files import tar, zipped

FILES = {"a/1.bin": b"one", "a/2.bin": b"", "b/3.bin": bytes(1000), "b/4.txt": b"no"}


def wanted(name: str) -> bool:
    return name.endswith(".bin")


def packed(tmp_path: Path, kind: str) -> Path:
    if kind == "zip":
        return zipped(tmp_path / "all.zip", FILES)
    if kind == "tar":
        return tar(tmp_path / "all.tar.gz", FILES)
    for name, content in {**FILES, ".cache/5.bin": b"ours"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_files_read_alike_however_they_are_packed(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind)
    assert listing(path, wanted) == {"a/1.bin": 3, "a/2.bin": 0, "b/3.bin": 1000}
    assert dict(contents(path, wanted, limit=1000)) == {k: v for k, v in FILES.items() if wanted(k)}
    with pytest.raises(InvalidFileError, match=r"b/3\.bin.* has 1000 bytes, expected at most 999"):
        list(contents(path, wanted, limit=999))


@pytest.mark.parametrize("name", ["../out.bin", "/etc/out.bin", "a/../../out.bin", "..\\out.bin", "C:\\out.bin"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_the_archive_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    pack = zipped if kind == "zip" else tar
    path = pack(tmp_path / f"bad.{'zip' if kind == 'zip' else 'tar.gz'}", {**FILES, name: b"x"})
    for read in (lambda: listing(path, wanted), lambda: list(contents(path, wanted, limit=1000))):
        with pytest.raises(InvalidFileError, match="outside the archive") as caught:
            read()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.parent.rglob("out.bin"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a/link.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    path = tar(tmp_path / "links.tar.gz", {**FILES, "a/link.bin": info})
    with pytest.raises(InvalidFileError, match=r"is a link|is no plain file"):
        listing(path, wanted)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a/link.bin")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InvalidFileError, match="is a link"):
        listing(tmp_path / "link.zip", wanted)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_truncated_archives_are_refused(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind)
    data = path.read_bytes()
    for cut in (0, 1, 40, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:cut])
        with pytest.raises(InvalidFileError, match=path.name):
            list(contents(path, wanted, limit=1000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(
    st.sampled_from(["zip", "tar"]),
    st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_mutated_archives_are_read_or_refused(tmp_path: Path, kind: str, changes: list) -> None:
    path = packed(tmp_path, kind)
    content = bytearray(path.read_bytes() if kind == "zip" else gzip.decompress(path.read_bytes()))
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content if kind == "zip" else gzip.compress(content))
    # Either it is read, or it is refused by name; anything else fails the test.
    with contextlib.suppress(InvalidFileError):
        assert sum(len(data) for _, data in contents(path, wanted, limit=1000)) <= 10_000


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "crc.zip", "w") as archive:
        archive.writestr("a.bin", b"payload")
    data = (tmp_path / "crc.zip").read_bytes()
    (tmp_path / "crc.zip").write_bytes(data.replace(b"payload", b"pAyload"))
    with pytest.raises(InvalidFileError, match="CRC"):
        list(contents(tmp_path / "crc.zip", wanted, limit=1000))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_are_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = {f"{k}.bin": bytes(100_000) for k in range(30)}
    path = zipped(tmp_path / "b.zip", bomb) if kind == "zip" else tar(tmp_path / "b.tar.gz", bomb)
    assert path.stat().st_size < 30_000
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(InvalidFileError, match=r"unpacks to over|declares 30 members|declares 11 members"):
        list(contents(path, wanted, limit=100_000))
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10**9)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    with pytest.raises(InvalidFileError, match="at most 20 of"):
        listing(path, wanted)


def test_a_long_name_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    (tmp_path / "long.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    with pytest.raises(InvalidFileError, match=r"long\.tar\.gz .*a header asks for 8589934592 bytes"):
        listing(tmp_path / "long.tar.gz", wanted)


def test_gunzip_gives_what_was_promised_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"12345")
    (tmp_path / "packed").write_bytes(gzip.compress(b"12345"))
    assert gunzip(tmp_path / "plain", 5) == gunzip(tmp_path / "packed", 5) == b"12345"
    for name in ("plain", "packed"):
        with pytest.raises(InvalidFileError, match="more bytes, expected 4"):
            gunzip(tmp_path / name, 4)
        with pytest.raises(InvalidFileError, match="holds 5 bytes, expected 6"):
            gunzip(tmp_path / name, 6)
    (tmp_path / "packed").write_bytes(gzip.compress(b"12345")[:-3])
    with pytest.raises(InvalidFileError, match="EOFError"):
        gunzip(tmp_path / "packed", 5)
    with pytest.raises(InvalidFileError, match="does not exist"):
        gunzip(tmp_path / "none", 5)
