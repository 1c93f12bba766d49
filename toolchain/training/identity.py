"""What has to be equal for a training to go on from a checkpoint."""

from __future__ import annotations

import hashlib
import json

from torch import nn

from snnas.toolchain.data.load import Dataset
from snnas.toolchain.training.config import TrainingConfig


def fingerprint(network: nn.Module, data: Dataset, config: TrainingConfig, seed: int) -> str:
    """SHA-256 of the network's tensors by name and shape, the data set, the recipe and the seed."""
    genotype = getattr(network, "genotype", None)
    plain = {
        "architecture": getattr(genotype, "architecture_id", ""),
        "tensors": {name: list(tensor.shape) for name, tensor in network.state_dict().items()},
        "network": str(getattr(network, "config", "")),
        "data": [data.name, data.digest, len(data.y_train), len(data.y_val), *data.class_weights],
        "recipe": config.plain(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
