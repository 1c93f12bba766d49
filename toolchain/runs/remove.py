"""Removing runs: what is refused, and an order in which a kill leaves no half of a run in the list."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.runs.run import Run, find

SCHEMA = "snnas.runs.remove/1"


@contextlib.contextmanager
def held(folder: Path, names: Sequence[str]) -> Iterator[list[Run]]:
    """The runs called ``names``, locked with the points of their fronts; UsageError where one is in use or no run."""
    found = list({run.path: run for run in (_found(folder, name) for name in names)}.values())
    with contextlib.ExitStack() as stack:
        for run in found:
            for member in sorted(run.path.rglob("run.toml")):
                stack.enter_context(Run(member.parent).lock())
        yield found


def _found(folder: Path, name: str) -> Run:
    for path in (folder / name, Path(name)):
        if path.is_symlink():
            raise UsageError(f"{path} is a link to {path.readlink()}; remove the link, or name the run's own folder")
        if path.is_dir() and not (path / "run.toml").is_file():
            raise UsageError(f"{path} is no run (no run.toml in it); it stays as it is")
    run = find(folder, name)
    if Path.cwd().is_relative_to(run.path):
        raise UsageError(f"{run.path} holds the folder that you are in; leave it first")
    return run


def size_of(run: Run) -> str:
    """How many files a run has, and how large they are together."""
    sizes = [path.lstat().st_size for path in run.path.rglob("*") if not path.is_dir()]
    return f"{len(sizes)} files, {sum(sizes) / 1e6:,.1f} MB"


def remove(run: Run) -> None:
    """Removes a run's folder. A kill in between leaves a hidden folder, which is no run and which nothing lists."""
    hidden = run.path.with_name(f".{run.path.name}.removed")
    if hidden.exists():
        shutil.rmtree(hidden)
    run.path.rename(hidden)
    (hidden / "run.toml").unlink()
    shutil.rmtree(hidden)
