"""Files of a folder, a .zip or a .tar.gz, read in place: nothing is extracted, so no member can land anywhere.

An archive with a member that would (an absolute name, '..', a link, a device) was not made for us and is refused.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import require_regular

Reading = Callable[[str], bool]

MAX_MEMBERS = 250_000  # N-MNIST has 70,000
MAX_UNPACKED = 16 * 2**30  # DVS128 Gesture, the largest, is said to unpack to 6 GB
# What a broken or hostile file makes zipfile, tarfile, gzip, zlib and numpy's header reader raise.
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    KeyError,
    IndexError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    tarfile.TarError,
    tokenize.TokenError,
    Warning,
)


@contextlib.contextmanager
def readable(path: Path, expected: str) -> Iterator[None]:
    """Whatever a library raises on a broken file becomes an InvalidFileError of one line that names it."""
    try:
        if not path.is_dir():
            require_regular(path)
        yield
    except FileNotFoundError:
        raise InvalidFileError(f"{path} does not exist, expected {expected}") from None
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())[:120]
        raise InvalidFileError(
            f"{path} cannot be read ({type(error).__name__}: {reason}), expected {expected}"
        ) from None


def listing(path: Path, wanted: Reading) -> dict[str, int]:
    """{name: size in bytes, unpacked} of the wanted files, by name; names are relative, with '/'.

    The size is what the archive declares; ``contents`` holds it to that. Raises InvalidFileError.
    """
    with readable(path, "a folder, a .zip or a .tar.gz"):
        if path.is_dir():
            return dict(sorted(_folder(path, wanted)))
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return {info.filename: info.file_size for info in _zip_members(archive, path, wanted)}
        with _tar(path) as tar:
            return dict(sorted((member.name, member.size) for member in _tar_members(tar, path, wanted)))


def contents(path: Path, wanted: Reading, *, limit: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the wanted files: by name from a folder or a .zip, as they come from a .tar.gz.

    limit: bytes of the largest file that is read; a larger one raises InvalidFileError, and so does a broken archive.
    """
    expected = "a folder, a .zip or a .tar.gz"
    if path.is_dir():
        with readable(path, expected):
            names = sorted(_folder(path, wanted))
        for name, size in names:
            _fits(path, name, size, limit)
            with readable(path / name, "a file"):
                data = (path / name).read_bytes()
            yield name, data
    elif path.suffix == ".zip":
        with readable(path, expected), zipfile.ZipFile(path) as archive:
            for info in _zip_members(archive, path, wanted):
                _fits(path, info.filename, info.file_size, limit)
                with archive.open(info) as file:
                    data = file.read(info.file_size)
                yield info.filename, data
    else:
        with readable(path, expected), _tar(path) as tar:
            for member in _tar_members(tar, path, wanted):
                _fits(path, member.name, member.size, limit)
                extracted = tar.extractfile(member)
                assert extracted is not None  # _tar_members gives files only
                data = extracted.read()
                if len(data) != member.size:
                    raise EOFError(f"{member.name} ends early")
                yield member.name, data


def gunzip(path: Path, size: int) -> bytes:
    """The content of a .gz, or of a plain file, which must be ``size`` bytes; never more than that is unpacked."""
    with readable(path, f"{size} bytes, plain or gzip"):
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            data = file.read(size + 1)
        if len(data) != size:
            found = "more" if len(data) > size else f"{len(data)}"
            raise InvalidFileError(f"{path} holds {found} bytes, expected {size}; the file is damaged, get it again")
    return data


def _folder(path: Path, wanted: Reading) -> Iterator[tuple[str, int]]:
    """Hidden folders (our cache) are left out; links are followed, as the user laid them himself."""
    for folder, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for file in files:
            full = Path(folder, file)
            name = full.relative_to(path).as_posix()
            if wanted(name):
                yield name, full.stat().st_size


def _zip_members(archive: zipfile.ZipFile, path: Path, wanted: Reading) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    _bounded(path, len(members), sum(info.file_size for info in members))
    for info in members:
        link = stat.S_ISLNK(info.external_attr >> 16)
        _safe(path, info.filename, "a link" if link else "")
    return sorted((i for i in members if not i.is_dir() and wanted(i.filename)), key=lambda info: info.filename)


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    with gzip.open(path, "rb") as unpacked:
        bounded: Any = _Bounded(unpacked)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:
            yield tar


def _tar_members(tar: tarfile.TarFile, path: Path, wanted: Reading) -> Iterator[tarfile.TarInfo]:
    total = 0
    for count, member in enumerate(tar, start=1):
        total += member.size
        _bounded(path, count, total)
        plain = member.isreg() or member.isdir()
        _safe(path, member.name, "" if plain else "a link" if member.issym() or member.islnk() else "no plain file")
        if member.isreg() and wanted(member.name):
            yield member


class _Bounded:
    """A file that gives no more than ``MAX_UNPACKED`` bytes in all and 1 GiB at once.

    tarfile reads the long names of a header in one piece, of whatever size the header declares.
    """

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2**30:
            raise ValueError(f"a header asks for {size} bytes")
        if self.file.tell() + size > MAX_UNPACKED:
            raise ValueError(f"it unpacks to over {MAX_UNPACKED} bytes")
        return self.file.read(size)

    def seek(self, place: int) -> int:
        if place > MAX_UNPACKED:
            raise ValueError(f"it unpacks to over {MAX_UNPACKED} bytes")
        return self.file.seek(place)

    def tell(self) -> int:
        return self.file.tell()


def _bounded(path: Path, count: int, total: int) -> None:
    if count > MAX_MEMBERS or total > MAX_UNPACKED:
        raise InvalidFileError(
            f"{path} declares {count} members of {total} bytes, expected at most {MAX_MEMBERS} of {MAX_UNPACKED}"
        )


def _safe(path: Path, name: str, what: str) -> None:
    """Refuses what would leave the folder that somebody extracts the archive into."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if what or parts.is_absolute() or ".." in parts.parts or "\0" in name or (parts.parts and ":" in parts.parts[0]):
        raise InvalidFileError(
            f"member {name[:80]!r} of {path} is {what or 'outside the archive'}, expected plain files within it; get "
            f"the official archive"
        )


def _fits(path: Path, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise InvalidFileError(f"{name[:80]!r} of {path} has {size} bytes, expected at most {limit}; it is damaged")
