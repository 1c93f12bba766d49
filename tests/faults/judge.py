"""What a reader may do with a hostile file: hand back a value, or raise what becomes one line and a documented code.

Anything else is a defect: another exception or exit code, a line that is too long or steers the terminal, a warning
beside it, more time or memory than the target's, a write outside the temporary folder, a program started, a pickle
loaded.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from snnas.toolchain.cli import exits

LINE = 1200  # characters, the path's own apart
STEERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # Python shows none of these
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One way to read one kind of file.

    make: a hostile file from a generator. read: of its path; of a command, its exit code. codes: documented for a file
    that is invalid (3), asks for what is not supported (4) or is part of a command's configuration (2). seconds, mib:
    what one file may take.
    """

    name: str
    file: str
    make: Callable[[Random], bytes]
    read: Callable[[Path], Any]
    codes: tuple[int, ...] = (3,)
    seconds: float = 10.0
    mib: int = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """code: 0 where the file was read. defect: '' or what is wrong, as one short text that equal defects share."""

    code: int
    defect: str = ""
    detail: str = ""
    seconds: float = 0.0


class Late(BaseException):
    """The alarm; no reader may catch it."""


@dataclass(slots=True)
class Guard:
    """Sees what Python code does to the machine while a file is read."""

    folder: Path
    armed: bool = False
    seen: list[str] = field(default_factory=list)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes and isinstance(path, str | bytes) and not self._inside(os.fsdecode(path)):
                self.seen.append(f"opens {os.fsdecode(path)[:80]!r} to write")
        elif event in (
            "os.remove",
            "os.rename",
            "os.mkdir",
            "os.rmdir",
            "os.symlink",
            "os.link",
            "os.chmod",
            "os.truncate",
        ):
            paths = [os.fsdecode(a) for a in arguments if isinstance(a, str | bytes)]
            if not all(map(self._inside, paths)):
                self.seen.append(f"{event} {paths}"[:120])
        elif event.startswith(
            ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.", "socket.", "pickle.")
        ):
            self.seen.append(f"{event} {arguments}"[:120])

    def _inside(self, path: str) -> bool:
        return os.path.abspath(path).startswith(str(self.folder)) or path == os.devnull


_guard: Guard | None = None


def guard(folder: Path) -> Guard:
    """The one guard of this process (an audit hook cannot be taken away), of the folder that may be written to."""
    global _guard
    if _guard is None:
        _guard = Guard(folder)
        sys.addaudithook(_guard.hook)
    _guard.folder = folder
    return _guard


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def judge(target: Target, path: Path, watch: Guard) -> Verdict:
    """Reads the file and says what came of it."""
    before, begun = peak_mib(), time.perf_counter()
    watch.seen.clear()
    with _noticed() as notices, _alarm(target.seconds), _temporary_in(watch.folder):
        code, defect, detail = _outcome(target, path, watch)
    seconds = time.perf_counter() - begun
    if not defect and watch.seen:
        defect, detail = "acts", watch.seen[0]
    if not defect and notices:
        defect, detail = f"warns: {notices[0][:80]}", notices[0]
    if not defect and peak_mib() - before > target.mib:
        defect, detail = "takes memory", f"{peak_mib() - before:.0f} MiB"
    return Verdict(code, defect, detail, seconds)


def _outcome(target: Target, path: Path, watch: Guard) -> tuple[int, str, str]:
    try:
        try:
            watch.armed = True
            code = target.read(path)
        finally:
            watch.armed = False
    except Late:
        return 70, f"takes over {target.seconds:g} s", "".join(traceback.format_exc()[-1500:])
    except Exception as error:
        return _said(error, target, path)
    except BaseException as error:
        return 70, f"{type(error).__name__}", "".join(traceback.format_exc()[-1500:])
    return (code if type(code) is int else 0), "", ""


def _said(error: Exception, target: Target, path: Path) -> tuple[int, str, str]:
    """What a user is told of the error, held to the rules."""
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        code = exits._fault(error)
    text = out.getvalue()
    line = text.removesuffix("\n")
    place = _place(error)
    detail = f"{type(error).__name__} at {place}: {str(error)[:300]!r}"
    if code not in target.codes:
        return (
            code,
            f"exit {code}: {type(error).__name__} at {place}",
            detail + "\n" + "".join(traceback.format_exception(error)[-6:])[-2500:],
        )
    if STEERS.search(line):
        return code, f"steers the terminal, at {place}", repr(line[:400])
    if len(line) > LINE + 2 * len(str(path)):
        return code, f"a line of over {LINE} characters, at {place}", repr(line[:400])
    if len(str(error)) > 20_000:
        return code, f"a message of over 20,000 characters, at {place}", str(len(str(error)))
    return code, "", line


def _place(error: BaseException) -> str:
    """file:function of the innermost frame in code of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if re.search(r"/(toolchain|search|export|hw_sim)/", f.filename)]
    frame = ours[-1] if ours else frames[-1]
    return f"{Path(frame.filename).name}:{frame.name}"


@contextlib.contextmanager
def _temporary_in(folder: Path) -> Iterator[None]:
    """Temporary files go where a reader may write, for as long as it reads."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _noticed() -> Iterator[list[str]]:
    """Warnings that Python would print beside our one line."""
    found: list[str] = []

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, SILENT):
            found.append(f"{category.__name__}: {message} ({Path(rest[0]).name}:{rest[1]})")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show  # type: ignore[assignment]
        yield found


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
