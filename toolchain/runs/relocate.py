"""A run whose data set has moved: where it is now. Its content must be what it was."""

from __future__ import annotations

from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run


def point_to(run: Run, place: str) -> None:
    """Write into run.toml that the run's data set is the file or folder ``place``.

    UsageError where the run is of a set that has a name, InvalidFileError where the content is another: run.toml then
    stays as it was.
    """
    config = run.config()
    data = config["data"]
    if "path" not in data:
        raise UsageError(
            f"--dataset {place}: run {run.name} is of the set {data['name']}, which is looked for by its name in "
            "SNNAS_DATA; set that, or start another run"
        )
    moved = {**config, "data": {**data, "name": place, "path": str(Path(place).absolute())}}
    dataset_of(run, moved)
    run.write_config(moved)
