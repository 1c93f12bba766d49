"""What a training will take on this machine, before it begins: a few steps of a copy are timed, and multiplied."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.redraw import first_of
from snnas.toolchain.training.config import TrainingConfig
from snnas.toolchain.training.evaluation import validate
from snnas.toolchain.training.memory import lay_out
from snnas.toolchain.training.optimisation import prepare
from snnas.toolchain.training.parallel import World
from snnas.toolchain.training.stages import epochs_behind, set_timesteps
from snnas.toolchain.training.step import Stepper

STEPS = 2  # that are timed, behind one that warms up


def seconds_ahead(network: nn.Module, data: Dataset, config: TrainingConfig, *, seed: int, device: str) -> float:
    """Seconds that ``train`` would take, with validation behind every epoch, as steps of a copy take now.

    Where every epoch has samples of its own, making a few is timed too: the first time, when recordings are read, and
    again. The network, and what is drawn of torch afterwards, stay as they are.
    """
    steps = max(1, -(-len(data.x_train) // config.batch))
    tried = min(steps, STEPS + 1)
    small = first_of(data, max(2, tried * min(config.batch, len(data.x_train) // tried)))
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        trial = copy.deepcopy(network).to(device)
        config = prepare(trial, config)
        if config.stages:
            set_timesteps(trial, config, config.epochs)
        step = Stepper(trial.train(), small, config, seed, device, World(), None)
        if step.wide:
            lay_out(trial, torch.channels_last)
        begin = partial(step.begin, np.arange(len(step.x)))
        made = [0.0, 0.0]
        if step.redraw is not None:
            made = [_timed(partial(begin, epoch), device) for epoch in (1, 2)]
        else:
            begin()
        seconds = [_timed(partial(step, False, 1, at), device) for at in range(step.steps)]
        x, y = (torch.from_numpy(a[: config.batch]).to(device) for a in (data.x_val, data.y_val))
        about: Any = {"device": device, "batch": config.batch, "unit": data.unit, "world": World()}
        looked = _timed(lambda: validate(trial, x, y, **about), device)
    of_step = sum(seconds[1:] or seconds) / len(seconds[1:] or seconds)
    of_samples = len(data.x_train) / len(step.x) * (max(0.0, made[0] - made[1]) + config.epochs * made[1])
    return epochs_behind(config, 0) * (steps * of_step + len(data.x_val) / len(x) * looked) + of_samples


def _timed(work: Callable[[], object], device: str) -> float:
    begun = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
