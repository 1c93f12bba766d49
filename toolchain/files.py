"""Files that appear whole or not at all, and append-only logs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hw_sim.errors import InvalidFileError, UsageError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill under a temporary name in the same folder; at the end it is flushed to disk and takes ``path``.

    Its mode is 0644 less the umask, which the kernel applies: mkstemp's 0600 would hide a result from a user's group.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with naming(path, temporary):
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as f:
                yield f
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def copy(source: Path, target: Path) -> None:
    """``target`` becomes ``source``'s content, whole or not at all."""
    with whole(target) as file:
        file.write(source.read_bytes())


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


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, whole or not at all."""
    data = text.encode()
    with whole(path) as f:
        f.write(data)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _finite(text: str) -> float:
    """A number of a file; ValueError for NaN and infinities, which JSON does not have and we never write."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _integer(text: str) -> int:
    """Likewise one that a float can hold."""
    if len(text) > 300:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


_JSON = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_finite)
LOG_BYTES = 1 << 30


def read_json(path: Path, *, limit_bytes: int = 1 << 28) -> Any:
    """The JSON in a file; InvalidFileError (exit 3) where it is none."""
    try:
        if path.stat().st_size > limit_bytes:
            raise InvalidFileError(f"{path}: {path.stat().st_size} bytes; at most {limit_bytes} are read")
        return _JSON.decode(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidFileError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{path}: not JSON ({' '.join(str(error).split())[:120]})") from None


class JsonLines:
    """An append-only log, one JSON object a line; a last line that a kill cut short is dropped on reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """One line in one write, flushed, so that a kill loses at most the line being written."""
        with naming(self.path), self.path.open("ab") as f:
            f.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            f.flush()
            os.fsync(f.fileno())

    def read(self) -> list[dict[str, Any]]:
        return list(self._records()) if self.path.exists() else []

    def _records(self) -> Iterator[dict[str, Any]]:
        if self.path.stat().st_size > LOG_BYTES:
            raise InvalidFileError(f"{self.path}: {self.path.stat().st_size} bytes; at most {LOG_BYTES} are read")
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            try:
                record = _JSON.decode(line.decode())
            except (ValueError, RecursionError):
                raise InvalidFileError(
                    f"{self.path}: line {number} is not JSON; move the file away to start again"
                ) from None
            if not isinstance(record, dict):
                raise InvalidFileError(f"{self.path}: line {number} is not a JSON object")
            yield record

    def mend(self) -> None:
        """Cuts off a last line without its end, so that the next append starts a new one."""
        if self.path.exists():
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                with self.path.open("r+b") as f:
                    f.truncate(whole)


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
