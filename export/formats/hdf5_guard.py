"""Reads HDF5 in a child process, and hands back plain arrays.

libhdf5 itself crashes and hangs on mutated files (2 segfaults and 5 hangs in 2,709, measured), so it never opens a
stranger's file in this process: the child works under limits on memory, CPU and time, and what it prints is checked
again here. A dead or late child is an invalid file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snnas.export.formats.hdf5_child import NOT_STARTED
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.files import require_regular
from snnas.hw_sim.system_calls import resource

Tree: TypeAlias = dict[str, Any]  # group -> Tree, dataset -> numpy array, bytes or a list of bytes

SECONDS = 15.0
SECONDS_PER_MB, MOST_SECONDS = 1.0, 120.0  # 2,400 layers: 67 MB, 9 s of CPU time, and more where cores are shared
LIMIT_BYTES = 1 << 30
CHILD = Path(__file__).with_name("hdf5_child.py")
ASLEEP = 600.0  # seconds of wall clock that end a child which sleeps; one that works is ended by its CPU time
ENDED = tuple(-getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name))
_HEADER = 8


def read_hdf5(path: Path, *, seconds: float = SECONDS, limit_bytes: int = LIMIT_BYTES) -> Tree:
    """The file as nested dicts of arrays. InvalidFileError says what is wrong with it.

    seconds: CPU time of a small file; with each MB of it comes a second.
    """
    if not path.exists():
        raise InvalidFileError(f"{path}: no such file; expected a .nir (HDF5) file", code="SN101")
    return ask_child(CHILD, path, str(path), seconds=seconds, limit_bytes=limit_bytes)


def ask_child(child: Path, path: Path, what: str, *, seconds: float, limit_bytes: int) -> Tree:
    """The file as the guarded script ``child`` reads it; ``what``: its name in messages. Raises as ``read_hdf5``."""
    require_regular(path)
    if path.stat().st_size > limit_bytes:
        raise InvalidFileError(f"{what}: {path.stat().st_size} bytes; at most {limit_bytes} are read", code="SN101")
    # An honest file takes as long as it has layers, and these take room; a small one that takes long is damaged.
    seconds = max(seconds, min(seconds + SECONDS_PER_MB * (path.stat().st_size // 1_000_000), MOST_SECONDS))
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-I", str(child), str(path.resolve()), str(limit_bytes), str(int(seconds))]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                timeout=ASLEEP if resource else seconds,  # where CPU time cannot be limited, the clock on the wall is
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise InvalidFileError(f"{what}: its reader sleeps; the file is damaged", code="SN101") from None
        if done.returncode in ENDED:
            raise InvalidFileError(
                f"{what}: reading it took over {seconds:g} s of CPU time; the file is damaged", code="SN101"
            )
        out.seek(0)
        # No more than there is: memory for what is asked of ``read`` is taken before it is known how much comes.
        return decode(out.read(min(2 * limit_bytes, os.fstat(out.fileno()).st_size)), what, done.returncode)


def decode(answer: bytes, what: str, code: int = 0) -> Tree:
    """The child's answer: 8 bytes of length, JSON, then the arrays' bytes. Trusts nothing."""
    if code == NOT_STARTED:
        raise UnsupportedError(
            f"{what}: the process that reads HDF5 does not start here; is there memory for it (ulimit -v), and is h5py "
            "whole? see snnas doctor"
        )
    if code != 0 or len(answer) < _HEADER:
        how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise InvalidFileError(f"{what}: not a readable file (its reader {how})", code="SN101")
    length = int.from_bytes(answer[:_HEADER], "little")
    try:
        header = json.loads(answer[_HEADER : _HEADER + length])
        if header.get("error"):
            rule = "SN115" if header.get("outside") is True else "SN101"
            raise InvalidFileError(f"{what}: {' '.join(str(header['error']).split())[:300]}", code=rule)
        tree: Tree = _decode(header["tree"], memoryview(answer)[_HEADER + length :])
        return tree
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidFileError(
            f"{what}: its reader gave an answer that makes no sense; the file is damaged", code="SN101"
        ) from None


def _decode(item: dict[str, Any], data: memoryview) -> Any:
    if "group" in item:
        return {str(k): _decode(v, data) for k, v in item["group"].items()}
    if "strings" in item:
        strings = np.array([s.encode("utf-8", "surrogateescape") for s in item["strings"]], dtype=object)
        return strings.reshape([int(n) for n in item["shape"]])
    dtype = np.dtype(str(item["dtype"]))
    if dtype.kind not in "fiub":
        raise ValueError("dtype")
    shape = [int(n) for n in item["shape"]]
    return np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=int(item["offset"])).reshape(shape)
