"""One step of a training: batch, augmentation, forward, backward, all processes together, optimiser.

Nothing in a step waits for the device or copies to it: an epoch's order and everything that is drawn for it are brought
over once, as it begins, and the learning rate is a tensor there. So a GPU's queue never runs empty, and the step can be
captured in a CUDA graph (``graph``).
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.data.load import Array, Dataset
from snnas.toolchain.data.redraw import redraw_of
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.training.activity import Meter, Target
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.device import autocast, on_device
from snnas.toolchain.training.evaluation import inputs
from snnas.toolchain.training.memory import wide
from snnas.toolchain.training.optimisation import Teacher, learning_rate, loss_sum, make_optimizer
from snnas.toolchain.training.parallel import World, spans
from snnas.toolchain.training.whitening import whiten

# A GPU is asked this seldom whether the loss is still finite, and others whether to stop: to ask is to wait for it.
STEPS_BETWEEN_LOOKS = 32


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
        self.unit = data.unit
        self.weights = torch.tensor(data.class_weights, device=device) if data.class_weights else None
        self.teacher = teacher and replace(teacher, logits=teacher.logits.to(device))
        self.x, self.y = (torch.from_numpy(array).to(device) for array in (data.x_train, data.y_train))
        self.augmentation = Augmentation(config.augment)
        self.redraw = redraw_of(data, self.augmentation, seed)
        self.known = self.x.clone() if self.redraw is not None else self.x  # as they are
        # Pieces of nearly equal size: a last batch of one sample would give BN nothing to normalise by.
        self.steps = math.ceil(len(self.x) / config.batch)
        self.batches = spans(len(self.x), self.steps)
        if config.whitening:
            whiten(network, self.x, data.unit)
        self.optimizer = make_optimizer(network, config)
        if self.on_gpu:
            rate_on_device(self.optimizer, device)
        self.draws = stream(seed, "augment")
        self.target = Target(config.target_sar, device) if config.target_sar is not None else None
        self.meter = Meter(network)
        self.losses = torch.zeros(self.steps, device=device)
        self.right = torch.zeros((), device=device)
        self.wide = wide(network)
        self.order, self.drawn = self.y[:0], list[Tensor]()

    @property
    def on_gpu(self) -> bool:
        """Whether to look at a tensor is to wait for a device."""
        return self.device.startswith("cuda")

    def begin(self, order: Array, epoch: int = 1) -> None:
        """Begin an epoch that takes the samples in ``order``: bring it, and all that is drawn, to the device."""
        if self.redraw is not None:
            self.x.copy_(torch.from_numpy(self.redraw(epoch)))
        drawn = [self.augmentation.draw(batch.stop - batch.start, self.draws) for batch in self.batches]
        self.order = on_device(order, self.device)
        self.drawn = [on_device(np.concatenate(values), self.device) for values in zip(*drawn, strict=True)]

    def __call__(self, stop: bool, epoch: int, step: int) -> bool:
        """Take a step; return whether some process is known to have been asked to ``stop``.

        epoch: from 1. step: from 0, in the epoch.
        """
        batch = self.batches[step]
        samples = batch.stop - batch.start
        mine = self.world.span(samples)
        place = slice(batch.start + mine.start, batch.start + mine.stop)
        set_rate(self.optimizer, learning_rate(self.config, (epoch - 1) * self.steps + step, self.steps))
        asked = torch.full((), float(stop), device=self.device)
        value, right = self.work(self.order[place], [values[place] for values in self.drawn], samples, asked)
        self.losses[step] = value
        self.right += right
        if self.world.size == 1:
            return stop
        # All processes look at the same steps, and see the same sum.
        last = step + 1 == self.steps
        return bool(asked) if not self.on_gpu or last or (step + 1) % STEPS_BETWEEN_LOOKS == 0 else False

    def work(self, index: Tensor, drawn: list[Tensor], samples: int, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step on the samples ``index``, this process's of ``samples``; return loss and right answers of all.

        drawn: what augmentation does to them. asked: () is added up over all processes. All tensors are the device's:
        nothing here looks at one.
        """
        xb, yb = inputs(self.x[index], self.unit), self.y[index]
        if self.augmentation.steps:
            xb = self.augmentation.apply(xb, drawn)
        if self.wide and xb.dim() == 4:
            xb = xb.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        value, right, sar = (torch.zeros((), device=self.device) for _ in range(3))
        for part in spans(len(index), min(self.config.accumulate, max(1, len(index) // 2))):
            of_part = self.backward(xb[part], yb[part], index[part], samples)
            for total, term in zip((value, right, sar), of_part, strict=True):
                total += term
        self.world.add_gradients(self.network, value, asked, right, sar)
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip, foreach=True)
        self.optimizer.step()
        if self.target is not None:
            self.target.update(sar)
        return value, right

    def backward(self, xb: Tensor, yb: Tensor, index: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of a part of a batch of ``samples``; return its share of loss, right answers and SAR."""
        with (
            autocast(self.device, self.config.amp),
            self.meter if self.target is not None else contextlib.nullcontext(),
        ):
            logits = self.network(xb).float()
        taught = self.teacher
        if taught is None:
            loss = loss_sum(logits, yb, self.config, self.weights) / samples
        else:
            loss = taught.loss_sum(logits, index) / samples
        objective, sar = loss, torch.zeros((), device=self.device)
        if self.target is not None:
            spikes, places = self.meter.take()
            places = places // len(index) * samples
            objective = loss + self.target.penalty(spikes, places)
            sar = spikes.detach() / places
        objective.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.argmax(1) == yb).sum().float(), sar


def rate_on_device(optimizer: torch.optim.Optimizer, device: str) -> None:
    """Make the learning rate a tensor () on the device, so that a captured step reads what ``set_rate`` wrote."""
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), group["lr"], device=device)
        if "capturable" in group:
            group["capturable"] = True


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
