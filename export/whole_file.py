"""A file that is seen whole or not at all: it is written beside its final place and renamed at the end."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The temporary path to write; at the end of the block it is flushed to disk and takes the name ``path``.

    An exception leaves an older file as it was, and nothing behind. OSError where the disk refuses; it names ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and (error.filename is None or str(error.filename) == str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_hdf5(path: Path, fill: Callable[[io.BytesIO], None]) -> None:
    """An HDF5 file, whole or not at all; ``fill`` writes it to memory.

    Under libhdf5 itself a disk that becomes full ends the process: on closing it crashes (measured: signal 11).
    """
    memory = io.BytesIO()
    fill(memory)
    with whole_file(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
