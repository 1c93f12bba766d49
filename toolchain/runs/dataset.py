"""The data set of a run, split as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.toolchain.data.options import KINDS
from snnas.toolchain.runs.run import Run

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset


def dataset_of(run: Run, config: dict[str, Any] | None = None) -> Dataset:
    """The data set of a run, split as it was; InvalidFileError where it is not the one of then.

    config: in place of what run.toml holds.
    """
    from snnas.toolchain.data.load import load

    config = config or run.config()
    name, wanted = config["data"].get("path", config["data"]["name"]), config["data"].get("sha256")
    options, place = config["data"].get("options", {}), f"{run.path / 'run.toml'}: [data.options]"
    # A run.toml names what a data set takes and nothing else that load does: it starts no download.
    if not isinstance(options, dict) or not all(type(options[k]) is KINDS.get(k) for k in options):
        raise InvalidFileError(f"{place} is {brief(options)}, expected some of {', '.join(KINDS)}; mend the file")
    path = config["data"].get("path")
    if path is not None and not Path(path).exists():
        raise UsageError(
            f"run {run.name}: its data set is not at {path} any more ({config['data'].get('summary', 'moved')}); put "
            f"it back, or say where it is: snnas search --resume {run.spoken} --dataset PATH"
        )
    try:
        data = load(name, seed=config["seed"], **options)
    except TypeError as error:
        raise InvalidFileError(f"{place}: {error}") from None
    if wanted is not None and data.digest != wanted:
        raise InvalidFileError(
            f"{name}: the data set is not the one that the run was searched on (sha256 {data.digest[:12]}..., "
            f"expected {wanted[:12]}... of {run.path / 'run.toml'}); put that one back, or search again"
        )
    return data
