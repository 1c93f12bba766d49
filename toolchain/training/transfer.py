"""A run from a genotype that is there already: a cell that was found on one data set, trained on another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_text, sha256
from snnas.toolchain.data.load import data_section, timesteps_of
from snnas.toolchain.runs.create import create
from snnas.toolchain.runs.run import Run, as_toml, now
from snnas.toolchain.runs.versions import fingerprint
from snnas.toolchain.training.device import resolve_device

if TYPE_CHECKING:
    from snnas.search.network.genotype import Genotype
    from snnas.toolchain.training import TrainingConfig

GENOTYPE_BYTES = 1 << 20


def train_genotype(
    genotype: Path,
    dataset: str,
    *,
    folder: Path,
    command: str,
    name: str | None = None,
    seed: int = 0,
    timesteps: int | None = None,
    channels: int = 16,
    hidden: int = 256,
    cells: int | None = None,
    head: str | None = None,
    recipe: TrainingConfig | None = None,
    device: str = "auto",
    data_options: dict[str, Any] | None = None,
) -> Run:
    """Make a run of the genotype in a .json file on a data set: run.toml and genotype.json, ready for ``train``.

    timesteps: None for as many as the samples have frames, else DEFAULT_TIMESTEPS. cells: so many of the cell that all
    cells of the file are; None for as many as it has. head: of ``config.HEADS``; None for the default. data_options:
    more of what ``snnas.toolchain.data.load.load`` takes. Raises InvalidFileError for a file that holds no genotype,
    UsageError where it fits neither its search space nor the data set.
    """
    from snnas.search.kinds import read_genotype
    from snnas.search.network.config import DEFAULT_HEAD, NetworkConfig
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.network import Network
    from snnas.search.network.space import get
    from snnas.toolchain.data.load import load
    from snnas.toolchain.training import TrainingConfig
    from snnas.toolchain.training.stages import require_stages, timesteps_asked

    try:
        text = read_text(genotype, GENOTYPE_BYTES, errors="replace")
    except FileNotFoundError:
        raise InvalidFileError(f"{genotype}: no such file") from None
    found = read_genotype(text, where=str(genotype))
    if type(found) is not Genotype:
        raise UsageError(
            f"{genotype}: an architecture of {found.space}, expected the genotype of a cell; no other can be moved yet"
        )
    backward = _check_space(found, genotype)
    if cells is not None:
        if len(set(found.cells)) > 1:
            raise UsageError(f"--cells {cells}: the cells of {genotype} differ, and none is meant; leave --cells out")
        found = Genotype(found.space, found.cells[:1] * cells)
    device = resolve_device(device)
    data = load(dataset, seed=seed, **(data_options or {}))
    recipe = recipe or TrainingConfig()
    timesteps = timesteps_asked(recipe, timesteps)
    require_stages(recipe, data, timesteps)
    network = NetworkConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=channels,
        hidden=hidden,
        timesteps=timesteps_of(dataset, data, timesteps),
        reduction=get(found.space).reduction,
        cells=len(found.cells),
        head=head or DEFAULT_HEAD,
    )
    Network(found, network)  # refuses a cell without a path from input to output
    config = {
        "created_at": now(),
        "command": command,
        "seed": seed,
        "data": data_section(dataset, data),
        "method": {"name": found.space.removesuffix("_1d"), "space": found.space, "backward": backward, "batch": 2},
        "network": json.loads(network.to_json()),
        "train": recipe.plain(),
        "search": {"seconds": 0.0, "evaluations": 0, "guards": 0, "architecture": found.architecture_id},
        "transfer": {"genotype": str(genotype.absolute()), "sha256": sha256(genotype)},
        "versions": fingerprint(device),
    }
    return create(
        folder,
        name,
        f"{data.name}-{found.space}-transfer",
        lambda name: {"run.toml": as_toml({"name": name, **config}), "genotype.json": found.to_json()},
    )


def _check_space(genotype: Genotype, path: Path) -> bool:
    """Return whether the genotype has backward edges; UsageError where its space does not have its operations."""
    from snnas.search.network.space import get

    space = get(genotype.space)
    backward = False
    for number, cell in enumerate(genotype.cells, start=1):
        for (i, j), op in cell.live().items():
            if op not in space.ops:
                raise UsageError(
                    f"{path}: cell {number} has {op!r} from {i} to {j}, which the space {space.name} does not know; "
                    f"expected one of {', '.join(space.ops)}"
                )
            backward |= i > j
    return backward
