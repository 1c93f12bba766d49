"""Files: the one way in which they are read, and the one in which they are written.

Read: regular files only, and no more bytes than the caller allows. A FIFO where a file is expected would wait for ever,
a device would fill the memory; whoever unpacks a stranger's folder may have both.

Written: beside the final place under a random name that was not there, flushed to disk, then renamed. So a file is seen
whole or not at all, no planted link is followed, and an error leaves the older file as it was and nothing behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import secrets
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.system_calls import READING, WRITING

TEXT_BYTES = 1 << 28
_PIECE = 1 << 16
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """A regular file to read, or what a link to one means; InvalidFileError (exit 3) for anything else that is there.

    OSError where nothing is there, or it may not be read.
    """
    # Without O_NONBLOCK opening a FIFO waits for somebody to write to it; of regular files it changes nothing.
    handle = os.open(path, os.O_RDONLY | READING)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
        raise InvalidFileError(f"{path}: {kind}, expected a file; put the file itself there", code="SN101")
    with os.fdopen(handle, "rb") as file:
        yield file


def require_regular(path: Path) -> None:
    """For libraries that open a path themselves: raises as ``opened``."""
    with opened(path):
        pass


def read_bytes(path: Path, limit_bytes: int = TEXT_BYTES) -> bytes:
    """All of a file; InvalidFileError where it is no regular one, or holds more than ``limit_bytes``."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        # ``read`` takes the memory that it is asked for at once. What lies in /proc says 0 and holds more.
        parts = [file.read(size + 1)] if size <= limit_bytes else []
        while parts and parts[-1] and sum(map(len, parts)) <= limit_bytes:
            parts.append(file.read(_PIECE))
    data = b"".join(parts)
    if size > limit_bytes or len(data) > limit_bytes:
        raise InvalidFileError(f"{path}: {max(size, len(data))} bytes; at most {limit_bytes} are read", code="SN101")
    return data


def read_text(path: Path, limit_bytes: int = TEXT_BYTES, *, errors: str = "strict") -> str:
    """Likewise as UTF-8; UnicodeDecodeError, a ValueError, where it is none."""
    return read_bytes(path, limit_bytes).decode("utf-8", errors)


def read_json(path: Path, *, limit_bytes: int = TEXT_BYTES) -> Any:
    """The JSON in a file; InvalidFileError (exit 3) where it is none."""
    try:
        return parse_json(read_text(path, limit_bytes))
    except FileNotFoundError:
        raise InvalidFileError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: not JSON ({' '.join(str(error).split())[:120]})") from None


def parse_json(text: str) -> Any:
    """JSON as it is defined: ValueError for NaN, infinities, numbers that no float holds, and names that stand twice.

    RecursionError. Of two values by one name a person reads the first, and Python takes the last.
    """
    return _JSON.decode(text)


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file in hexadecimal digits."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill; at the end of the block it takes the name ``path``. It can be read and sought as well.

    Its mode is 0644 less the umask, which the kernel applies: mkstemp's 0600 would hide a result from a user's group.
    UsageError where there is no folder to write it to, OSError that names ``path`` where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with naming(path, temporary):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | WRITING
            with os.fdopen(os.open(temporary, flags, 0o644), "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Gives an OSError that names no file, as a full disk's, or ``temporary`` the name ``path``.

    UsageError where the folder that ``path`` is to lie in is not there, or takes nothing new, as /proc.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):
            if error.errno == errno.ENOENT:
                what = "nothing can be made in" if path.parent.is_dir() else "there is no folder"
                raise UsageError(f"{path}: {what} {path.parent}; make that folder, or name another") from None
            error.filename, error.filename2 = str(path), None
        raise


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    with whole(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """In UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def copy(source: Path, target: Path) -> None:
    """``target`` becomes ``source``'s content, however much that is."""
    with opened(source) as content, whole(target) as file:
        shutil.copyfileobj(content, file)


def write_hdf5(path: Path, fill: Callable[[io.BytesIO], None]) -> None:
    """An HDF5 file; ``fill`` writes it to memory.

    Under libhdf5 itself a disk that becomes full ends the process: on closing it crashes (measured: signal 11).
    """
    memory = io.BytesIO()
    fill(memory)
    write_bytes(path, memory.getbuffer())


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > 300:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name[:40]!r} stands twice in one object")
    return table


_JSON = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_finite, object_pairs_hook=_once)
