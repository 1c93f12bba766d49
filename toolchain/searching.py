"""``snnas search`` and ``snnas train``: a run from nothing to trained weights; killed at any moment, it resumes."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.errors import InvalidFileError, UsageError
from toolchain import runs
from toolchain.files import write_text
from toolchain.narration import Narrator
from toolchain.runs import Run
from toolchain.seeds import stream, torch_seed

if TYPE_CHECKING:
    from search.network import Network
    from toolchain.data import Dataset

METHODS = ("lightsnn",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for. batch: samples that score every candidate."""

    dataset: str
    method: str = "lightsnn"
    seed: int = 0
    timesteps: int = 5
    channels: int = 16
    hidden: int = 256
    batch: int = 64
    epochs: int = 15
    backward: bool = False
    device: str = "auto"


def resolve_device(device: str) -> str:
    """``auto`` is CUDA where torch sees it, else the CPU. UsageError for a device that torch cannot use."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
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
    for what in ("timesteps", "channels", "hidden", "batch", "epochs"):
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
    training = TrainingConfig(epochs=options.epochs)
    run = runs.create(folder, name, f"{data.name}-{options.method}")
    run.write_config(
        {
            "name": run.name,
            "created_at": runs.now(),
            "command": command,
            "seed": options.seed,
            "data": {
                "name": options.dataset,
                "train": len(data.y_train),
                "val": len(data.y_val),
                "test": len(data.y_test),
            },
            "method": {
                "name": options.method,
                "space": space.name,
                "backward": options.backward,
                "batch": options.batch,
            },
            "network": json.loads(network.to_json()),
            "train": asdict(training),
            "versions": runs.fingerprint(device),
        }
    )
    return run


def dataset_of(run: Run) -> Dataset:
    """The data set of a run, split as it was."""
    from toolchain.data import load

    config = run.config()
    return load(_value(run, "data", "name", str), seed=int(config.get("seed", 0)))


def _value(run: Run, section: str, key: str, kind: type) -> Any:
    value = run.section(section).get(key)
    if not isinstance(value, kind):
        raise InvalidFileError(f"{run.path / 'run.toml'}: [{section}] {key} is {value!r}, expected {kind.__name__}")
    return value


def search(run: Run, narrator: Narrator) -> None:
    """Finds the genotype of a run; what its log already holds is not evaluated again."""
    import torch

    from search.methods import lightsnn
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
    edges, ops = len(space.edges(backward=bool(method["backward"]))), len(space.ops)
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

        result = lightsnn.run(
            space,
            lambda choices: supernet.score(batch, choices),
            log=record,
            resume=seen,
            backward=bool(method["backward"]),
        )
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
    network: Network = build(genotype, config, seed=int(run.config().get("seed", 0)))
    if trained:
        if not run.weights.exists():
            raise UsageError(f"run {run.name} is not trained; train it with: snnas train {run.name}")
        load_weights(network, run.weights)
    return network.eval()


def train(run: Run, narrator: Narrator) -> None:
    """Trains a run's network; the epoch with the best validation accuracy stays."""
    from toolchain import training

    config = run.config()
    device = str(config["versions"]["device"])
    network = network_of(run, trained=False)
    run.train_log.path.unlink(missing_ok=True)
    try:
        recipe = training.TrainingConfig(**run.section("train"))
    except TypeError as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [train]: {error}") from None
    with narrator.progress(f"training {recipe.epochs} epochs") as advance:
        result = training.train(
            network,
            dataset_of(run),
            recipe,
            seed=int(config["seed"]),
            device=device,
            log=run.train_log.append,
            on_epoch=advance,
        )
    narrator.say(
        f"  {result.seconds:.1f} s; best epoch {result.best_epoch} of {result.epochs}, "
        f"validation accuracy {result.validation_accuracy:.1%}"
    )
    config["training"] = {
        "seconds": round(result.seconds, 3),
        "best_epoch": result.best_epoch,
        "validation_accuracy": result.validation_accuracy,
    }
    run.write_config(config)
    training.save_weights(network, run.weights)
