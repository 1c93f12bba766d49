"""Networks from seeds, and weights on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hw_sim.errors import InvalidFileError
from search.genotype import Genotype
from search.mse_nas.config import MseConfig
from search.mse_nas.genome import Genome
from search.mse_nas.network import MseNetwork
from search.network import Network, NetworkConfig
from toolchain.files import whole
from toolchain.seeds import torch_seed

METADATA_KEY = "architecture_id"


def build(genotype: Genotype | Genome, config: NetworkConfig | MseConfig, *, seed: int) -> Network:
    """Return a network whose initial weights depend on ``seed`` alone; torch's generator is left as it was.

    Of a genome it is an ``MseNetwork``, which does all that a ``Network`` does and is typed as one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "init"))
        if isinstance(genotype, Genome):
            assert isinstance(config, MseConfig)
            return cast(Network, MseNetwork(genotype, config))
        assert isinstance(config, NetworkConfig)
        return Network(genotype, config)


def save_weights(network: Network, path: Path) -> None:
    """Write the weights as safetensors, with the architecture id; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = save(tensors, metadata={METADATA_KEY: network.genotype.architecture_id})
    with whole(path) as file:
        file.write(content)


def load_weights(network: Network, path: Path) -> None:
    """Fill ``network`` with what ``save_weights`` wrote; raises InvalidFileError, and then the network is unchanged."""
    expected = network.state_dict()
    mine = network.genotype.architecture_id
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(METADATA_KEY)
            if found != mine:
                raise InvalidFileError(
                    f"{path} holds weights of another genotype ({json.dumps(found)[:40]}), expected {mine}; train this "
                    f"genotype, or load the genotype that belongs to the weights"
                )
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            for name in sorted(shapes.keys() | expected.keys()):
                wanted = tuple(expected[name].shape) if name in expected else None
                if shapes.get(name) != wanted:
                    raise InvalidFileError(
                        f"tensor {name!r} of {path} has shape {shapes.get(name)}, expected {wanted}; the network's "
                        f"sizes differ from those it was trained with"
                    )
            tensors = {name: file.get_tensor(name) for name in shapes}
    except FileNotFoundError:
        raise InvalidFileError(f"{path} does not exist, expected weights as training writes them") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidFileError(f"{path} cannot be read ({str(error)[:120]}), expected a safetensors file") from None
    for name, tensor in tensors.items():
        if tensor.dtype != expected[name].dtype or not bool(torch.isfinite(tensor).all()):
            raise InvalidFileError(
                f"tensor {name!r} of {path} is {tensor.dtype} or holds a value that is not finite, expected finite "
                f"{expected[name].dtype}; train again"
            )
    network.load_state_dict(tensors)
