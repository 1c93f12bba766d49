"""The beginning of a run: what a search is asked for is checked, and the resolved configuration written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.errors import UsageError, did_you_mean
from toolchain import new_run, runs
from toolchain.fingerprint import fingerprint
from toolchain.runs import Run

if TYPE_CHECKING:
    from search.mse_nas.config import MseConfig
    from search.network_config import NetworkConfig
    from search.space import Space
    from toolchain.data import Dataset
    from toolchain.training import TrainingConfig

METHODS = ("lightsnn", "snasnet", "spikenas", "mse_nas")
WHOLE = ("snasnet", "spikenas")  # candidates are whole networks, so that each can be priced and stand on a front
PROXIES = ("sahd", "snnas")
MAX_STUDY = 10  # repeats of an operation study
DEFAULT_TIMESTEPS = 5  # of static samples


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for.

    timesteps: None for as many as the samples have frames, else DEFAULT_TIMESTEPS. batch: samples that score every
    candidate. candidates: random draws. study: repeats of spikenas's operation study, 0 for none. budget, objective: as
    on the command line. front: points of a front that are trained. profile, system: the chip that costs are of.
    weight_bits, state_bits: what memory is counted with. population, generations, cells: of mse_nas. recipe: a name or
    a file; None takes the data set's own. epochs: None for the recipe's. data: NAME=VALUE pairs as ``data_options``
    reads them.
    """

    dataset: str
    method: str = "lightsnn"
    proxy: str = "sahd"
    seed: int = 0
    timesteps: int | None = None
    channels: int = 16
    hidden: int = 256
    batch: int = 64
    candidates: int = 1000
    population: int = 12
    generations: int = 6
    cells: int = 3
    epochs: int | None = None
    recipe: str | None = None
    data: tuple[str, ...] = ()
    backward: bool = False
    device: str = "auto"
    study: int = 0
    budget: tuple[str, ...] = ()
    objective: str = "score"
    front: int = 8
    profile: str | None = None
    system: str = "loihi1"
    weight_bits: int = 8
    state_bits: int = 24


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
    from toolchain.data import load
    from toolchain.data_options import parse_options
    from toolchain.datasets.catalogue import SETS
    from toolchain.scoring_batch import require_distinct
    from toolchain.searching_mse import BATCHES

    for what, value, known in (("method", options.method, METHODS), ("proxy", options.proxy, PROXIES)):
        if value not in known:
            raise UsageError(f"unknown {what} {value!r}; expected {', '.join(known)}{did_you_mean(value, known)}")
    for what in ("timesteps", "channels", "hidden", "batch", "candidates", "population", "generations", "cells"):
        value, least = getattr(options, what), 2 if what in ("batch", "population") else 1
        if value is not None and value < least:
            raise UsageError(f"--{what} {value}: expected a whole number >= {least}")
    hardware = _hardware(options)
    device = resolve_device(options.device)
    training = _recipe(options)
    given = parse_options(options.data)
    if options.dataset in SETS and SETS[options.dataset].events:
        given.setdefault("frames", options.timesteps or DEFAULT_TIMESTEPS)
    data = load(options.dataset, seed=options.seed, **given)
    options = replace(options, timesteps=timesteps_of(options.dataset, data, options.timesteps))
    network = _network(options, data, device)
    of_motifs = options.method == "mse_nas"
    require_distinct(data, 2 * BATCHES if of_motifs else 2)
    config = {
        "created_at": runs.now(),
        "command": command,
        "seed": options.seed,
        "data": data_section(options.dataset, data),
        "method": {
            "name": options.method,
            "space": options.method,
            "proxy": options.proxy,
            "backward": options.backward,
            "batch": options.batch,
            **({"candidates": options.candidates} if options.method in WHOLE else {}),
            **({"study": options.study} if options.study else {}),
            **({"population": options.population, "generations": options.generations} if of_motifs else {}),
            "widths": {"weight": options.weight_bits, "state": options.state_bits},
        },
        **hardware,
        "network": json.loads(network.to_json()),
        "train": training.plain(),
        "versions": fingerprint(device),
    }
    return new_run.create(
        folder, name, f"{data.name}-{options.method}", lambda name: {"run.toml": runs.as_toml({"name": name, **config})}
    )


def timesteps_of(name: str, data: Dataset, asked: int | None) -> int:
    """``asked``, else as many as the samples have frames; UsageError where they have another number."""
    frames = data.x_train.shape[1] if data.x_train.ndim == 5 else None
    if None not in (asked, frames) and asked != frames:
        raise UsageError(
            f"--timesteps {asked}: the samples of {name} are sequences of {frames} frames; leave --timesteps out"
        )
    return asked or frames or DEFAULT_TIMESTEPS


def data_section(name: str, data: Dataset) -> dict[str, Any]:
    """[data] of run.toml: what ``restoring.dataset_of`` needs to have the same data again, and the splits' sizes."""
    return {
        "name": name,
        **({"path": str(data.path)} if data.path is not None else {}),
        **({"options": data.options} if data.options else {}),
        "sha256": data.digest,
        "train": len(data.y_train),
        "val": len(data.y_val),
        "test": len(data.y_test),
        "summary": data.summary,
    }


def _recipe(options: SearchOptions) -> TrainingConfig:
    """The recipe asked for, else the data set's own, else the default; --epochs over all."""
    from toolchain.training import load_recipe, recipe_names, recipe_of

    changes = {"epochs": options.epochs}
    name = options.recipe or (options.dataset if options.dataset in recipe_names() else None)
    return load_recipe(name, changes) if name else recipe_of({}, where="the command line", overrides=changes)


def _network(options: SearchOptions, data: Dataset, device: str) -> NetworkConfig | MseConfig:
    """The sizes around the cells; UsageError for what does not fit the images or the memory."""
    from search.mse_nas.config import MseConfig, reductions_for
    from search.network_config import NetworkConfig
    from search.space import get

    shared: dict[str, Any] = {
        "input_shape": data.input_shape,
        "input_kind": data.input_kind,
        "classes": data.classes,
        "channels": options.channels,
        "timesteps": options.timesteps,
    }
    if options.method == "mse_nas":
        reductions = reductions_for(data.input_shape, options.cells)
        return MseConfig(**shared, cells=options.cells, reductions=reductions)
    space = get(options.method)
    network = NetworkConfig(**shared, hidden=options.hidden, reduction=space.reduction)
    _fits_memory(network, space, options, device)
    return network


def _hardware(options: SearchOptions) -> dict[str, Any]:
    """The tables of run.toml on chip, budget and objectives; UsageError for what does not go together."""
    from search.memory import Widths
    from toolchain.budgets import ALIASES, METRICS, parse_budgets
    from toolchain.costs import Chip

    limits = parse_budgets(options.budget)
    if options.method == "mse_nas" and (limits or options.objective != "score"):
        raise UsageError(
            f"--budget and --objective take --method {', '.join(METHODS[:-1])}; mse_nas knows no chip yet: export what "
            "it finds, and hold it to limits with: snnas check --max"
        )
    if options.method == "mse_nas" and (options.backward or options.proxy != "sahd"):
        raise UsageError(
            "--backward and --proxy: mse_nas has cells and a fitness of its own; leave them out, or take --method "
            f"{', '.join(METHODS[:-1])}"
        )
    names = [ALIASES.get(name.strip(), name.strip()) for name in options.objective.split(",")]
    for name in names:
        if (name not in METRICS and name != "score") or names.count(name) > 1:
            raise UsageError(f"--objective {options.objective!r}: expected score and, once each, {', '.join(METRICS)}")
    if names[0] != "score":
        raise UsageError(f"--objective {options.objective!r}: expected score first, it is what the search goes by")
    if len(names) > 1 and options.method not in WHOLE:
        raise UsageError(
            f"--objective {options.objective!r}: {options.method} scores supernets and ends with one network; a front "
            f"takes --method {' or '.join(WHOLE)}"
        )
    if options.study and (options.method != "spikenas" or not 2 <= options.study <= MAX_STUDY):
        raise UsageError(f"--study {options.study}: expected 2 to {MAX_STUDY} repeats, with --method spikenas")
    if not 0 <= options.front <= 64:
        raise UsageError(f"--train-front {options.front}: expected 0 to 64 points")
    Widths(options.weight_bits, options.state_bits)
    chip = {"system": options.system, **({"profile": options.profile} if options.profile is not None else {})}
    Chip.load(**chip)
    tables: dict[str, Any] = {"chip": chip}
    if limits:
        tables["budget"] = limits
    if len(names) > 1:
        tables["objectives"] = {"names": names, "train": options.front}
    return tables


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
