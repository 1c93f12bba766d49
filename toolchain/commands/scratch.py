"""Files that a function needs and nobody named: they go with what holds them, and no error names their folder."""

from __future__ import annotations

import contextlib
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from snnas.hw_sim.errors import SnnasError


class Scratch:
    """A folder that is removed with this object, or with the process."""

    def __init__(self) -> None:
        self.path: Path = Path(mkdtemp(prefix="snnas-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@contextlib.contextmanager
def nameless(folder: str | Path) -> Iterator[None]:
    """Errors within name files of this folder by their names alone."""
    try:
        yield
    except SnnasError as error:
        error.args = tuple(str(part).replace(f"{folder}/", "") for part in error.args)
        raise
