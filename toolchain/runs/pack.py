"""A run as one file: a .zip that holds its folder, to be handed on; whatever takes a run takes it.

Left out is what only this machine needs: locks, checkpoints, what a killed process left. Equal runs give equal bytes.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_bytes, whole
from snnas.toolchain.data.datasets.archives import contents, listing
from snnas.toolchain.runs.staging import staged

SCHEMA = "snnas.runs.pack/1"
SUFFIX = ".zip"
LEFT_OUT = ("checkpoint",)  # folders
LARGEST = 1 << 31  # bytes of a file that is read back
_WHEN = (1980, 1, 1, 0, 0, 0)  # the earliest that a .zip knows


def pack(folder: Path, to: Path) -> int:
    """Write the run in ``folder`` to the .zip ``to``, whole or not at all; return how many files it holds."""
    number = 0
    with whole(to) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder):
            about = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}", _WHEN)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, read_bytes(path, LARGEST))
            number += 1
    return number


def _files(folder: Path) -> Iterator[Path]:
    """All that is worth keeping, by name."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") or part in LEFT_OUT for part in parts):
            yield path


def unpack(path: Path, folder: Path) -> Path:
    """The folder of the run that the .zip ``path`` holds: unpacked into ``folder``, unless it is there already.

    InvalidFileError where the file is no packed run, UsageError where another run, or what is none, has its name.
    """
    names = {PurePosixPath(name).parts for name in listing(path, lambda name: True)}
    tops = {parts[0] for parts in names if len(parts) > 1}
    if len(tops) != 1 or (top := tops.pop(), "run.toml") not in names or top.startswith(".") or _clash(names):
        raise InvalidFileError(f"{path}: no packed run, which is one folder with a run.toml; write it with: runs pack")
    final = folder / top
    if (final / "run.toml").exists():
        config = dict(contents(path, lambda name: name == f"{top}/run.toml", limit=LARGEST))[f"{top}/run.toml"]
        if read_bytes(final / "run.toml") != config:
            raise UsageError(f"{path}: {final} is another run, or has gone on since; unpack it with another --runs-dir")
        return final
    if os.path.lexists(final):
        raise UsageError(f"{path}: {final} is there already and is no run; unpack it with another --runs-dir")
    with staged(final) as stage:
        for name, data in contents(path, lambda name: True, limit=LARGEST):
            place = stage.joinpath(*PurePosixPath(name).parts[1:])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return final


def _clash(names: set[tuple[str, ...]]) -> bool:
    """Whether a file is at the top, nowhere, or where a folder has to be."""
    return any(len(parts) < 2 or any(parts[:n] in names for n in range(len(parts))) for parts in names)


def exports(folder: Path) -> list[Path]:
    """The exports in a run's folder, that to Lava first."""
    found = [path.parent for path in folder.glob("export/*/manifest.json")]
    return sorted(found, key=lambda path: (path.name != "lava", path.name))
