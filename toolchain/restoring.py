"""What a run stands for, read back from its folder: its data set, split as it was, and its network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.errors import InvalidFileError, UsageError, brief
from toolchain.data_options import KINDS
from toolchain.runs import Run

if TYPE_CHECKING:
    from search.network import Network
    from toolchain.data import Dataset


def dataset_of(run: Run, config: dict[str, Any] | None = None) -> Dataset:
    """The data set of a run, split as it was; InvalidFileError where it is not the one of then.

    config: in place of what run.toml holds.
    """
    from toolchain.data import load

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


def network_of(run: Run, *, trained: bool = True) -> Network:
    """The network of a run on the CPU, with its trained weights. UsageError where there are none yet."""
    from search.genotype import Genotype
    from search.mse_nas.config import MseConfig
    from search.mse_nas.genome import Genome
    from search.network_config import NetworkConfig
    from toolchain.training import build, load_weights

    if not run.genotype.exists():
        if run.failure is not None:
            raise UsageError(f"run {run.name} has no network, its search failed ({run.failure})")
        raise UsageError(
            f"run {run.name} has no genotype yet; finish its search with: snnas search --resume {run.spoken}"
        )
    text, place = run.genotype.read_text(encoding="utf-8", errors="replace"), str(run.path / "run.toml")
    of_motifs = run.value("method", "space", str) == "mse_nas"
    read = Genome.from_json if of_motifs else Genotype.from_json
    config = (MseConfig if of_motifs else NetworkConfig).from_json(run.network_json(), where=place)
    network: Network = build(read(text, where=str(run.genotype)), config, seed=run.value("", "seed", int))
    if trained:
        if not run.weights.exists():
            raise UsageError(f"run {run.name} is not trained; train it with: snnas train {run.spoken}")
        load_weights(network, run.weights)
    return network.eval()
