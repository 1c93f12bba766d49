"""One step of a training: batch, augmentation, forward, backward, all processes together, optimiser."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.training.activity import Meter, Target
from snnas.toolchain.training.averaging import Average
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.evaluation import inputs
from snnas.toolchain.training.memory import wide
from snnas.toolchain.training.optimisation import Teacher, learning_rate, loss_sum, make_optimizer
from snnas.toolchain.training.parallel import World
from snnas.toolchain.training.whitening import whiten


class Stepper:
    """What a step works on: the samples on the device, the optimiser, what is drawn and what is measured.

    losses: (steps,) of this epoch, by step. right: () right answers of this epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Dataset,
        config: TrainingConfig,
        seed: int,
        device: str,
        here: World,
        teacher: Teacher | None,
    ) -> None:
        self.network, self.config, self.device, self.world = network, config, device, here
        self.unit, self.teacher = data.unit, teacher
        self.x, self.y = (torch.from_numpy(array).to(device) for array in (data.x_train, data.y_train))
        # Pieces of nearly equal size: a last batch of one sample would give BN nothing to normalise by.
        self.steps = math.ceil(len(self.x) / config.batch)
        if config.whitening:
            whiten(network, self.x, data.unit)
        self.optimizer = make_optimizer(network, config)
        self.average = Average(network, config.ema) if config.ema else None
        self.draws = stream(seed, "augment")
        self.augmentation = Augmentation(config.augment)
        self.target = Target(config.target_sar, device) if config.target_sar is not None else None
        self.meter = Meter(network)
        self.losses = torch.zeros(self.steps, device=device)
        self.right = torch.zeros((), device=device)
        self.wide = device == "cpu" and wide(network)

    def __call__(self, index: np.ndarray[Any, Any], stop: bool, epoch: int, step: int) -> bool:
        """Take one step on the samples ``index``; return whether some process has been asked to stop.

        epoch: from 1. step: from 0, in the epoch.
        """
        mine = self.world.share(index)
        xb, yb = inputs(self.x[mine], self.unit), self.y[mine]
        if self.augmentation.steps:
            drawn = self.augmentation.draw(len(index), self.draws)
            xb = self.augmentation.apply(xb, [self.world.share(values) for values in drawn])
        if self.wide and xb.dim() == 4:
            xb = xb.contiguous(memory_format=torch.channels_last)
        rate = learning_rate(self.config, (epoch - 1) * self.steps + step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        value, right, sar = (torch.zeros((), device=self.device) for _ in range(3))
        for places in np.array_split(np.arange(len(mine)), min(self.config.accumulate, max(1, len(mine) // 2))):
            part = slice(int(places[0]), int(places[-1]) + 1)
            of_part = self.backward(xb[part], yb[part], mine[part], len(index))
            for total, term in zip((value, right, sar), of_part, strict=True):
                total += term
        asked = torch.full((), float(stop), device=self.device)
        self.world.add_gradients(self.network, value, asked, right, sar)
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip, foreach=True)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network)
        if self.target is not None:
            self.target.update(sar)
        self.losses[step] = value
        self.right += right
        return bool(asked) if self.world.size > 1 else stop  # to look at a tensor is to wait for the device

    def backward(
        self, xb: Tensor, yb: Tensor, mine: np.ndarray[Any, Any], samples: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of a part of a batch of ``samples``; return its share of loss, right answers and SAR."""
        kind = torch.device(self.device).type
        with (
            torch.autocast(kind, torch.bfloat16, enabled=self.config.amp == "bf16"),
            self.meter if self.target is not None else contextlib.nullcontext(),
        ):
            logits = self.network(xb).float()
        taught = self.teacher
        loss = (loss_sum(logits, yb, self.config) if taught is None else taught.loss_sum(logits, mine)) / samples
        objective, sar = loss, torch.zeros((), device=self.device)
        if self.target is not None:
            spikes, places = self.meter.take()
            places = places // len(mine) * samples
            objective = loss + self.target.penalty(spikes, places)
            sar = spikes.detach() / places
        objective.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.argmax(1) == yb).sum().float(), sar
