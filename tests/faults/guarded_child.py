"""The guarded child of HDF5 without a new interpreter each time: a fork of this process, under the same limits.

``hdf5_guard`` starts ``hdf5_child.py`` (or ``shd_child.py``) and decodes what it prints. Here the same ``main`` of the
same script runs in a fork, with the same limits on memory and files, and the same ``decode`` reads what it wrote; one
file in ``REAL`` takes the real road, and the two must agree. Only the CPU limit is shorter (``SECONDS``), to get on.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py  # noqa: F401 - before the fork: that is what makes it fast

from snnas.export.formats import hdf5_child, hdf5_guard
from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets import shd, shd_child

REAL = 100
SECONDS = 4
_asked = 0
GRACE = 5.0  # seconds of wall clock beyond the child's CPU time, on a machine that does nothing else
_real = hdf5_guard.ask_child
_FORKED = (hdf5_guard.CHILD, shd.CHILD)  # whose work ``_read`` does


def install() -> None:
    """Lets every reader of this process ask a fork."""
    hdf5_guard.ask_child = ask_child  # type: ignore[assignment]
    shd.ask_child = ask_child  # type: ignore[attr-defined]


def ask_child(child: Path, path: Path, what: str, *, seconds: float, limit_bytes: int) -> Any:
    global _asked
    if child not in _FORKED:
        return _real(child, path, what, seconds=seconds, limit_bytes=limit_bytes)
    _asked += 1
    found = _outcome(_forked, child, path, what, seconds=min(seconds, SECONDS), limit_bytes=limit_bytes)
    if _asked % REAL == 0:
        from tests.faults import judge

        watch, judge._guard = judge._guard, None  # it starts a process, as it should
        if watch is not None:
            watch.armed = False
        again = _outcome(_real, child, path, what, seconds=seconds, limit_bytes=limit_bytes)
        judge._guard = watch
        if watch is not None:
            watch.armed = True
        if isinstance(found, InvalidFileError) != isinstance(again, InvalidFileError):
            raise AssertionError(f"the fork says {str(found)[:200]}, the guarded child {str(again)[:200]}")
    if isinstance(found, Exception):
        raise found
    return found


def _outcome(ask: Any, *arguments: Any, **limits: Any) -> Any:
    try:
        return ask(*arguments, **limits)
    except InvalidFileError as error:
        return error


def _forked(child: Path, path: Path, what: str, *, seconds: float, limit_bytes: int) -> Any:
    if path.stat().st_size > limit_bytes:
        raise InvalidFileError(f"{what}: {path.stat().st_size} bytes; at most {limit_bytes} are read")
    with tempfile.TemporaryFile() as out:
        process = os.fork()
        if process == 0:
            _read(child, path, limit_bytes, int(seconds), out.fileno())
        code = _wait(process, time.monotonic() + seconds + GRACE)
        if code is None:
            raise InvalidFileError(f"{what}: reading it took over {seconds:g} s; the file is damaged")
        out.seek(0)
        return hdf5_guard.decode(out.read(2 * limit_bytes), what, code)


def _read(child: Path, path: Path, limit_bytes: int, seconds: int, out: int) -> None:
    """What ``python -I CHILD PATH LIMIT SECONDS`` does; does not return."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        kind = shd_child.RaggedReader if child == shd.CHILD else hdf5_child.Reader
        hdf5_child.main(str(path.resolve()), limit_bytes, seconds, kind)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _wait(process: int, end: float) -> int | None:
    pause = 0.0005
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)
