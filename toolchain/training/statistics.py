"""Batch-norm statistics measured over training samples, for a network whose training is over ("precise BN").

What training leaves is an average over its last batches, made while the weights still moved, of augmented samples.
Wu and Johnson 2021 (Rethinking "Batch" in BatchNorm, section 3) measure them anew with the weights at rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnas.search.network.batch_norm import BatchNorm, StepwiseBatchNorm
from snnas.toolchain.training.evaluation import inputs

SAMPLES = 4096  # that are looked at
RECURRENT_PASSES = 3  # where batch norm normalises by what it measures


@torch.no_grad()
def measure_statistics(network: nn.Module, x: Tensor, unit: int, batch: int) -> bool:
    """Replace the running statistics of every BN by plain averages over the first SAMPLES of the training split.

    x: (N, ...) on the network's device. False where there is no BN, and nothing was done. Neither weights nor
    generators change; the mode of the network does.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    if not norms:
        return False
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    momenta = [norm.momentum for norm in norms]
    x = x[:SAMPLES]
    stepwise = any(isinstance(norm, StepwiseBatchNorm) for norm in norms)
    try:
        for done in range(RECURRENT_PASSES if stepwise else 1):
            for norm in norms:
                norm.momentum = None
                if not done:
                    norm.reset_running_stats()
            for piece in x.tensor_split(max(1, len(x) // batch)):
                network(inputs(piece, unit))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return True
