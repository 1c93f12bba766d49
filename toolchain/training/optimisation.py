"""Optimiser, learning rate and loss of a recipe."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.search.network.lif_learnt import LEARNABLE
from snnas.toolchain.training.config import TrainingConfig


def make_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; BN's gains and shifts set the firing rates, and are not decayed.

    Frozen weights are left out.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    # fused: one pass over weight, gradient and moments.
    if config.optimizer == "sgd":
        ahead = config.nesterov
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=ahead, fused=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


REFERENCE_CHANNELS = 16  # that a recipe's learning rate is of


def prepare(network: nn.Module, config: TrainingConfig) -> TrainingConfig:
    """Make parameters of what the recipe learns; return it with the learning rate of this network's width.

    Raises UsageError where the network's tau and threshold cannot be learnt.
    """
    ours: Any = network
    if config.learn and not hasattr(ours, "learn"):
        raise UsageError(
            f"learn = {list(config.learn)}: of a network of motifs neither tau nor threshold is learnt; leave the key "
            "out of the recipe"
        )
    require_learnt(network, config)
    if config.learn:
        ours.learn(config.learn, tau=config.tau_start)
    if not config.width_power:
        return config
    factor = (REFERENCE_CHANNELS / int(ours.config.channels)) ** config.width_power
    return replace(config, learning_rate=config.learning_rate * factor)


def require_learnt(network: nn.Module, config: TrainingConfig) -> None:
    """UsageError where a network came with learnt constants, and the recipe learns others or begins them anew."""
    names = {name.rpartition(".")[2] for name, _ in network.named_parameters()}
    there = [name for name in LEARNABLE if f"log_{name}" in names]
    if there and (set(there) != set(config.learn) or config.tau_start is not None):
        raise UsageError(
            f"learn = {list(config.learn)}: the weights to begin with have a learnt {' and '.join(there)}; give a "
            f"recipe with learn = {json.dumps(there)} and without tau_start"
        )


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """Return the learning rate of ``step`` (from 0), with ``steps`` per epoch."""
    rise, total = config.warmup * steps, config.epochs * steps
    if step < rise:
        return config.learning_rate * (step + 1) / rise
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))


def loss_sum(logits: Tensor, y: Tensor, config: TrainingConfig, weights: Tensor | None = None) -> Tensor:
    """Return the recipe's loss, summed over the samples (B, classes); weights: of a sample, by its label."""
    if config.loss == "mse":
        wanted = nn.functional.one_hot(y, logits.shape[1]).to(logits.dtype)
        wanted = wanted * (1 - config.label_smoothing) + config.label_smoothing / logits.shape[1]
        losses = (logits - wanted).square().mean(1)
    else:
        summed = "sum" if weights is None else "none"
        losses = nn.functional.cross_entropy(logits, y, label_smoothing=config.label_smoothing, reduction=summed)
    return losses.sum() if weights is None else (losses * weights[y]).sum()


@dataclass(frozen=True, slots=True)
class Teacher:
    """Another network's logits (N, classes), float32, on the training split: learnt in place of the labels.

    The loss is temperature^2 times the cross entropy of the two softened distributions (Hinton et al. 2015, section 2).
    """

    logits: Tensor
    temperature: float

    def loss_sum(self, logits: Tensor, index: Any) -> Tensor:
        """Return the loss of the samples ``index``, summed; logits: what is made of them."""
        soft = (self.logits[index].to(logits.device) / self.temperature).softmax(1)
        loss = nn.functional.cross_entropy(logits / self.temperature, soft, reduction="sum")
        return loss * self.temperature**2
