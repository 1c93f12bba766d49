"""The beginning of a run: what a search is asked for is checked, and the resolved configuration written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw_sim.errors import UsageError
from toolchain import runs
from toolchain.runs import Run

if TYPE_CHECKING:
    from search.network_config import NetworkConfig
    from search.space import Space

METHODS = ("lightsnn", "snasnet")
PROXIES = ("sahd", "snnas")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for. batch: samples that score every candidate. candidates: draws of snasnet."""

    dataset: str
    method: str = "lightsnn"
    proxy: str = "sahd"
    seed: int = 0
    timesteps: int = 5
    channels: int = 16
    hidden: int = 256
    batch: int = 64
    candidates: int = 1000
    epochs: int = 15
    backward: bool = False
    device: str = "auto"


def resolve_device(device: str) -> str:
    """``auto`` is CUDA where torch sees it, else the CPU. UsageError for a device that torch cannot use."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0][:120]}); try --device cpu"
        ) from None
    return device


def start(folder: Path, name: str | None, options: SearchOptions, command: str) -> Run:
    """Checks everything that can be wrong, then makes the run's folder and writes its configuration."""
    from search.errors import did_you_mean
    from search.network_config import NetworkConfig
    from search.space import get
    from toolchain.data import load
    from toolchain.training import TrainingConfig

    for what, value, known in (("method", options.method, METHODS), ("proxy", options.proxy, PROXIES)):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}; expected {', '.join(known)}{did_you_mean(value, known)}")
    for what in ("timesteps", "channels", "hidden", "batch", "candidates", "epochs"):
        if getattr(options, what) < (2 if what == "batch" else 1):
            raise UsageError(
                f"--{what} {getattr(options, what)}: expected a whole number >= {2 if what == 'batch' else 1}"
            )
    device = resolve_device(options.device)
    space = get(options.method)
    data = load(options.dataset, seed=options.seed)
    network = NetworkConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=options.channels,
        hidden=options.hidden,
        timesteps=options.timesteps,
        reduction=space.reduction,
    )
    if data.x_train.ndim == 5 and data.x_train.shape[1] != options.timesteps:
        raise UsageError(
            f"--timesteps {options.timesteps}: the samples of {options.dataset} are sequences of "
            f"{data.x_train.shape[1]} frames; start it with --timesteps {data.x_train.shape[1]}"
        )
    _fits_memory(network, space, options, device)
    training = TrainingConfig(epochs=options.epochs)
    run = runs.create(folder, name, f"{data.name}-{options.method}")
    config = {
        "name": run.name,
        "created_at": runs.now(),
        "command": command,
        "seed": options.seed,
        "data": {
            "name": options.dataset,
            **({"path": str(data.path)} if data.path is not None else {}),
            "sha256": data.digest,
            "train": len(data.y_train),
            "val": len(data.y_val),
            "test": len(data.y_test),
        },
        "method": {
            "name": options.method,
            "space": space.name,
            "proxy": options.proxy,
            "backward": options.backward,
            "batch": options.batch,
            **({"candidates": options.candidates} if options.method == "snasnet" else {}),
        },
        "network": json.loads(network.to_json()),
        "train": asdict(training),
        "versions": runs.fingerprint(device),
    }
    try:
        run.write_config(config)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)  # made a moment ago, by us: a run without run.toml is none
        raise
    return run


def _fits_memory(network: NetworkConfig, space: Space, options: SearchOptions, device: str) -> None:
    """UsageError where the weights alone are larger than the memory: the system ends such a process without a word."""
    import torch

    from search.genotype import CONV_KERNELS

    fixed = 9 * network.input_shape[0] * network.channels + network.features * network.hidden
    fixed += network.hidden * network.classes * network.votes
    widths = [network.width(cell) for cell in range(1, network.cells + 1)]
    fixed += sum(18 * width**2 for width in widths[:-1])
    kernels = [CONV_KERNELS[op] ** 2 for op in space.ops if op in CONV_KERNELS]
    searched = sum(kernels) * len(space.edges(backward=options.backward)) * sum(width**2 for width in widths)
    # Float32: the supernet holds them once; training holds weight, gradient and two moments, of one conv at the least.
    parameters = fixed + searched
    needed = max(4 * parameters, 16 * fixed)
    if device.startswith("cuda"):
        there = int(torch.cuda.get_device_properties(device).total_memory)
    else:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UsageError(
            f"--channels {options.channels} --hidden {options.hidden}: {parameters:,} parameters to search, which take "
            f"{needed / 1e9:,.1f} GB of {there / 1e9:,.1f} GB on {device}; take fewer --channels or a smaller --hidden"
        )
