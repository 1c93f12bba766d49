"""A folder that is seen whole or not at all: it is filled beside its final place and renamed at the end.

While it is filled its process holds a lock on it, which the system takes back when the process dies; so what a killed
process left behind is told from what another one is filling.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import naming
from snnas.hw_sim.system_calls import locks_folders, take

ABANDONED = 24 * 3600.0  # seconds until a stage is another's leaving where no lock tells
_STAGE = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-[0-9a-f]{8}\.(part|old)")


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """An empty folder to fill; at the end of the block it takes the name ``final``, an older one steps aside first.

    What a killed process left behind is cleared away; an exception leaves the older folder as it was. UsageError where
    another process is filling one for the same place.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with beside(final) as stage:
        clear(final.parent, final.name, but=stage)
        yield stage
        old = stage.with_suffix(".old")
        try:
            if final.exists():
                os.rename(final, old)
            os.rename(stage, final)
        finally:
            _settle(final, old)


@contextmanager
def beside(final: Path) -> Iterator[Path]:
    """An empty, locked folder under a temporary name beside ``final``; removed at the end where it is still there."""
    stage = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    handle = -1
    try:
        with naming(final, stage):
            stage.mkdir()
        if locks_folders():
            handle = os.open(stage, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # a file system without locks on folders
                take(handle)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if handle >= 0:
            os.close(handle)


def clear(folder: Path, name: str | None = None, *, but: Path | None = None) -> None:
    """Removes what killed processes left in ``folder``, and puts back what had stepped aside for nothing.

    name: only what was to take this name; None for all, temporary files too, where the caller holds a lock on all of
    it. but: a stage of the caller's own. UsageError where a process that lives is filling one.
    """
    for left in sorted(folder.glob(".*")):
        match = _STAGE.fullmatch(left.name)
        if left == but or (name is not None and (match is None or match["name"] != name)):
            continue
        if match is None:
            if left.name.endswith(".part") and not left.is_dir():
                left.unlink(missing_ok=True)
        elif left.suffix == ".old":
            _settle(folder / match["name"], left)
        elif not locks_folders() and time.time() - left.stat().st_mtime < ABANDONED:
            continue  # nobody knows whether its process lives
        elif _locked(left):
            raise UsageError(f"{folder / match['name']} is being written by pid {match['pid']}; wait for its end")
        else:
            shutil.rmtree(left, ignore_errors=True)


def _settle(final: Path, old: Path) -> None:
    """The older folder goes, or comes back where there is no newer one."""
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        os.rename(old, final)


def _locked(folder: Path) -> bool:
    if not locks_folders():
        return False
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        take(handle)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
