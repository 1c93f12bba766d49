"""The folder of a new run: it gets a name of its own, and appears with its files or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_bytes
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import beside, clear

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def create(
    folder: Path,
    name: str | None,
    stem: str,
    files: Callable[[str], Mapping[str, str | bytes]],
    *,
    goes_on: str = "--resume",
) -> Run:
    """A new run: ``name``, or the first free ``stem-001``, holding the files that ``files`` gives of its name.

    It appears with all of them or not at all; an empty folder is taken over. goes_on: what continues a run, but for its
    name. UsageError where the name is taken or unusable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if name is not None:
        require_free(folder, name, goes_on=goes_on)
        if not _begin(folder / name, files):
            raise _taken(folder, name, goes_on)
        return Run(folder / name)
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", stem).strip("-.")[:80] or "run"
    for number in range(1, 100_000):
        path = folder / f"{stem}-{number:03d}"
        if _begin(path, files):
            return Run(path)
    raise UsageError(f"{folder} holds 99,999 runs named {stem}-NNN; give a --name")


def require_free(folder: Path, name: str, *, goes_on: str = "--resume") -> None:
    """UsageError where a name is taken or unusable: said before data are read for the run."""
    if not NAME.fullmatch(name):
        raise UsageError(f"run name {name!r}: letters, digits, '.', '_' and '-' are taken, at most 100")
    if _is_taken(folder / name):
        raise _taken(folder, name, goes_on)


def _is_taken(path: Path) -> bool:
    return os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))


def _taken(folder: Path, name: str, goes_on: str) -> UsageError:
    there = folder / name / "run.toml"
    how = f"continue it with {goes_on} {name}" if there.is_file() else "remove that folder, which is no run"
    return UsageError(f"run {name} exists in {folder}; choose another --name, or {how}")


def _begin(path: Path, files: Callable[[str], Mapping[str, str | bytes]]) -> bool:
    """Makes the folder whole; False where another one, or a file, has the name."""
    if _is_taken(path):
        return False
    with contextlib.suppress(UsageError):  # another process is beginning a run of this name
        clear(path.parent, path.name)
    with beside(path) as stage:
        for name, content in files(path.name).items():
            write_bytes(stage / name, content.encode() if isinstance(content, str) else content)
        try:
            os.rename(stage, path)  # onto an empty folder too
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
    return True
