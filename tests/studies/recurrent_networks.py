"""The networks and the data of ``tests.studies.recurrent``: one forward cell, a backward edge 3->0, and its cures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.search.network import batch_norm
from snnas.search.network.batch_norm import StepwiseBatchNorm
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Edge, Genotype
from snnas.search.network.network import Network
from snnas.toolchain.data.load import Array, Dataset, load
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.training import step

FORWARD: dict[Edge, str] = {(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip"}
KINDS: dict[str, dict[Edge, str]] = {
    "ff": {},
    "stepwise": {(3, 0): "conv3x3"},
    "conv": {(3, 0): "conv3x3"},
    "skip": {(3, 0): "skip"},
}
CURES = {
    "zero": "gamma of the backward batch norm begins at 0",
    "gain0": "a gain per channel on the backward skip, learnt from 0",
    "gain1": "a gain per channel on the backward skip, learnt from 1",
    "clip": "batch renormalisation with clipped corrections",
    "half": "half the learning rate for what belongs to a backward edge",
}
VALIDATION = 360
WARM_UP, R_MAX, D_MAX = 50, 3.0, 5.0


def digits(seed: int) -> Dataset:
    """The bundled digits with 360 validation samples instead of 144: those choose here."""
    data = load("digits", seed=seed)
    order, more = stream(seed, "recurrent validation").permutation(len(data.y_train)), VALIDATION - len(data.y_val)
    x, y = data.x_train[order], data.y_train[order]
    x_val, y_val = np.concatenate([data.x_val, x[:more]]), np.concatenate([data.y_val, y[:more]])
    return replace(data, x_train=x[more:], y_train=y[more:], x_val=x_val, y_val=y_val)


def first_of_two(seed: int, *, blank: int, samples: int = 1280, others: int = 500) -> Dataset:
    """Pairs of different digits (see ``pairs``), of each split its own digits; the label is the first digit."""
    data, rng = digits(seed), stream(seed, "recurrent pairs")
    x_train, y_train = pairs(data.x_train, data.y_train, samples, blank, rng)
    x_val, y_val = pairs(data.x_val, data.y_val, others, blank, rng)
    x_test, y_test = pairs(data.x_test, data.y_test, others, blank, rng)
    return replace(
        data, x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val, x_test=x_test, y_test=y_test, digest=""
    )


def pairs(x: Array, y: Array, count: int, blank: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Frames (count, blank + 4, C, H, W), and the first digit of each, int64 (count,).

    A blank frame, a digit, ``blank`` blank frames, a digit of another class, a blank frame.
    """
    first, second = rng.integers(len(x), size=(2, 4 * count))
    different = y[first] != y[second]
    first, second = first[different][:count], second[different][:count]
    frames = np.zeros((count, blank + 4, *x.shape[1:]), np.float32)
    frames[:, 1], frames[:, blank + 2] = x[first], x[second]
    return frames, y[first]


def network_of(name: str, data: Dataset, *, seed: int, channels: int, cells: int) -> Network:
    """The network called KIND or KIND+CURE+CURE; equal seeds give equal weights to what all kinds have.

    UsageError for a kind or a cure that there is none of.
    """
    kind, *cures = name.split("+")
    if kind not in KINDS or not set(cures) <= set(CURES):
        raise UsageError(f"{name}: expected one of {', '.join(KINDS)}, with cures behind a plus: {', '.join(CURES)}")
    config = NetworkConfig(
        input_shape=data.input_shape,
        classes=data.classes,
        channels=channels,
        hidden=64,
        votes=1,
        timesteps=data.x_train.shape[1] if data.x_train.ndim == 5 else 5,
        cells=cells,
    )
    torch.manual_seed(seed)
    common = Network(Genotype("lightsnn", (Cell.of(FORWARD),) * cells), config)
    make = Gained if {"gain0", "gain1"} & set(cures) else Network
    network = make(Genotype("lightsnn", (Cell.of({**FORWARD, **KINDS[kind]}),) * cells), config)
    network.load_state_dict(common.state_dict(), strict=False)
    for norm in (network.get_submodule(n) for n, _ in network.named_modules() if n.endswith("_b30_bn")):
        if kind == "stepwise":
            for parameter in norm.parameters():
                nn.init.zeros_(parameter).requires_grad_(False)
        elif "zero" in cures:
            nn.init.zeros_(norm.weight)  # type: ignore[arg-type]
    for module in network.modules():
        if "clip" in cures and isinstance(module, StepwiseBatchNorm):
            module.__class__ = Clipped
    if isinstance(network, Gained):
        network.begin_at(1.0 if "gain1" in cures else 0.0)
    return network


class Gained(Network):
    """With a gain (C,) for every backward skip 3->0."""

    def begin_at(self, value: float) -> None:
        for number in range(1, self.config.cells + 1):
            gain = nn.Parameter(torch.full((self.config.width(number),), value))
            self.register_parameter(f"cell{number}_b30_gain", gain)

    def _run_op(self, number: int, edge: Edge, op: str, source: Tensor) -> Tensor:
        out = super()._run_op(number, edge, op, source)
        gain = self._parameters[f"cell{number}_b30_gain"]
        return out if edge[0] < edge[1] or gain is None else out * gain[:, None, None]


class Clipped(StepwiseBatchNorm):
    """With r within 1/R_MAX .. R_MAX and |d| <= D_MAX, both opened over WARM_UP batches (Ioffe 2017, section 3)."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self._batches() or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        opened = min(1.0, self._batches() / WARM_UP)
        r_max, d_max = 1 + opened * (R_MAX - 1), opened * D_MAX
        mean, var, _ = batch_norm._statistics(input.detach(), self.eps, False)
        sigma, running = (var + self.eps).sqrt(), (self.running_var + self.eps).sqrt()
        r = (sigma / running).clamp(1 / r_max, r_max)
        d = ((mean - self.running_mean) / running).clamp(-d_max, d_max)
        # (x - mean) / sigma * r + d is the normalisation by these two.
        by = mean - d * sigma / r, ((sigma / r) ** 2 - self.eps).clamp(min=0)
        out, mean, var, _ = batch_norm._normalise(input, self.weight, self.bias, by, self.eps, False)
        self._steps.append((mean, var))
        return out


@contextmanager
def optimiser_of(name: str) -> Iterator[None]:
    """Trainings within take the optimiser that the network called ``name`` asks for."""
    make: Callable[..., Any] = step.make_optimizer
    with patch.object(step, "make_optimizer", _halving(make) if "half" in name.split("+") else make):
        yield


def _halving(make: Callable[..., torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """An optimiser that goes back half of each step, where a parameter belongs to a backward edge."""

    def made(network: nn.Module, config: Any) -> torch.optim.Optimizer:
        optimizer = make(network, config)
        backward = [parameter for name, parameter in network.named_parameters() if "_b30_" in name]
        before: list[Tensor] = []

        @torch.no_grad()
        def go_back(*_: Any) -> None:
            for parameter in backward:
                parameter.lerp_(before.pop(0), 0.5)

        optimizer.register_step_pre_hook(lambda *_: before.extend(p.detach().clone() for p in backward))
        optimizer.register_step_post_hook(go_back)
        return optimizer

    return made
