"""``snnas search`` and ``snnas train``: a run from nothing to trained weights; killed at any moment, it resumes."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.errors import InvalidFileError, UsageError
from toolchain import runs
from toolchain.files import JsonLines, write_text
from toolchain.narration import Narrator
from toolchain.runs import Run
from toolchain.seeds import stream, torch_seed

if TYPE_CHECKING:
    from search.network import Network
    from search.network_config import NetworkConfig
    from search.space import Space
    from toolchain.data import Dataset

METHODS = ("lightsnn", "snasnet")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for. batch: samples that score every candidate. candidates: draws of snasnet."""

    dataset: str
    method: str = "lightsnn"
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
    from search.network_config import NetworkConfig
    from search.space import get
    from toolchain.data import load
    from toolchain.training import TrainingConfig

    if options.method not in METHODS:
        from search.errors import did_you_mean

        raise UsageError(
            f"unknown method {options.method!r}; expected {', '.join(METHODS)}{did_you_mean(options.method, METHODS)}"
        )
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


def use_device(run: Run, device: str | None) -> None:
    """Go on with a search on ``device``, or on the one it was started on; UsageError where torch cannot use it."""
    config = run.config()
    before = config["versions"]["device"]
    config["versions"]["device"] = resolve_device(device or before)
    if config["versions"]["device"] != before:
        run.write_config(config)


def dataset_of(run: Run) -> Dataset:
    """The data set of a run, split as it was; InvalidFileError where it is not the one of then."""
    from toolchain.data import load

    config = run.config()
    name, wanted = config["data"].get("path", config["data"]["name"]), config["data"].get("sha256")
    data = load(name, seed=config["seed"])
    if wanted is not None and data.digest != wanted:
        raise InvalidFileError(
            f"{name}: the data set is not the one that the run was searched on (sha256 {data.digest[:12]}..., "
            f"expected {wanted[:12]}... of {run.path / 'run.toml'}); put that one back, or search again"
        )
    return data


def search(run: Run, narrator: Narrator) -> None:
    """Finds the genotype of a run; what its log already holds is not evaluated again."""
    import torch

    from search.batched import BatchedScorer
    from search.methods import lightsnn, snasnet
    from search.network_config import NetworkConfig
    from search.space import get
    from search.supernet import Supernet

    if run.genotype.exists():
        return
    config = run.config()
    seed, method = int(config["seed"]), config["method"]
    device = str(config["versions"]["device"])
    data = dataset_of(run)
    network = NetworkConfig.from_json(run.network_json(), where=str(run.path / "run.toml"))
    space = get(str(method["space"]))
    supernet = Supernet(space, network, backward=bool(method["backward"]), seed=torch_seed(seed, "supernet")).to(device)
    size = min(int(method["batch"]), len(data.x_train))
    batch = torch.from_numpy(data.x_train[stream(seed, "proxy").permutation(len(data.x_train))[:size]]).to(device)
    log = run.search_log
    log.mend()
    backward, draws = bool(method["backward"]), int(method.get("candidates", 0))
    if method["name"] == "snasnet":
        # The draws are made twice: here to know how many differ, and by the search.
        total = len(snasnet.distinct(space, draws, stream(seed, "snasnet"), backward=backward))
    else:
        edges, ops = len(space.edges(backward=backward)), len(space.ops)
        total = edges * (ops * (ops + 1) // 2 - 1) + 1
    seen = log.read()
    done = sum(r.get("event") == "evaluation" for r in seen)
    begun = time.perf_counter()
    with narrator.progress(f"searching {space.name}: {total} evaluations") as advance:

        def record(entry: dict[str, Any]) -> None:
            nonlocal done
            log.append(entry)
            done += entry.get("event") == "evaluation"
            advance(done, total)

        scorer = BatchedScorer(supernet, batch)
        if method["name"] == "snasnet":
            rng = stream(seed, "snasnet")
            result = snasnet.run(space, scorer, log=record, resume=seen, backward=backward, candidates=draws, rng=rng)
        else:
            result = lightsnn.run(space, scorer, log=record, resume=seen, backward=backward)
    seconds = time.perf_counter() - begun
    for guard in result.guards:
        narrator.say(f"  guard {guard.get('guard', guard.get('name'))}: {guard.get('text', guard)}")
    silent = sum(rate == 0 for rate in result.firing.values())
    narrator.say(
        f"  found {result.genotype.architecture_id} in {seconds:.1f} s; {silent} of {len(result.firing)} layers silent"
    )
    config["search"] = {
        "seconds": round(seconds, 3),
        "evaluations": result.evaluations,
        "score": result.score,
        "silent_layers": silent,
        "guards": len(result.guards),
        "architecture": result.genotype.architecture_id,
        "resumed": bool(seen),
    }
    run.write_config(config)
    write_text(run.genotype, result.genotype.to_json())


def network_of(run: Run, *, trained: bool = True) -> Network:
    """The network of a run on the CPU, with its trained weights. UsageError where there are none yet."""
    from search.genotype import Genotype
    from search.network_config import NetworkConfig
    from toolchain.training import build, load_weights

    if not run.genotype.exists():
        raise UsageError(
            f"run {run.name} has no genotype yet; finish its search with: snnas search --resume {run.name}"
        )
    genotype = Genotype.from_json(run.genotype.read_text(encoding="utf-8", errors="replace"), where=str(run.genotype))
    config = NetworkConfig.from_json(run.network_json(), where=str(run.path / "run.toml"))
    network: Network = build(genotype, config, seed=run.value("", "seed", int))
    if trained:
        if not run.weights.exists():
            raise UsageError(f"run {run.name} is not trained; train it with: snnas train {run.name}")
        load_weights(network, run.weights)
    return network.eval()


def train(run: Run, narrator: Narrator, device: str | None = None) -> None:
    """Trains a run's network; the epoch with the best validation accuracy stays.

    device: None for the one it was searched on. Weights, log and figures of an earlier training stay until this one
    is whole.
    """
    from toolchain import training

    config = run.config()
    device = resolve_device(device or config["versions"]["device"])
    network = network_of(run, trained=False)
    try:
        recipe = training.TrainingConfig(**run.section("train"))
    except (TypeError, UsageError) as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [train]: {error}") from None
    log = JsonLines(run.path / ".train.jsonl.part")
    log.path.unlink(missing_ok=True)  # of a process that was killed
    try:
        with narrator.progress(f"training {recipe.epochs} epochs") as advance:
            result = training.train(
                network,
                dataset_of(run),
                recipe,
                seed=config["seed"],
                device=device,
                log=log.append,
                on_epoch=advance,
            )
        training.save_weights(network, run.weights)
        os.replace(log.path, run.train_log.path)
    except BaseException:
        log.path.unlink(missing_ok=True)
        raise
    narrator.say(
        f"  {result.seconds:.1f} s; best epoch {result.best_epoch} of {result.epochs}, "
        f"validation accuracy {result.validation_accuracy:.1%}"
    )
    config["training"] = {
        "seconds": round(result.seconds, 3),
        "best_epoch": result.best_epoch,
        "validation_accuracy": result.validation_accuracy,
        "device": device,
    }
    run.write_config(config)
