"""Keys that a recipe could have and has not, as they are tried by ``tests.studies.recipes``.

Each is put around the training loop, which knows none of them. For still images, one process, one part per batch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from snnas.toolchain.data.load import Array, Dataset
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.training import loop, optimisation, step
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.evaluation import inputs, logits
from snnas.toolchain.training.optimisation import Teacher, loss_sum, make_optimizer
from snnas.toolchain.training.step import Stepper

MIXUP = 0.2  # both parameters of the Beta distribution that shares are drawn from (Zhang et al. 2018)
TET = 0.05  # weight of the regulariser (Deng et al. 2022, section 4, still images)
EMA = 0.98  # decay per step
WARMUP = 40  # steps
TEACHER_EPOCHS = 3


class Mixup(Stepper):
    """Every sample of a batch with a share of the next one, and of its label (Zhang et al. 2018)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.rng = stream(given[3], "mixup")

    def backward(self, xb: Tensor, yb: Tensor, index: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        share = float(self.rng.beta(MIXUP, MIXUP))

        def mixed(out: Tensor, y: Tensor, *about: Any) -> Tensor:
            return share * loss_sum(out, y, *about) + (1 - share) * loss_sum(out, y.roll(1, 0), *about)

        with patch.object(step, "loss_sum", mixed):
            return super().backward(share * xb + (1 - share) * xb.roll(1, 0), yb, index, samples)


class Alternating(Stepper):
    """A sample is mirrored in every other epoch, half of them in the first one (Jordan 2024, section 3.6)."""

    def begin(self, order: Array, epoch: int = 1) -> None:
        super().begin(order, epoch)
        first = stream(self.seed, "flip").random(len(self.x)) < 0.5
        mirrored = torch.from_numpy((first[order] ^ (epoch % 2 == 0))[:, None].repeat(2, axis=1))
        for place, (kind, _) in enumerate(self.augmentation.steps):
            if kind == "flip":
                self.drawn[place] = mirrored

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seed: int = given[3]


class PerTimestep(Stepper):
    """The mean over timesteps of each one's cross entropy, drawn to 1 by a small square (TET: Deng et al. 2022)."""

    def backward(self, xb: Tensor, yb: Tensor, index: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor]:
        hidden: list[Tensor] = []

        def by_step(out: Tensor, y: Tensor, config: TrainingConfig, weights: Tensor | None) -> Tensor:
            votes = self.network.get_submodule("head_fc2")(hidden[0])
            each = votes.reshape(len(votes), *out.shape, -1).mean(3)  # (T, B, classes)
            terms = torch.stack([loss_sum(one, y, config, weights) for one in each])
            return (1 - TET) * terms.mean() + TET * (each - 1).square().mean((0, 2)).sum()

        hook = self.network.get_submodule("head_lif").register_forward_hook(lambda module, x, out: hidden.append(out))
        with patch.object(step, "loss_sum", by_step):
            try:
                return super().backward(xb, yb, index, samples)
            finally:
                hook.remove()


class Averaged(Stepper):
    """Validated, and shipped, is an average over the steps of weights and statistics; training goes on without it."""

    def begin(self, order: Array, epoch: int = 1) -> None:
        if epoch > 1:
            self.network.load_state_dict(self.own)
        else:
            self.average = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.taken = 0
        super().begin(order, epoch)

    def __call__(self, stop: bool, epoch: int, at: int) -> bool:
        asked = super().__call__(stop, epoch, at)
        self.taken += 1
        decay = min(EMA, self.taken / (self.taken + 9))  # what it began with is soon forgotten
        now = self.network.state_dict()
        for name, tensor in self.average.items():
            if tensor.is_floating_point():
                tensor.lerp_(now[name], 1 - decay)
            else:
                tensor.copy_(now[name])
        if at + 1 == self.steps:
            self.own = {name: tensor.clone() for name, tensor in now.items()}
            self.network.load_state_dict(self.average)
        return asked


class Muon:
    """Muon (Jordan et al. 2024) for the convolutions, as matrices (O, C kh kw), and AdamW for the rest."""

    def __init__(self, network: nn.Module, config: TrainingConfig) -> None:
        convs = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.requires_grad]
        self.pairs = [(p, nn.Parameter(p.detach().reshape(len(p), -1).clone())) for p in convs]
        for p in convs:
            p.requires_grad_(False)
        rest = make_optimizer(network, config)
        for p in convs:
            p.requires_grad_(True)
        matrices = [matrix for _, matrix in self.pairs]
        about: dict[str, Any] = {"weight_decay": config.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
        self.parts = [torch.optim.Muon(matrices, lr=config.learning_rate, **about), rest]
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool) -> None:
        for p, _ in self.pairs:
            p.grad = None
        self.parts[1].zero_grad(set_to_none=set_to_none)

    @torch.no_grad()
    def step(self) -> None:
        for p, matrix in self.pairs:
            assert p.grad is not None
            matrix.copy_(p.reshape(matrix.shape))
            matrix.grad = p.grad.reshape(matrix.shape)
        for part in self.parts:
            part.step()
        for p, matrix in self.pairs:
            p.copy_(matrix.reshape(p.shape))


def _rising(config: TrainingConfig, at: int, steps: int) -> float:
    return optimisation.learning_rate(config, at, steps) * min(1.0, (at + 1) / WARMUP)


TRIALS: dict[str, list[tuple[Any, str, Any]]] = {
    "mixup": [(loop, "Stepper", Mixup)],
    "alternating flip": [(loop, "Stepper", Alternating)],
    "TET": [(loop, "Stepper", PerTimestep)],
    "EMA": [(loop, "Stepper", Averaged)],
    "Muon": [(step, "make_optimizer", Muon)],
    "warm-up": [(step, "learning_rate", _rising)],
    "teacher": [],
}


@contextlib.contextmanager
def trial(name: str) -> Iterator[None]:
    """Put what ``TRIALS`` holds under ``name`` ('' for nothing) around the trainings inside."""
    with contextlib.ExitStack() as stack:
        for where, what, instead in TRIALS.get(name, []):
            stack.enter_context(patch.object(where, what, instead))
        yield


def taught(data: Dataset, config: TrainingConfig, seed: int) -> Teacher:
    """The logits of a small network of convolutions and ReLUs, trained on the same samples and changes by AdamW."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "teacher"))
        widths = [data.input_shape[0], 16, 32, 64]
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise(widths):
            layers += [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 64, data.classes))
    augmentation, rng = step.Augmentation(config.augment), stream(seed, "teacher")
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, fused=True)
    total, done = TEACHER_EPOCHS * len(x), 0
    network.train()
    for _ in range(TEACHER_EPOCHS):
        for index in np.array_split(rng.permutation(len(x)), -(-len(x) // config.batch)):
            drawn = [torch.from_numpy(values) for values in augmentation.draw(len(index), rng)]
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * 0.5 * (1 + np.cos(np.pi * done / total))
            out = network(augmentation.apply(inputs(x[index], data.unit), drawn))
            optimizer.zero_grad()
            (loss_sum(out, y[index], config) / len(index)).backward()
            optimizer.step()
            done += len(index)
    return Teacher(logits(network, data.x_train, "cpu", 256, data.unit), 2.0)
