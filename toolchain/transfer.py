"""A run from a genotype that is there already: a cell that was found on one data set, trained on another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.errors import UsageError
from toolchain import new_run, runs
from toolchain.fingerprint import fingerprint
from toolchain.runs import Run
from toolchain.starting import data_section, resolve_device, timesteps_of

if TYPE_CHECKING:
    from search.genotype import Genotype
    from toolchain.training import TrainingConfig


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
    recipe: TrainingConfig | None = None,
    device: str = "auto",
    data_options: dict[str, Any] | None = None,
) -> Run:
    """Make a run of the genotype in a .json file on a data set: run.toml and genotype.json, ready for ``train``.

    timesteps: None for as many as the samples have frames, else DEFAULT_TIMESTEPS. data_options: more of what
    ``toolchain.data.load`` takes. Raises InvalidFileError for a file that holds no genotype,
    UsageError where it fits neither its search space nor the data set.
    """
    from search.genotype import Genotype
    from search.network import Network
    from search.network_config import NetworkConfig
    from search.space import get
    from toolchain.data import load
    from toolchain.files import read_json, sha256
    from toolchain.training import TrainingConfig

    plain = read_json(genotype, limit_bytes=1 << 20)
    if isinstance(plain, dict) and plain.get("space") == "mse_nas":
        raise UsageError(
            f"{genotype}: a genome of mse_nas, expected the genotype of a cell; genomes cannot be moved yet"
        )
    found = Genotype.from_json(genotype.read_text(encoding="utf-8", errors="replace"), where=str(genotype))
    backward = _check_space(found, genotype)
    device = resolve_device(device)
    data = load(dataset, seed=seed, **(data_options or {}))
    network = NetworkConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=channels,
        hidden=hidden,
        timesteps=timesteps_of(dataset, data, timesteps),
        reduction=get(found.space).reduction,
        cells=len(found.cells),
    )
    Network(found, network)  # refuses a cell without a path from input to output
    config = {
        "created_at": runs.now(),
        "command": command,
        "seed": seed,
        "data": data_section(dataset, data),
        "method": {"name": found.space, "space": found.space, "backward": backward, "batch": 2},
        "network": json.loads(network.to_json()),
        "train": (recipe or TrainingConfig()).plain(),
        "search": {"seconds": 0.0, "evaluations": 0, "guards": 0, "architecture": found.architecture_id},
        "transfer": {"genotype": str(genotype.absolute()), "sha256": sha256(genotype)},
        "versions": fingerprint(device),
    }
    return new_run.create(
        folder,
        name,
        f"{data.name}-{found.space}-transfer",
        lambda name: {"run.toml": runs.as_toml({"name": name, **config}), "genotype.json": found.to_json()},
    )


def _check_space(genotype: Genotype, path: Path) -> bool:
    """Return whether the genotype has backward edges; UsageError where its space does not have its operations."""
    from search.space import get

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
