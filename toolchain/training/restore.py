"""What a run stands for, read back from its folder: its data set, split as it was, and its network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_text, sha256
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run

if TYPE_CHECKING:
    from snnas.search.network.network import Network


def network_at(run: Run, timesteps: int | None) -> tuple[Network, dict[str, int]]:
    """The trained network of a run, running ``timesteps``; and {"timesteps": T} where these are not its own.

    UsageError where the samples are sequences, which settle it.
    """
    network = network_of(run)
    if timesteps is None or timesteps == network.config.timesteps:
        return network, {}
    if dataset_of(run).x_train.ndim == 5:
        raise UsageError(
            f"--timesteps {timesteps}: the samples of run {run.name} are sequences of {network.config.timesteps} "
            "frames; leave it out"
        )
    network.set_timesteps(timesteps)
    return network, {"timesteps": timesteps}


def network_of(run: Run, *, trained: bool = True) -> Network:
    """The network of a run on the CPU, with its trained weights, or as its training begins.

    UsageError where there are no trained weights yet.
    """
    from snnas.search.kinds import kind_of, read_genotype
    from snnas.toolchain.training import build, load_weights

    run.require_network(trained=trained)
    genotype = read_genotype(read_text(run.genotype, errors="replace"), where=str(run.genotype))
    sizes = kind_of(genotype.space).sizes(run.network_json(), where=str(run.path / "run.toml"))
    network = build(genotype, sizes, seed=run.config()["seed"])
    if trained:
        load_weights(network, run.weights)
    elif (begun := run.section("transfer").get("weights_sha256")) is not None:
        load_weights(network, run.start)
        if sha256(run.start) != begun:
            raise InvalidFileError(
                f"{run.start}: not the weights that run.toml says the training begins with; begin the run again"
            )
    return network.eval()
