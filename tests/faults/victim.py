"""A process of ``snnas`` that is to be killed: by who started it, at any time, or by itself, at one of its file events.

File events are what changes files of the folder ``root``: opening to write, renaming, removing, making a folder, and
``fsync``. A process that ends at an event ends before it; one that ends torn at an ``fsync`` leaves of what was written
since the last one only a part, as a machine does that stops.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """at: the file event, from 1, at which the process sends itself ``number``; 0 for none. count: a file for how many
    events there were. out, err: files that become its streams. limits: of ``resource``, by name, in bytes. powerless:
    without what lets root write where it may not.
    """

    arguments: tuple[str, ...]
    root: str
    temporary: str
    out: str
    err: str
    count: str = ""
    at: int = 0
    number: int = 0
    torn: bool = False
    seed: int = 0
    environment: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    powerless: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Events:
    """Counts file events, and ends the process at one."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.seen, self.busy = orders, 0, False
        self.safe: dict[str, int] = {}  # {path: bytes that are on the disk}
        self.fsync = os.fsync

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.busy or not self._ours(event, arguments):
            return
        self.busy = True
        try:
            path = os.fsdecode(arguments[0])
            if event == "open":
                appends = "a" in str(arguments[1] or "") or int(arguments[2] or 0) & os.O_APPEND
                self.safe[path] = os.path.getsize(path) if appends and os.path.exists(path) else 0
            self._event()
        finally:
            self.busy = False

    def _ours(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | bytes) or not int(flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return False
        elif event not in CHANGES or not isinstance(arguments[0], str | bytes):
            return False
        return os.path.abspath(os.fsdecode(arguments[0])).startswith(self.orders.root)

    def synced(self, file: Any) -> None:
        """In place of ``os.fsync``."""
        number = file if isinstance(file, int) else file.fileno()
        path = os.readlink(f"/proc/self/fd/{number}")
        if path.startswith(self.orders.root):
            self._event(path)
            self.safe[path] = os.fstat(number).st_size
        self.fsync(number)

    def _event(self, path: str = "") -> None:
        self.seen += 1
        if self.seen != self.orders.at:
            return
        if path and self.orders.torn:
            low, high = self.safe.get(path, 0), os.path.getsize(path)
            os.truncate(path, random.Random(self.orders.seed).randint(min(low, high), high))
        os.kill(os.getpid(), self.orders.number)


def give_up_capabilities() -> None:
    """Permission bits hold for this process, whoever runs it (capset of Linux, third version: two words a set)."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def obey(orders: Orders, *, forked: bool = False) -> None:
    """Turn this process into the command. forked: it came from a server that holds the imports already."""
    for name, number in (("out", 1), ("err", 2)):
        handle = os.open(getattr(orders, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.update(orders.environment)
    os.environ["TMPDIR"] = orders.temporary
    tempfile.tempdir = None
    # A shell that starts tests in the background lets them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["snnas", *orders.arguments]
    events = Events(orders)
    sys.addaudithook(events.hook)
    os.fsync = events.synced
    if forked:
        os.setsid()
    if orders.powerless:
        give_up_capabilities()
    for name, size in orders.limits:
        resource.setrlimit(getattr(resource, name), (size, size))
    from snnas.__main__ import main

    try:
        main()
    finally:
        if orders.count:
            with contextlib.suppress(OSError):
                Path(orders.count).write_text(str(events.seen))
        if forked:  # multiprocessing ends without them
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    plain = json.loads((sys.argv[1:] if arguments is None else arguments)[0])
    plain["arguments"] = tuple(plain["arguments"])
    for pairs in ("environment", "limits"):
        plain[pairs] = tuple((k, v) for k, v in plain[pairs])
    obey(Orders(**plain))


if __name__ == "__main__":
    main()
