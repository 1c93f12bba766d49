"""Networks from seeds, and weights on disk."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import require_regular, whole
from snnas.search.kinds import Architecture, Sizes, kind_of
from snnas.search.network.lif_learnt import LEARNABLE
from snnas.search.network.network import Network
from snnas.toolchain.data.seeds import torch_seed

METADATA_KEY = "architecture_id"


def build(genotype: Architecture, sizes: Sizes, *, seed: int) -> Network:
    """Return a network whose initial weights depend on ``seed`` alone; torch's generator is left as it was.

    Whatever its kind, it does all that a ``Network`` does and is typed as one. sizes: of the genotype's kind.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "init"))
        return cast(Network, kind_of(genotype.space).network(genotype, sizes))


def save_weights(network: Network, path: Path) -> None:
    """Write the weights as safetensors, with the architecture id; the file appears whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = save(tensors, metadata={METADATA_KEY: network.genotype.architecture_id})
    with whole(path) as file:
        file.write(content)


def load_weights(network: Network, path: Path) -> None:
    """Fill ``network`` with what ``save_weights`` wrote; raises InvalidFileError, and then the network is unchanged."""
    mine = network.genotype.architecture_id
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get(METADATA_KEY)
            if found != mine:
                raise InvalidFileError(
                    f"{path} holds weights of another genotype ({json.dumps(found)[:40]}), expected {mine}; train this "
                    f"genotype, or load the genotype that belongs to the weights"
                )
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            learnt = {name for name in LEARNABLE if any(key.endswith(f".log_{name}") for key in shapes)}
            expected = _learning(network, learnt).state_dict()
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
    if learnt:
        network.learn(learnt)
    network.load_state_dict(tensors)


def _learning(network: Network, what: Collection[str]) -> Network:
    """Return the network with so much of it learnt; a copy where it has less."""
    if not what or not hasattr(network, "learn"):
        return network
    other = copy.deepcopy(network)
    other.learn(what)
    return other
