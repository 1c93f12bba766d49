"""A run from a genotype that is there already: a network that was found on one data set, trained on another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_text, sha256
from snnas.toolchain.data.load import data_section, timesteps_of
from snnas.toolchain.runs.create import create
from snnas.toolchain.runs.run import START, Run, as_toml, now
from snnas.toolchain.runs.versions import fingerprint
from snnas.toolchain.training.device import resolve_device

if TYPE_CHECKING:
    from snnas.search.kinds import Sizes
    from snnas.search.network.design import Design
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Dataset
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
    channels: int | None = None,
    hidden: int | None = None,
    cells: int | None = None,
    head: str | None = None,
    weights: Path | None = None,
    recipe: TrainingConfig | None = None,
    device: str = "auto",
    data_options: dict[str, Any] | None = None,
) -> Run:
    """Make a run of the genotype in a .json file on a data set: run.toml and genotype.json, ready for ``train``.

    timesteps: None for as many as the samples have frames, else of the recipe's stages, else the design's own or
    DEFAULT_TIMESTEPS. channels, hidden, head (of ``config.HEADS``): None for those of a design, else the defaults.
    cells: so many of the cell that all cells of the file are; None for as many as it has. weights: a file of
    ``save_weights`` of the same architecture, of which the run keeps a copy and with which its training begins; None
    for weights that are drawn. data_options: more of what
    ``snnas.toolchain.data.load.load`` takes. Raises InvalidFileError for a file that holds no genotype, UsageError
    where it fits neither its search space nor the data set.
    """
    from snnas.search.kinds import kind_of
    from snnas.search.network.design import Design
    from snnas.toolchain.data.load import load
    from snnas.toolchain.training import TrainingConfig
    from snnas.toolchain.training.optimisation import require_learnt
    from snnas.toolchain.training.stages import require_stages, timesteps_asked
    from snnas.toolchain.training.weights import load_weights

    found = _read(genotype)
    backward = False if isinstance(found, Design) else _check_space(found, genotype)
    if cells is not None:
        if len(set(found.cells)) > 1:
            raise UsageError(f"--cells {cells}: the cells of {genotype} differ, and none is meant; leave --cells out")
        found = replace(found, cells=found.cells[:1] * cells)
    device = resolve_device(device)
    more: dict[str, Any] = data_options or {}
    data = load(dataset, seed=seed, **more)
    recipe = (recipe or TrainingConfig()).on(device)
    timesteps = timesteps_asked(recipe, timesteps)
    if isinstance(found, Design):
        frames = data.x_train.ndim == 5
        timesteps = timesteps_of(dataset, data, timesteps if timesteps or frames else found.timesteps)
        found = _resized(found, {"timesteps": timesteps, "channels": channels, "hidden": hidden, "head": head})
    require_stages(recipe, data, timesteps)
    given = {"channels": channels, "hidden": hidden, "head": head}
    network = _sizes(found, data, {**given, "timesteps": timesteps_of(dataset, data, timesteps)})
    built = kind_of(found.space).network(found, network)  # refuses a cell without a path from input to output
    transfer = {"genotype": str(genotype.absolute()), "sha256": sha256(genotype)}
    files: dict[str, str | bytes] = {}
    if weights is not None:
        load_weights(cast("Network", built), weights)
        require_learnt(built, recipe)
        _require_seed(weights, data.name, seed)
        files[START] = held = weights.read_bytes()
        transfer |= {"weights": str(weights.absolute()), "weights_sha256": hashlib.sha256(held).hexdigest()}
    method = "trained" if isinstance(found, Design) else found.space.removesuffix("_1d")
    config = {
        "created_at": now(),
        "command": command,
        "seed": seed,
        "data": data_section(dataset, data),
        "method": {"name": method, "space": found.space, "backward": backward, "batch": 2},
        "network": json.loads(network.to_json()),
        "train": recipe.plain(),
        "search": {"seconds": 0.0, "evaluations": 0, "guards": 0, "architecture": found.architecture_id},
        "transfer": transfer,
        "versions": fingerprint(device),
    }
    files["genotype.json"] = found.to_json()
    stem = f"{data.name}-{found.space}-transfer"
    return create(
        folder, name, stem, lambda name: {"run.toml": as_toml({"name": name, **config}), **files}, goes_on="snnas train"
    )


def _require_seed(weights: Path, dataset: str, seed: int) -> None:
    """UsageError where the weights' run split the same data by another seed: it trained on what is test data here.

    Of weights without a run.toml beside them nothing is known.
    """
    if not (weights.parent / "run.toml").is_file():
        return
    before = Run(weights.parent).config()
    if before["data"]["name"] == dataset and before["seed"] != seed:
        raise UsageError(
            f"--weights {weights}: their run split {dataset} by seed {before['seed']}, and has trained on samples that "
            f"seed {seed} tests on; give --seed {before['seed']}"
        )


def _read(path: Path) -> Genotype:
    """The cells of a file, or the design that it holds."""
    from snnas.search.kinds import read_genotype
    from snnas.search.network.genotype import Genotype

    try:
        text = read_text(path, GENOTYPE_BYTES, errors="replace")
    except FileNotFoundError:
        raise InvalidFileError(f"{path}: no such file") from None
    found = read_genotype(text, where=str(path))
    if not isinstance(found, Genotype):
        raise UsageError(
            f"{path}: an architecture of {found.space}, expected a genotype of cells; no other can be moved yet"
        )
    return found


def _resized(design: Design, given: dict[str, Any]) -> Design:
    """The design with the sizes that are given; those that are None stay its own."""
    from snnas.search.network.config import DEFAULT_HIDDEN

    changed = {name: value for name, value in given.items() if value is not None}
    if changed.get("head", design.head) == "linear":
        changed["hidden"] = 0
    elif not changed.get("hidden", design.hidden):
        changed["hidden"] = DEFAULT_HIDDEN
    return replace(design, **changed)


def _sizes(found: Genotype, data: Dataset, given: dict[str, Any]) -> Sizes:
    """The sizes around the cells; of a design only those that it does not name itself."""
    from snnas.search.network.config import DEFAULT_CHANNELS, DEFAULT_HEAD, DEFAULT_HIDDEN, NetworkConfig
    from snnas.search.network.design import Design, DesignSizes
    from snnas.search.network.space import get

    common: dict[str, Any] = {"input_shape": data.input_shape, "input_kind": data.input_kind, "classes": data.classes}
    if data.gain:
        common["gain"] = data.gain
    if isinstance(found, Design):
        return DesignSizes(**common)
    return NetworkConfig(
        **common,
        channels=DEFAULT_CHANNELS if given["channels"] is None else given["channels"],
        hidden=DEFAULT_HIDDEN if given["hidden"] is None else given["hidden"],
        timesteps=given["timesteps"],
        reduction=get(found.space).reduction,
        cells=len(found.cells),
        head=given["head"] or DEFAULT_HEAD,
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
