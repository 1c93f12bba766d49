"""What not every system has: locks on files, flags of open, limits of a process, and how much memory there is.

Linux and macOS have ``fcntl`` and ``resource``, Windows has ``msvcrt``. Where neither is, nothing is locked or limited.
"""

from __future__ import annotations

import errno
import importlib
import os
from typing import IO, Any


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl, msvcrt, resource = map(_module, ("fcntl", "msvcrt", "resource"))
BEHIND = 1 << 30  # Windows locks bytes and hides them from others: one that no file here has


# Of ``os.open``: 0 where the system has none. On Windows a file is text unless O_BINARY says otherwise.
READING, WRITING = (
    sum(getattr(os, flag, 0) for flag in flags.split())
    for flags in ("O_NONBLOCK O_NOCTTY O_CLOEXEC O_BINARY", "O_NOFOLLOW O_CLOEXEC O_BINARY")
)


def take(file: IO[Any] | int, *, wait: bool = False) -> None:
    """Lock an open file or, on Unix, folder until it is closed or its process dies.

    BlockingIOError where another has it, unless ``wait``; OSError where the file system has no locks.
    """
    handle = file if isinstance(file, int) else file.fileno()
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    elif msvcrt is not None:
        here = os.lseek(handle, 0, os.SEEK_CUR)
        os.lseek(handle, BEHIND, os.SEEK_SET)
        try:
            while True:
                try:
                    msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    break
                except OSError as error:
                    if error.errno not in (errno.EACCES, errno.EDEADLK):
                        raise
                    if not wait:  # LK_LOCK gives up after ten tries
                        raise BlockingIOError(*error.args) from None
        finally:
            os.lseek(handle, here, os.SEEK_SET)


def locks_folders() -> bool:
    """Whether ``take`` takes a folder: on Windows none can be opened."""
    return fcntl is not None and hasattr(os, "O_DIRECTORY")


def address_space_limited() -> bool:
    """Whether this process may take less memory than there is (ulimit -v)."""
    return resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
