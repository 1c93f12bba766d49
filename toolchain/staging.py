"""A folder that is seen whole or not at all: it is filled beside its final place and renamed at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """An empty folder to fill; at the end of the block it takes the name ``final``, an older one steps aside first.

    What a killed process left behind is cleared away; an exception leaves the older folder as it was. The caller holds
    a lock on what ``final`` belongs to.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{final.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    stage = final.parent / f".{final.name}.{os.getpid()}.part"
    stage.mkdir()
    try:
        yield stage
        old = stage.with_suffix(".old")
        if final.exists():
            os.rename(final, old)
        os.rename(stage, final)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
